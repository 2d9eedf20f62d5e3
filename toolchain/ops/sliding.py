"""Reductions over sliding windows, as fast as whole-array operations allow.

A window is a box, so that an associative and commutative function can run along one axis after the other. NumPy is
fast where its innermost loop is long, and the rows of a feature map are short. So each axis is reduced in the flat
memory of many planes at once, at every position: windows that run over an edge are computed too, and never looked
at. At the end the positions that are wanted are picked. Planes are taken a cacheful at a time.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.ops.windows import Geometry

Array = NDArray[Any]
Combine = np.ufunc

BLOCK_BYTES = 1 << 19


def fold(g: Geometry, x: Array, combine: Combine, neutral: Any) -> Array:
    """Combine the elements of each window: [N, C, spatial...] to [N, C, output...], contiguous and new.

    Args:
        g: the windows.
        x: without padding.
        combine: an associative and commutative binary numpy ufunc, such as ``np.maximum`` or ``np.add``.
        neutral: its neutral element: what padding holds, and the result of a window without any element.
    """
    planes = x.shape[0] * x.shape[1]
    out = np.empty((*x.shape[:2], *g.output), dtype=x.dtype)
    source, target = x.reshape(planes, *g.spatial), out.reshape(planes, *g.output)
    step = max(1, BLOCK_BYTES // (x.itemsize * math.prod(g.enclosing)))
    with np.errstate(over="ignore", invalid="ignore"):  # windows over an edge mix what need not fit together
        if g.kernel == g.spatial == g.enclosing:  # one window, the plane
            combine.reduce(source.reshape(planes, math.prod(g.spatial)), axis=1, out=target.reshape(planes))
            return out
        for start in range(0, planes, step):
            target[start : start + step] = _reduced(g, source[start : start + step], combine, neutral)
    return out


def _reduced(g: Geometry, x: Array, combine: Combine, neutral: Any) -> Array:
    """[planes, spatial...] to a view [planes, output...]."""
    x = g.padded(x, neutral)
    flat, shape, strides, taps = x.reshape(-1), list(x.shape), [1, *g.strides], [1, *g.kernel]
    if strides[-1] > 1 and shape[-1] % strides[-1] == 0:
        # Every row starts on a multiple of the stride: a step through memory is a step through each of them.
        flat = _thinned(flat, taps[-1], strides[-1], g.dilations[-1], combine)
        shape[-1], strides[-1], taps[-1] = shape[-1] // strides[-1], 1, 1
    for axis in range(1, len(shape)):
        flat = _everywhere(flat, taps[axis], g.dilations[axis - 1] * math.prod(shape[axis + 1 :]), combine)
    # The memory may end early: no window that is wanted starts there.
    pitches = [math.prod(shape[i + 1 :]) * stride * flat.itemsize for i, stride in enumerate(strides)]
    return np.ndarray((shape[0], *g.output), flat.dtype, flat, 0, pitches)


def _thinned(flat: Array, taps: int, stride: int, distance: int, combine: Combine) -> Array:
    """Windows that fit and start on a multiple of the stride, tap by tap: contiguous."""
    reach = (len(flat) - (taps - 1) * distance - 1) // stride * stride + 1
    parts = [flat[t * distance : t * distance + reach : stride] for t in range(taps)]
    if taps == 1:
        return parts[0].copy()
    total: Array = combine(parts[0], parts[1])
    for part in parts[2:]:
        combine(total, part, out=total)
    return total


def _everywhere(flat: Array, taps: int, distance: int, combine: Combine) -> Array:
    """Windows at every position that fits, each from two of half the size: ``log2(taps)`` passes, not ``taps``."""
    if taps == 1:
        return flat
    half, rest = divmod(taps, 2)
    part = _everywhere(flat, half, distance, combine)
    total: Array = combine(part[: len(part) - half * distance], part[half * distance :])
    if not rest:
        return total
    last = flat[(taps - 1) * distance :]
    head = total[: len(last)]
    combine(head, last, out=head)
    return head
