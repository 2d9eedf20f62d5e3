"""How far a correct floating-point implementation may be from the exact value.

Two limits go together. *Sound*: no summation order and no use of fused multiply-add can exceed it
(N. Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., chapter 3, ``gamma_n``). *Probable*: rounding
errors that behave like independent random variables stay below it (N. Higham and T. Mary, A new approach to
probabilistic rounding error analysis, SIAM J. Sci. Comput. 41, 2019).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FLOAT32_ROUNDOFF = 2.0**-24
FLOAT32_TINY = 2.0**-149
FLOAT32_MAX = float(np.finfo(np.float32).max)
LAMBDA = 4.0
"""Of the probabilistic bound: an error above ``lambda sqrt(n) u S`` has probability ``2 exp(-lambda^2 / 2)``, 7e-4."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Bound:
    """Limits on ``|y - exact|``, each broadcastable to the output's shape.

    Attributes:
        sound: beyond it the implementation is wrong.
        probable: beyond it the implementation is suspect.
        span: how far from the exact value any inputs could take it; a sound limit that is no smaller certifies
            nothing. Infinite where it is not known.
    """

    sound: Floats
    probable: Floats
    span: Any = math.inf


EXACT = Bound(np.float64(0.0), np.float64(0.0))  # type: ignore[arg-type]
"""Of operators that only move or select values."""


def gamma(terms: Any, roundoff: float) -> Any:
    """``n u / (1 - n u)``; infinite where ``n u >= 1``."""
    if isinstance(terms, int | float):
        small = terms * roundoff
        return np.float64(small / (1.0 - small) if small < 1.0 else math.inf)
    product = np.asarray(terms, dtype=np.float64) * roundoff
    return np.where(product < 1.0, product / np.where(product < 1.0, 1.0 - product, 1.0), np.inf)


def accumulated(magnitude: Any, terms: Any, roundoff: float, *, reached: Any = None) -> Bound:
    """Bound of a sum of ``terms`` products (a bias counts as one), ``magnitude`` = sum of their absolute values.

    A product and its addition cost one rounding each, so ``n`` terms make at most ``n`` roundings along any path;
    one more for a final rounding to the output's type.

    Args:
        magnitude: absolute values of the terms, summed, in the scale of the result.
        terms: their number.
        roundoff: unit roundoff of the arithmetic.
        reached: what a partial result may reach, where the sum is divided or its root taken; else ``magnitude``.
    """
    s = np.asarray(magnitude, dtype=np.float64)
    n = np.asarray(terms, dtype=np.float64) + 1
    # Where a partial sum can leave the range of float32, a correct implementation may answer infinity.
    most = s if reached is None else np.asarray(reached, dtype=np.float64)
    rest = np.where(most > FLOAT32_MAX, np.inf, FLOAT32_TINY * n)
    return Bound(gamma(n, roundoff) * s + rest, LAMBDA * np.sqrt(n) * roundoff * s + rest)


def ulps(exact: Any, budget: float, roundoff: float, floor: float = 0.0) -> Bound:
    """Bound of an element-wise function: ``budget`` units in the last place of the exact value.

    Args:
        exact: exact values.
        budget: in ulp; half an ulp is the correctly rounded result. One ulp is at most ``2 u |y|``.
        roundoff: unit roundoff of the arithmetic.
        floor: absolute error allowed besides, for functions that cancel near a zero.
    """
    size = np.abs(np.asarray(exact, dtype=np.float64))
    limit = np.where(size > FLOAT32_MAX, np.inf, 2.0 * budget * roundoff * size + floor + FLOAT32_TINY)
    return Bound(limit, limit)
