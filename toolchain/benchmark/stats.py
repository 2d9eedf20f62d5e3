"""Percentiles that the samples can carry, with intervals that assume no distribution."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

CONFIDENCE = 0.95
# Samples needed so that, with 99% confidence, at least two lie beyond the percentile (S. S. Wilks, 1941).
MIN_SAMPLES = {50.0: 11, 90.0: 65, 99.0: 662, 99.9: 6636}


@dataclass(frozen=True)
class Percentile:
    """A percentile with its 95% interval.

    Attributes:
        percent: 50, 90, 99 or 99.9.
        value: in the unit of the samples.
        low: lower end of the interval.
        high: upper end of the interval.
    """

    percent: float
    value: float
    low: float
    high: float


def percentiles(samples: Array) -> tuple[Percentile, ...]:
    """The percentiles that there are samples enough for.

    Args:
        samples: float [N].
    """
    ordered = np.sort(samples)
    return tuple(_percentile(ordered, p) for p, needed in MIN_SAMPLES.items() if len(ordered) >= needed)


def median(samples: Array) -> Percentile:
    """The median with its 95% interval.

    Args:
        samples: float [N], N >= 11.
    """
    return _percentile(np.sort(samples), 50.0)


def _percentile(ordered: Array, percent: float) -> Percentile:
    low, high = interval_ranks(len(ordered), percent / 100.0)
    value = ordered[max(0, math.ceil(percent / 100.0 * len(ordered)) - 1)]
    return Percentile(percent, float(value), float(ordered[low]), float(ordered[high]))


def interval_ranks(count: int, share: float) -> tuple[int, int]:
    """Ranks whose order statistics enclose a quantile with at least 95% confidence.

    The number of samples below the quantile is binomial whatever the distribution, so between the order
    statistics l and u (from 1) the quantile lies with probability P(l <= B < u).

    Args:
        count: samples.
        share: of the quantile, 0..1.

    Returns:
        Zero-based ranks. An end is the least or greatest sample where even that leaves more than 2.5% outside.
    """
    below = np.cumsum(_binomial(count, share))
    tail = (1.0 - CONFIDENCE) / 2.0
    # Greatest l with P(B < l) <= tail; least u with P(B >= u) <= tail.
    lower = int(np.searchsorted(below, tail, side="right"))
    upper = int(np.searchsorted(below, 1.0 - tail, side="left")) + 1
    return max(0, lower - 1), min(count - 1, upper - 1)


def _binomial(count: int, share: float) -> Array:
    """P(B = k) for k = 0..count."""
    factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, count + 1)))])
    k = np.arange(count + 1)
    choose = factorials[count] - factorials[k] - factorials[count - k]
    return np.asarray(np.exp(choose + k * math.log(share) + (count - k) * math.log1p(-share)))
