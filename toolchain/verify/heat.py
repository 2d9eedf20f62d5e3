"""The error around the worst element, small enough for a page."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

LARGEST = 32
Heat = tuple[tuple[float, ...], ...]


def heat_map(error: NDArray[np.float64], index: Sequence[int]) -> Heat:
    """The absolute error of one sample and channel, at most 32 x 32, each cell the largest of what it stands for.

    Args:
        error: absolute differences, [N, C, spatial...] or of any other rank.
        index: of the worst element, of that rank.

    Returns:
        The last two spatial axes at the worst element; one row where there are fewer. Empty for a scalar.
    """
    if not error.ndim or not error.size:
        return ()
    kept = min(2, max(1, error.ndim - 2))
    leading = tuple(int(i) for i in index[: error.ndim - kept])
    plane = np.atleast_2d(error[leading])
    for axis in (0, 1):
        size = plane.shape[axis]
        if size > LARGEST:
            starts = (np.arange(LARGEST) * size) // LARGEST
            plane = np.maximum.reduceat(plane, starts, axis=axis)
    return tuple(tuple(float(value) for value in row) for row in plane)


def channel_of(index: Sequence[int]) -> int | None:
    """The channel of an element: its second index; ``None`` where there is none."""
    return int(index[1]) if len(index) > 1 else None
