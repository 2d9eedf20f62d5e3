"""Which shorter arithmetic a backend used: the one whose roundings predict its errors.

Rounding the factors of a sum to a short format is no accident of the order of summation: it gives each output an error
that can be computed. Where errors of hundreds of outputs are that, nothing else explains them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from toolchain.verify.arithmetic import SHORT, Arithmetic, Mode
from toolchain.verify.taps import Taps

Floats = NDArray[np.float64]
Where = Literal["factors", "inputs", "weights", "results"]

EXPLAINED = 0.9
"""Correlation from which on a prediction is the cause; 24 independent errors reach it by chance once in 1e8."""
ALIKE, NOISE = 2.0, 1e-9
"""Formats that leave at most twice as much unexplained as the best, or hardly anything, are not told apart."""
MODES: tuple[Mode, ...] = ("nearest", "truncated")


@dataclass(frozen=True)
class Fingerprint:
    """What explains the errors.

    Attributes:
        arithmetic: name of the format that was rounded to.
        where: what was rounded: both factors of each product, the layer's inputs or its weights alone, or its results.
        correlation: of the errors with what that rounding gives; 1 for results, all of which lie on its grid.
        alike: further formats that explain as much: TF32 and float16 differ only where numbers are small or large.
    """

    arithmetic: str
    where: Where
    correlation: float
    alike: tuple[str, ...] = ()

    def __str__(self) -> str:
        where = "" if self.where == "factors" else f" {self.where}"
        return f"{' or '.join((self.arithmetic, *self.alike))}{where} (correlation {self.correlation:.3f})"


def fingerprint(taps: Taps, error: Floats, scale: Floats, known: Arithmetic) -> Fingerprint | None:
    """The short arithmetic that explains errors, if one does.

    Args:
        taps: the sample.
        error: of the sums, [G, P, C].
        scale: of the errors, same shape; infinite where an error is not to be counted.
        known: the arithmetic that is said to be used; only shorter ones are looked for.
    """
    shorter = [a for a in SHORT if a.roundoff > known.roundoff]
    on_grid = _of_results(taps, np.isfinite(scale), shorter)
    if on_grid is not None:
        return on_grid
    weighed = (error / scale).ravel()
    tried = [
        Fingerprint(candidate.name, where, _cosine(weighed, (predicted / scale).ravel()))
        for candidate in shorter
        for mode in MODES
        for where, predicted in _rounded(taps, candidate, mode).items()
    ]
    best = max(tried, key=lambda f: f.correlation, default=None)
    if best is None or best.correlation <= EXPLAINED:
        return None
    rest = ALIKE * (1.0 - best.correlation**2) + NOISE
    as_good = [f for f in tried if f.where == best.where and 1.0 - f.correlation**2 <= rest]
    names = tuple(dict.fromkeys(f.arithmetic for f in as_good))
    return Fingerprint(names[0], best.where, best.correlation, names[1:])


def _rounded(taps: Taps, arithmetic: Arithmetic, mode: Mode) -> dict[Where, Floats]:
    """Errors of the sum if its factors are rounded: [G, P, C] for each way."""
    data, weights = arithmetic.rounded(taps.data, mode), arithmetic.rounded(taps.weights, mode)
    with np.errstate(invalid="ignore"):
        of_data = (data - taps.data) @ taps.weights.swapaxes(1, 2)
        of_weights = taps.data @ (weights - taps.weights).swapaxes(1, 2)
        both = of_data + (data @ (weights - taps.weights).swapaxes(1, 2))
    return {"factors": both, "inputs": of_data, "weights": of_weights}


def _of_results(taps: Taps, shown: NDArray[np.bool_], shorter: list[Arithmetic]) -> Fingerprint | None:
    """Results that all lie on the grid of a short format, where the exact ones do not."""
    received, exact = taps.received[shown], taps.exact[shown]
    for candidate in reversed(shorter):
        off = candidate.rounded(exact.astype(np.float32).astype(np.float64)) != exact.astype(np.float32)
        if np.count_nonzero(off) >= 24 and np.array_equal(candidate.rounded(received[off]), received[off]):
            return Fingerprint(candidate.name, "results", 1.0)
    return None


def _cosine(a: Floats, b: Floats) -> float:
    """Of the angle between two vectors; 0 where one is nothing."""
    size = math.sqrt(float(np.dot(a, a)) * float(np.dot(b, b)))
    return float(np.dot(a, b)) / size if math.isfinite(size) and size > 0 else 0.0
