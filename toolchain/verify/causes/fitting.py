"""Find the one number that explains a difference best."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np

from toolchain.ops.operator import Array
from toolchain.verify.causes.case import Case

ROUNDS = 10
SLOW = 0.9
"""A round that leaves more than this share of the error is the last."""
HUGE = 1e60


def fitted(case: Case, run: Callable[[float], Array | None], start: float) -> Iterator[tuple[float, Array]]:
    """Least squares in one number by Gauss and Newton, with differences in the place of derivatives.

    Args:
        case: what was received.
        run: the region's tensor for a value of the number; ``None`` where it has none.
        start: the value that was meant.

    Yields:
        The best value found and what the region gives for it; nothing where no value does better than the start.
    """
    if not case.same_shape or case.received.dtype.kind not in "fiu":
        return
    mask = np.isfinite(case.received.astype(np.float64)) & np.isfinite(case.expected.astype(np.float64))
    target = np.where(mask, case.received.astype(np.float64), 0.0)
    here = np.where(mask, case.expected.astype(np.float64), 0.0)
    coarse = case.received.dtype.kind in "iu"
    x, best, found = start, float(np.square(target - here).sum()), None
    scale = abs(start) or 1.0
    for attempt in range(ROUNDS):
        step = scale * (0.25 if coarse else 1e-4 if attempt else 1e-3)
        there = _values(run, x + step, mask)
        if there is None:
            return
        slope = (there - here) / step
        power = float(np.square(slope).sum())
        if not power or power > HUGE:
            break
        moved = x + float((slope * (target - here)).sum()) / power
        array = run(moved)
        if array is None or array.shape != target.shape:
            break
        now = np.where(mask, array.astype(np.float64), 0.0)
        error = float(np.square(target - now).sum())
        if not error < best:
            break
        done = error > SLOW * best
        x, here, best, found = moved, now, error, array
        if done:
            break
    if found is not None:
        yield x, found
        tolerance = 2e-2 if coarse else 1e-4
        likely = {_simple(x, tolerance), *((_round(x, 2), _round(x, 3)) if coarse else ())}
        for near in sorted(likely - {x}):
            array = run(near)
            if array is not None and array.shape == target.shape:
                yield near, array


def _values(run: Callable[[float], Array | None], x: float, mask: Array) -> Array | None:
    array = run(x)
    if array is None or array.shape != mask.shape:
        return None
    values = array.astype(np.float64)
    return np.where(mask & np.isfinite(values), values, 0.0)


def _simple(x: float, tolerance: float) -> float:
    """The number with a small denominator that is very near, else the number itself."""
    near = float(Fraction(x).limit_denominator(20))
    return near if abs(near - x) <= tolerance * max(abs(x), 1e-30) else x


def _round(x: float, digits: int) -> float:
    """Rounded to so many significant digits behind the first."""
    return float(f"{x:.{digits}g}") if abs(x) < 1 else round(x, digits)


def shown(value: float) -> str:
    """For messages: a short form."""
    return f"{value:.6g}"
