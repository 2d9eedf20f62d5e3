"""Exact decisions about rationals in float64 arithmetic: what the integer reference rests on.

A float32 scale is a rational number with 24 significant bits, so a product of two scales (48 bits) or of a scale
and a half-integer (below 2^20, 45 bits) is a float64 without error, and a product of two float64 numbers is the
exact sum of two (T. Dekker, Numer. Math. 18, 1971). So whether a quotient lies below, on or above a tie is decided
by the sign of an exact difference: vectorised, and never wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.ops.bounds import Bound
from toolchain.ops.cast import integer_limits
from toolchain.ops.operator import Array

Floats = NDArray[np.float64]

_SPLITTER = 2.0**27 + 1.0
QUOTIENT_LIMIT = 2.0**20
"""Quotients beyond it saturate every type of 16 bits or fewer, whatever the zero point."""


@dataclass(frozen=True)
class Pair:
    """The exact number ``high + low``, with ``high`` the float64 nearest to it."""

    high: Floats
    low: Floats


def _halves(a: Floats) -> tuple[Floats, Floats]:
    c = _SPLITTER * a
    upper = c - (c - a)
    return upper, a - upper


def two_product(a: Any, b: Any) -> Pair:
    """``a * b`` without error (barring overflow and underflow of float64)."""
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    product = np.asarray(x * y)
    x1, x2 = _halves(x)
    y1, y2 = _halves(y)
    return Pair(product, np.asarray(((x1 * y1 - product) + x1 * y2 + x2 * y1) + x2 * y2))


def two_sum(a: Any, b: Any) -> Pair:
    """``a + b`` without error (D. Knuth, The Art of Computer Programming 2, 4.2.2)."""
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    total = np.asarray(x + y)
    back = total - x
    return Pair(total, np.asarray((x - (total - back)) + (y - back)))


def round_quotient(numerator: Pair, denominator: Any) -> Floats:
    """``numerator / denominator`` rounded half to even, exactly, clamped to :data:`QUOTIENT_LIMIT`.

    Args:
        numerator: with at most 106 significant bits.
        denominator: positive, finite.

    The float64 quotient may miss the true one by a unit in its last place, so its floor ``k`` may miss by one near
    an integer; the comparison with ``k + 1/2`` gives the right integer even then.
    """
    d = np.asarray(denominator, dtype=np.float64)
    with np.errstate(all="ignore"):
        quotient = np.clip((numerator.high + numerator.low) / d, -QUOTIENT_LIMIT, QUOTIENT_LIMIT)
    saturated = np.abs(quotient) == QUOTIENT_LIMIT
    floor = np.floor(quotient)
    tie = two_product(floor + 0.5, d)
    with np.errstate(invalid="ignore"):
        side = (numerator.high - tie.high) + (numerator.low - tie.low)
    up = (side > 0) | ((side == 0) & (np.mod(floor, 2) == 1))
    return np.asarray(np.where(saturated, quotient, floor + up))


def requantize(rounded: Array, zero_point: Any, dtype: np.dtype[np.generic]) -> Array:
    """Add the zero point to rounded quotients and saturate: the zero point never moves a tie."""
    low, high = integer_limits(dtype)
    shifted = np.nan_to_num(rounded) + np.asarray(zero_point).astype(np.float64)
    return np.asarray(np.clip(shifted, low, high).astype(dtype))


def tie_bound(quotient: Array, error: Array, zero_point: Any, exact: Array) -> Bound:
    """How many steps a floating-point implementation may be off.

    Args:
        quotient: real value before rounding, in float64.
        error: how far a floating-point implementation may be from it.
        zero_point: added after rounding.
        exact: the right answer.

    Returns:
        0 where rounding every number within ``error`` of ``quotient`` gives ``exact``, else the largest step; NaN
        may become anything.
    """
    margin = error + np.abs(quotient) * 2.0**-50
    low, high = (
        requantize(np.rint(quotient + sign * margin), zero_point, exact.dtype).astype(np.float64)
        for sign in (-1.0, 1.0)
    )
    y = exact.astype(np.float64)
    steps = np.where(np.isnan(quotient), np.inf, np.maximum(high - y, y - low))
    return Bound(steps, steps)


def positive(scale: Array, what: str) -> Floats:
    """A scale as float64.

    Raises:
        ValueError: not positive and finite.
    """
    s = np.asarray(scale).astype(np.float64)
    if not ((s > 0) & np.isfinite(s)).all():
        raise ValueError(f"{what} is not positive and finite everywhere; repair the model")
    return s


def whole(values: Array) -> Floats:
    """Integers of at most 32 bits as float64."""
    return np.asarray(values).astype(np.float64)
