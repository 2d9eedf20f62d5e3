"""Numbers of output channels in blocks of 16, as the kernels for vector units read them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.compile.requantize import Kind, Requantizer

BLOCK = 16
"""``TILE_S8_BLOCK`` of ``tile_s8.h``, ``REQUANTIZE_S8_BLOCK`` of ``requantize_block_s8.h``."""


def filled_up(made: Requantizer, groups: int) -> Requantizer:
    """With numbers for the channels that fill up the blocks of each group."""
    levels = made.high - made.low if made.kind is Kind.THRESHOLDS else 1
    return replace(
        made,
        multipliers=tuple(filled(np.array(made.multipliers, dtype=np.int64), groups, levels).tolist()),
        shifts=tuple(filled(np.array(made.shifts, dtype=np.int64), groups).tolist()) if made.shifts else (),
    )


def filled(values: NDArray[Any], groups: int, each: int = 1) -> NDArray[Any]:
    """[channels * each] with zeros for the channels that fill up the blocks of each group."""
    split = values.reshape(groups, -1, each)
    return np.pad(split, [(0, 0), (0, -split.shape[1] % BLOCK), (0, 0)]).ravel()
