"""What an exact value has to offer, and how a decision about it is made without error.

A tensor between quantized ones holds real numbers that no floating-point type holds. It is kept as a recipe, a
:class:`Real`: an approximation in float64 with a rigorous bound on its error, and for single elements an enclosure
by rationals, as narrow as asked for. A decision (which integer is nearest? which sign?) is taken from the
approximation wherever the bound allows it, and from enclosures elsewhere. So it is never wrong, and nearly all of it
is vectorised.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import UnsupportedError

Array = NDArray[Any]
Floats = NDArray[np.float64]
Positions = NDArray[np.int64]

UNIT = 2.0**-53
"""Unit roundoff of float64."""
DIGITS = (30, 60, 120, 240, 480)
"""Decimal digits of the enclosures that are tried one after the other."""
LARGEST = 2.0**40
"""Quotients beyond it saturate every type of 32 bits or fewer, whatever the zero point."""


class Inexact(Exception):  # noqa: N818 - a finding, not a fault
    """A node has no exact rule on these values: it becomes a float island. The message says why."""


class Real(Protocol):
    """A tensor of real numbers, known as exactly as anybody asks."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Dimensions."""

    def approximate(self) -> tuple[Floats, Floats]:
        """Float64 approximations, and bounds on their absolute errors."""

    def keys(self, positions: Positions) -> Array:
        """A row of integers for each flat position: elements with equal rows are equal."""

    def enclose(self, position: int, digits: int) -> tuple[Fraction, Fraction]:
        """Rationals below and above the element at a flat position; equal ones where it is rational."""


def nearest(low: Fraction, high: Fraction) -> int | None:
    """The integer that every number of an interval rounds to, half to even; ``None`` if there is none."""
    first, last = round(low), round(high)
    return first if first == last else None


def sign_of(low: Fraction, high: Fraction) -> int | None:
    """The sign of every number of an interval; ``None`` if they differ."""
    if low > 0:
        return 1
    if high < 0:
        return -1
    return 0 if low == high == 0 else None


def _decided(value: Real, position: int, divisor: Fraction, question: Any) -> int:
    for digits in DIGITS:
        low, high = value.enclose(position, digits)
        answer: int | None = question(low / divisor, high / divisor)
        if answer is not None:
            return answer
    raise UnsupportedError(
        f"element {position} is within 1e-{DIGITS[-1]} of a tie and not known to lie on it, so it cannot be rounded; "
        "please report the model"
    )


def _settle(value: Real, unsure: Array, divisors: Array, result: Floats, question: Any) -> None:
    """Replace what the approximation left open, once for each distinct element."""
    positions = np.flatnonzero(unsure)
    if not positions.size:
        return
    flat = np.broadcast_to(divisors, unsure.shape).reshape(-1)[positions]
    rows = np.column_stack([value.keys(positions), flat.astype(np.float64).view(np.int64)])
    _, first, inverse = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    answers = [_decided(value, int(positions[i]), Fraction(float(flat[i])), question) for i in first]
    result.reshape(-1)[positions] = np.asarray(answers, np.float64)[inverse.reshape(-1)]


def rounded(value: Real, divisor: Array) -> Floats:
    """``value / divisor`` rounded half to even, without error.

    Args:
        value: numbers to round.
        divisor: positive float64 numbers (their exact values are meant), broadcastable to the value's shape.

    Returns:
        Whole numbers, clamped to :data:`LARGEST`.

    Raises:
        UnsupportedError: a number is nearer to a tie than 480 digits tell.
    """
    approximation, error = value.approximate()
    quotient = approximation / divisor
    margin = error / divisor + np.abs(quotient) * (4 * UNIT) + 2.0**-1000
    result = np.rint(np.clip(quotient, -LARGEST, LARGEST))
    distance = np.abs(quotient - np.floor(quotient) - 0.5)
    unsure = (distance <= margin + 4 * UNIT * np.abs(quotient)) & (np.abs(quotient) < LARGEST)
    _settle(value, unsure, divisor, result, nearest)
    return result


def signs(value: Real) -> Floats:
    """-1, 0 or 1 for each element, without error."""
    approximation, error = value.approximate()
    result = np.sign(approximation)
    _settle(value, np.abs(approximation) <= error, np.ones(()), result, sign_of)
    return result
