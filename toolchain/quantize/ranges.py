"""Ranges of tensors, observed in a stream: memory does not grow with the number of samples.

A histogram's bins are as wide as a power of two and start at multiples of it. A wider value doubles the
width by adding bins in pairs, which is exact: so histograms merge without loss, in any order, and one worker
or many that share the samples arrive at identical ranges.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import FileError, UnknownNameError

Array = NDArray[Any]

METHODS = ("minmax", "percentile", "entropy")
HALF_BINS = 2048
PERCENTILE = 99.99
LEVELS = 128
# The width of a bin below which values are all taken for zero: 2^-149 is the smallest float32.
SMALLEST_EXPONENT = -160


@dataclass(frozen=True)
class Range:
    """The interval of values that quantization represents.

    Attributes:
        low: at most 0.
        high: at least 0.
    """

    low: float
    high: float


class Histogram:
    """Counts of values in ``2 * HALF_BINS`` bins around zero; ``width = 2 ** exponent`` each.

    Bin ``i`` counts values in ``[(i - HALF_BINS) * width, (i - HALF_BINS + 1) * width)``.
    """

    def __init__(self) -> None:
        self.exponent = SMALLEST_EXPONENT
        self.counts: NDArray[np.int64] = np.zeros(2 * HALF_BINS, dtype=np.int64)
        self.low = math.inf
        self.high = -math.inf

    def add(self, values: Array, *, counted: bool = True) -> None:
        """Take values in.

        Args:
            values: floating point, any shape.
            counted: count them; without, only the least and the greatest are kept.

        Raises:
            FileError: a value is NaN or infinite.
        """
        if not values.size:
            return
        low, high = float(values.min()), float(values.max())
        if not (math.isfinite(low) and math.isfinite(high)):
            raise FileError("a value is NaN or infinite; check weights and calibration data")
        self.low, self.high = min(self.low, low), max(self.high, high)
        if not counted:
            return
        self._widen(_exponent(low, high))
        # float64 holds every float32 scaled by a power of two exactly: no value is rounded into another bin.
        scaled = np.floor(np.ldexp(values.astype(np.float64).ravel(), -self.exponent)).astype(np.int64)
        self.counts += np.bincount(scaled + HALF_BINS, minlength=2 * HALF_BINS)

    def merge(self, other: Histogram) -> None:
        """Take another histogram's counts in, without loss; ``other`` stays as it is."""
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        self._widen(other.exponent)
        self.counts += _coarser(other.counts, self.exponent - other.exponent)

    def _widen(self, exponent: int) -> None:
        if exponent > self.exponent:
            self.counts = _coarser(self.counts, exponent - self.exponent)
            self.exponent = exponent

    @property
    def width(self) -> float:
        """The width of a bin."""
        return math.ldexp(1.0, self.exponent)

    def range(self, method: str, percentile: float = PERCENTILE) -> Range:
        """The interval to represent, zero in it.

        Args:
            method: one of :data:`METHODS`.
            percentile: share of the values inside, percent; each side loses half of the rest.

        Raises:
            UnknownNameError: no such method.
        """
        if method not in METHODS:
            raise UnknownNameError("calibration method", method, METHODS)
        if self.low > self.high:
            return Range(0.0, 0.0)
        if method == "minmax":
            low, high = self.low, self.high
        elif method == "percentile":
            low, high = self._percentile(percentile)
        else:
            bound = self._entropy()
            low, high = max(self.low, -bound), min(self.high, bound)
        return Range(min(0.0, low), max(0.0, high))

    def _percentile(self, percentile: float) -> tuple[float, float]:
        """Edges of bins, outwards, so that no more than asked for is cut off."""
        total = int(self.counts.sum())
        cut = total * (100.0 - percentile) / 200.0
        below = np.cumsum(self.counts)
        first = int(np.argmax(below > cut))
        last = 2 * HALF_BINS - 1 - int(np.argmax(np.cumsum(self.counts[::-1]) > cut))
        low, high = (first - HALF_BINS) * self.width, (last + 1 - HALF_BINS) * self.width
        return max(low, self.low), min(high, self.high)

    def _entropy(self) -> float:
        """The bound on the absolute value that loses least information (Kullback-Leibler).

        Source: S. Migacz, "8-bit Inference with TensorRT", GTC 2017. The distribution of the absolute values,
        clipped at each candidate bound, is compared with itself rounded to 128 levels.
        """
        magnitudes = (self.counts[HALF_BINS:] + self.counts[:HALF_BINS][::-1]).astype(np.float64)
        # Exact zeros (padding, ReLU) are represented exactly whatever the bound: they say nothing about it.
        magnitudes[0] = 0.0
        filled = np.flatnonzero(magnitudes)
        if not filled.size or filled[-1] < LEVELS:
            return math.inf
        bounds = range(LEVELS, int(filled[-1]) + 2)
        losses = [_divergence(magnitudes, bound) for bound in bounds]
        return bounds[int(np.argmin(losses))] * self.width


def _coarser(counts: NDArray[np.int64], steps: int) -> NDArray[np.int64]:
    """Counts in bins 2 ** steps times as wide, around the same zero."""
    # After log2(2 * HALF_BINS) steps all is in the two bins next to zero.
    steps = min(steps, HALF_BINS.bit_length())
    index = (np.arange(2 * HALF_BINS) - HALF_BINS) >> steps
    merged = np.zeros_like(counts)
    np.add.at(merged, index + HALF_BINS, counts)
    return merged


def _exponent(low: float, high: float) -> int:
    """The smallest exponent whose bins hold both values."""
    exponent = SMALLEST_EXPONENT
    if high > 0.0:
        # frexp: high < 2 ** e, so HALF_BINS bins of 2 ** (e - log2(HALF_BINS)) hold it.
        exponent = max(exponent, math.frexp(high)[1] - HALF_BINS.bit_length() + 1)
    if low < 0.0:
        mantissa, power = math.frexp(low)
        # -2 ** k itself is the lower edge of the first bin and still fits.
        exponent = max(exponent, power - (mantissa == -0.5) - HALF_BINS.bit_length() + 1)
    return exponent


def _divergence(counts: Array, bound: int) -> float:
    """Kullback-Leibler divergence of the clipped distribution from its 128-level version."""
    clipped = counts[:bound].copy()
    clipped[-1] += counts[bound:].sum()
    kept = counts[:bound]
    filled = kept > 0
    level = np.arange(bound) * LEVELS // bound
    sums = np.bincount(level, kept, LEVELS)
    members = np.bincount(level, filled, LEVELS)
    spread = np.where(filled, (sums / np.maximum(members, 1))[level], 0.0)
    # What is clipped into an empty bin has no counterpart: that bound is not usable.
    here = clipped > 0
    if bool((spread[here] == 0).any()):
        return math.inf
    p, q = clipped[here] / clipped.sum(), spread[here] / spread.sum()
    return float((p * np.log(p / q)).sum())
