"""Every fault that can be planted into a region."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.power.faults import activations, channels, integers, precision, weights, windows
from benchmarks.power.wrong import Place, Wrong

FAMILIES = (
    windows.faults,
    weights.faults,
    channels.faults,
    activations.faults,
    integers.faults,
    precision.faults,
)


def faults(place: Place, draw: np.random.Generator) -> Iterator[Wrong]:
    """The faults that a region can have.

    Args:
        place: the region.
        draw: chooses weights and bits.
    """
    for family in FAMILIES:
        yield from family(place, draw)
