"""The upper word of a 64-bit product, rounded: one instruction on Cortex-M with the DSP extension, where it is exact.

A requantizer of :mod:`toolchain.compile.requantize` that shifts the upper word is a staircase that is equal to the
exact formula for every reachable accumulator. ``floor(a m / 2^32 + 1/2)`` is one too. Both rise, so they are equal
between two accumulators if they are on both sides of every step in between, and at the ends. Each step asks for
``a m >= (2 k - 1) 2^31`` at its first accumulator ``a`` and for the opposite at ``a - 1``: linear in ``m``, so that the
multipliers that satisfy all are an interval of integers, which may be empty.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from toolchain.compile.requantize import MULTIPLIER_LIMIT, Kind, Requantizer

HALF = 2**31
Range = tuple[int, int]
"""The least and the greatest accumulator of a channel."""


def rounded(made: Requantizer, ranges: Sequence[Range]) -> Requantizer:
    """The same values by one rounded product, or ``made`` itself where no multiplier gives them.

    Args:
        made: proved for ``ranges``.
        ranges: one a channel.
    """
    if made.kind not in (Kind.HIGH, Kind.CHANNELS):
        return made
    plain = replace(made, table=None)
    multipliers = []
    for channel, reach in enumerate(ranges):
        multiplier = _multiplier(plain, channel, reach)
        if multiplier is None:
            return made
        multipliers.append(multiplier)
    found = replace(made, kind=Kind.ROUND, shift=0, multipliers=tuple(multipliers), shifts=())
    prove(found, made, ranges)
    return found


def prove(found: Requantizer, made: Requantizer, ranges: Sequence[Range]) -> int:
    """Check both sides of every step and the ends of every channel, which proves all reachable accumulators.

    Returns:
        How many accumulators were compared.

    Raises:
        ArithmeticError: they differ; the choice above is wrong.
    """
    compared = 0
    for channel, reach in enumerate(ranges):
        points = set(reach)
        for _, first in steps(replace(made, table=None), channel, reach):
            points.update((first - 1, first))
        for point in points:
            if found.value(point, channel) != made.value(point, channel):
                raise ArithmeticError(f"a rounded product gives another value than {made.kind} at {point}")
        compared += len(points)
    return compared


def steps(made: Requantizer, channel: int, reach: Range) -> Iterator[tuple[int, int]]:
    """Each level beyond the first, less the zero point, and the smallest accumulator that reaches it.

    ``((a m >> 32) >> s) + 1 >> 1 >= k`` is ``a m >= (2 k - 1) 2^(32 + s)``.
    """
    shift = made.shift if made.kind is Kind.HIGH else made.shifts[channel]
    multiplier = made.multipliers[channel]
    first, last = (made.value(end, channel) - made.zero for end in reach)
    for level in range(first + 1, last + 1):
        yield level, -(-((2 * level - 1) << (32 + shift)) // multiplier)


def _multiplier(made: Requantizer, channel: int, reach: Range) -> int | None:
    """The middle of the multipliers that take every step where ``made`` takes it; ``None`` if there is none."""
    first, last = (made.value(end, channel) - made.zero for end in reach)
    least, most = 0, MULTIPLIER_LIMIT - 1
    demands = []  # (a, d): a m >= d
    for level, point in steps(made, channel, reach):
        demands += [(point, (2 * level - 1) * HALF), (1 - point, 1 - (2 * level - 1) * HALF)]
    if first + made.zero > made.low:
        demands.append((reach[0], (2 * first - 1) * HALF))
    if last + made.zero < made.high:
        demands.append((-reach[1], 1 - (2 * last + 1) * HALF))
    for factor, demand in demands:
        if factor > 0:
            least = max(least, -(-demand // factor))
        elif factor < 0:
            most = min(most, demand // factor)
        elif demand > 0:
            return None
    return (least + most) // 2 if least <= most else None
