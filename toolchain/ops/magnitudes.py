"""Sums of absolute values beside large weights: a piece at a time, since ``|W|`` whole is as large as ``W``."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

PIECE_BYTES = 4 << 20


def absolute_product(a: Array, b: Array) -> Array:
    """``|a| |b|`` of two matrices, [m, k] and [k, n]; the same type and shape as ``a @ b``."""
    a = np.abs(a)
    if b.nbytes <= PIECE_BYTES:
        return np.asarray(a @ np.abs(b))
    # Pieces are rows of the memory: columns of b where it is a transposed view.
    turned = abs(b.strides[0]) < abs(b.strides[1])
    rows = b.T if turned else b
    step = max(1, PIECE_BYTES // (rows.shape[1] * b.itemsize))
    piece = np.empty((step, rows.shape[1]), dtype=b.dtype)
    out = np.zeros((a.shape[0], b.shape[1]), dtype=np.result_type(a, b))
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        size = np.abs(part, out=piece[: len(part)])
        if turned:
            out[:, start : start + step] = a @ size.T
        else:
            out += a[:, start : start + step] @ size
    return out
