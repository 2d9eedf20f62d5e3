"""Integers that round exactly: multiplier and shift for every channel, proved for every reachable accumulator.

What has to be computed is ``F(a) = clamp(round_half_even(a r) + zero, low, high)`` for an int32 accumulator ``a``
between two bounds that follow from the weights, with ``r = sx sw / sy`` a rational number. What C computes is
``G(a) = clamp(floor(a m / 2^s + 1/2) + zero, low, high)``.

**Proof.** F and G both rise with ``a`` (``r > 0``, ``m >= 0``). Let ``b_k`` be the smallest accumulator with
``F(b_k) >= k``, for every value ``k`` that F takes beyond its first one. If ``G(b_k) >= k`` and ``G(b_k - 1) < k`` for
all of them, and ``G = F`` at both bounds, then G = F everywhere: for ``b_k <= a < b_(k+1)``,
``k <= G(b_k) <= G(a) <= G(b_(k+1) - 1) < k + 1``. At most 255 breakpoints a channel make the proof complete. They come
from integer division: ``a r >= k - zero - 1/2``, where equality, a tie, counts if ``k - zero`` is even.

**Choice.** Each condition on G is linear in ``m / 2^s``, so a channel admits an interval of ratios, and for a given
shift the integers in it. The smallest shift that has one for every channel is taken. Where ties are reachable the
interval may be empty: then an exact dyadic ratio with a correction at ties does it (an average of four values), and a
table of thresholds always does. :func:`prove` checks the result again by running the very steps of the C code at all
breakpoints.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

INT32_LOW, INT32_HIGH = -(2**31), 2**31 - 1
WORD = 33
"""The smallest shift of the upper word: 32 bits, and one for the rounding."""
MULTIPLIER_LIMIT = 2**31
WIDEST = 62


class Kind(enum.Enum):
    """How C computes it; the value is the constant in ``requantize_s8.h``."""

    HIGH = "REQUANTIZE_HIGH"
    CHANNELS = "REQUANTIZE_CHANNELS"
    WIDE = "REQUANTIZE_WIDE"
    EVEN = "REQUANTIZE_EVEN"
    THRESHOLDS = "REQUANTIZE_THRESHOLDS"
    ROUND = "REQUANTIZE_ROUND"


@dataclass(frozen=True)
class Target:
    """What one channel has to compute.

    Attributes:
        ratio: ``sx sw / sy``, exactly; positive.
        least, most: accumulators that can occur.
    """

    ratio: Fraction
    least: int
    most: int


@dataclass(frozen=True)
class Requantizer:
    """Numbers of a ``requantize_s8``; see the header for their meaning."""

    kind: Kind
    shift: int
    zero: int
    low: int
    high: int
    multipliers: tuple[int, ...]
    shifts: tuple[int, ...] = ()
    table: tuple[int, ...] | None = None

    def value(self, accumulator: int, channel: int) -> int:
        """The steps of ``requantize_s8_value`` in unbounded integers."""
        y = self._rounded(accumulator, channel)
        y = min(max(y + self.zero, self.low), self.high)
        return y if self.table is None else self.table[y + 128]

    def _rounded(self, accumulator: int, channel: int) -> int:
        if self.kind is Kind.THRESHOLDS:
            levels = self.high - self.low
            own = self.multipliers[channel * levels : (channel + 1) * levels]
            return self.low - self.zero + sum(threshold <= accumulator for threshold in own)
        product = accumulator * self.multipliers[channel]
        if self.kind is Kind.ROUND:
            return (product + (1 << 31)) >> 32
        if self.kind in (Kind.HIGH, Kind.CHANNELS):
            shift = self.shift if self.kind is Kind.HIGH else self.shifts[channel]
            return (((product >> 32) >> shift) + 1) >> 1
        half = 1 << (self.shift - 1)
        rounded = (product + half) >> self.shift
        if self.kind is Kind.EVEN and (product + half) % (2 * half) == 0:
            rounded &= ~1
        return rounded

    def values(self, accumulators: NDArray[np.int64], channel: int) -> NDArray[np.int64]:
        """:meth:`value` of many accumulators, without the table: products stay below 2^62."""
        if self.kind is Kind.THRESHOLDS:
            levels = self.high - self.low
            own = np.array(self.multipliers[channel * levels : (channel + 1) * levels], dtype=np.int64)
            return np.asarray(self.low + (own[None, :] <= accumulators[:, None]).sum(axis=1), dtype=np.int64)
        if self.kind in (Kind.HIGH, Kind.CHANNELS):
            shift = self.shift if self.kind is Kind.HIGH else self.shifts[channel]
            rounded = (((accumulators * self.multipliers[channel] >> 32) >> shift) + 1) >> 1
        else:
            rounded = np.array([self._rounded(a, channel) for a in accumulators.tolist()], dtype=np.int64)
        return np.asarray(np.clip(rounded + self.zero, self.low, self.high), dtype=np.int64)

    def mapped(self, table: Sequence[int]) -> Requantizer:
        """With a function of the 8-bit result applied: ``table`` has 256 entries, indexed by value + 128."""
        own = range(-128, 128) if self.table is None else self.table
        return replace(self, table=tuple(table[v + 128] for v in own))


def exact(accumulator: int, target: Target, zero: int, low: int, high: int) -> int:
    """``clamp(round_half_even(accumulator * ratio) + zero)``, by definition."""
    q = target.ratio.denominator
    whole, rest = divmod(accumulator * target.ratio.numerator, q)
    if 2 * rest > q or (2 * rest == q and whole % 2):
        whole += 1
    return min(max(whole + zero, low), high)


def requantizer(targets: Sequence[Target], zero: int, low: int, high: int) -> Requantizer:
    """The cheapest form that is equal to the exact one for every reachable accumulator of every channel.

    Args:
        targets: one a channel.
        zero: zero point of the result.
        low: least result.
        high: greatest result.
    """
    intervals = [_interval(target, zero, low, high) for target in targets]
    found = (
        _one_shift(targets, intervals, range(WORD, WIDEST + 1), Kind.HIGH)
        or _own_shifts(targets, intervals)
        or _one_shift(targets, intervals, range(1, WIDEST + 1), Kind.WIDE)
        or _dyadic(targets)
    )
    if found is None:
        return _thresholds(targets, zero, low, high)
    kind, shift, multipliers, shifts = found
    made = Requantizer(kind, shift - WORD if kind is Kind.HIGH else shift, zero, low, high, multipliers, shifts)
    prove(made, targets)
    return made


def prove(made: Requantizer, targets: Sequence[Target]) -> int:
    """Check C's steps at every breakpoint of every channel, which proves them for all reachable accumulators.

    Args:
        made: without a table.
        targets: one a channel.

    Returns:
        How many accumulators were compared.

    Raises:
        ArithmeticError: they differ; the choice above is wrong.
    """
    compared = 0
    for channel, target in enumerate(targets):
        steps = np.array(list(breakpoints(target, made.zero, made.low, made.high)), dtype=np.int64).reshape(-1, 2)
        ends = np.array([target.least, target.most])
        right = [exact(int(end), target, made.zero, made.low, made.high) for end in ends]
        points = np.concatenate([ends, steps[:, 1], steps[:, 1] - 1])
        bounds = steps[:, 0] + made.zero
        got_ends, got, before = np.split(made.values(points, channel), [2, 2 + len(steps)])
        wrong = np.flatnonzero(np.concatenate([got_ends != right, got < bounds, before >= bounds]))
        if wrong.size:
            raise ArithmeticError(f"{made.kind} gives another value than {target} at {int(points[wrong[0]])}")
        compared += points.size
    return compared


def breakpoints(target: Target, zero: int, low: int, high: int) -> Iterator[tuple[int, int]]:
    """Each value beyond the first that can occur, less the zero point, and the smallest accumulator that reaches it."""
    p, q = target.ratio.numerator, target.ratio.denominator
    first, last = (exact(end, target, zero, low, high) - zero for end in (target.least, target.most))
    for level in range(first + 1, last + 1):
        point, rest = divmod((2 * level - 1) * q, 2 * p)
        yield level, point + (1 if rest or level % 2 else 0)


@dataclass(frozen=True)
class Edge:
    """One end of an interval of ratios: ``numerator / denominator``, itself left out where strict."""

    numerator: int
    denominator: int
    strict: bool


Interval = tuple[Edge, Edge] | None


def _interval(target: Target, zero: int, low: int, high: int) -> Interval:
    """The ratios ``m / 2^s`` for which G = F; ``None`` where there is none."""
    first, last = (exact(end, target, zero, low, high) - zero for end in (target.least, target.most))
    above: list[tuple[int, int]] = []  # (c, d): 2 c ratio >= d
    below: list[tuple[int, int]] = []  # (c, d): 2 c ratio < d
    for level, point in breakpoints(target, zero, low, high):
        above.append((point, 2 * level - 1))
        below.append((point - 1, 2 * level - 1))
    if first + zero > low:
        above.append((target.least, 2 * first - 1))
    if last + zero < high:
        below.append((target.most, 2 * last + 1))
    least, most = Edge(0, 1, False), Edge(MULTIPLIER_LIMIT, 1, True)
    for c, d in above:
        if c > 0:
            least = _later(least, Edge(d, 2 * c, False))
        elif c < 0:
            most = _earlier(most, Edge(-d, -2 * c, False))
        elif d > 0:
            return None
    for c, d in below:
        if c > 0:
            most = _earlier(most, Edge(d, 2 * c, True))
        elif c < 0:
            least = _later(least, Edge(-d, -2 * c, True))
        elif d <= 0:
            return None
    return least, most


def _later(a: Edge, b: Edge) -> Edge:
    left, right = a.numerator * b.denominator, b.numerator * a.denominator
    return b if right > left or (right == left and b.strict) else a


def _earlier(a: Edge, b: Edge) -> Edge:
    left, right = a.numerator * b.denominator, b.numerator * a.denominator
    return b if right < left or (right == left and b.strict) else a


def _multiplier(target: Target, interval: Interval, shift: int) -> int | None:
    """The integer nearest to ``ratio * 2^shift`` in the interval times ``2^shift``, below 2^31."""
    if interval is None:
        return None
    least, most = interval
    start, rest = divmod(least.numerator << shift, least.denominator)
    start += 1 if rest or least.strict else 0
    end, rest = divmod(most.numerator << shift, most.denominator)
    end -= 1 if not rest and most.strict else 0
    end = min(end, MULTIPLIER_LIMIT - 1)
    return None if start > end else min(max(round(target.ratio * 2**shift), start), end)


Found = tuple[Kind, int, tuple[int, ...], tuple[int, ...]] | None


def _one_shift(targets: Sequence[Target], intervals: Sequence[Interval], shifts: range, kind: Kind) -> Found:
    for shift in shifts:
        made = []
        for target, interval in zip(targets, intervals, strict=True):
            multiplier = _multiplier(target, interval, shift)
            if multiplier is None:
                break
            made.append(multiplier)
        else:
            return kind, shift, tuple(made), ()
    return None


def _own_shifts(targets: Sequence[Target], intervals: Sequence[Interval]) -> Found:
    multipliers, shifts = [], []
    for target, interval in zip(targets, intervals, strict=True):
        choices = ((shift, _multiplier(target, interval, shift)) for shift in range(WORD, WIDEST + 1))
        shift, multiplier = next(((s, m) for s, m in choices if m is not None), (0, None))
        if multiplier is None:
            return None
        multipliers.append(multiplier)
        shifts.append(shift - WORD)
    return Kind.CHANNELS, 0, tuple(multipliers), tuple(shifts)


def _dyadic(targets: Sequence[Target]) -> Found:
    """Ratios that are integers over one power of two: rounding is exact, ties are seen."""
    shift = max(1, *(target.ratio.denominator.bit_length() - 1 for target in targets))
    scaled = [target.ratio * 2**shift for target in targets]
    if shift > WIDEST or any(s.denominator != 1 or s.numerator >= MULTIPLIER_LIMIT for s in scaled):
        return None
    return Kind.EVEN, shift, tuple(s.numerator for s in scaled), ()


def _thresholds(targets: Sequence[Target], zero: int, low: int, high: int) -> Requantizer:
    """The breakpoints themselves; values never reached stand beyond every accumulator, values always passed before."""
    table: list[int] = []
    for target in targets:
        first = exact(target.least, target, zero, low, high)
        points = {level + zero: point for level, point in breakpoints(target, zero, low, high)}
        table += [INT32_LOW if k <= first else points.get(k, INT32_HIGH) for k in range(low + 1, high + 1)]
    made = Requantizer(Kind.THRESHOLDS, 0, zero, low, high, tuple(table))
    prove(made, targets)
    return made
