"""The order of a kernel's taps, transposed matrices, single bits, and biases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.power.wrong import Edit, Place, Wrong

Array = NDArray[Any]

PRODUCTS = ("Conv", "Gemm", "MatMul")
FLIPS = {True: 16, False: 8}
"""Bits flipped in the weights of a layer of a small network, and of a large one."""
NUDGE = np.float32(1.01)


def faults(place: Place, draw: np.random.Generator) -> Iterator[Wrong]:
    """Of a sum of products with constant weights."""
    at = place.find(*PRODUCTS)
    where = None if at is None else place.stored(at, 1)
    if at is None or where is None:
        return
    weight = place.constant(where)
    for kind, detail, changed in _orders(weight):
        if not np.array_equal(changed, weight):
            yield _stored(place, kind, detail, where, changed)
    for _ in range(FLIPS[place.subject.small]):
        yield _flipped(place, where, weight, draw)
    if weight.dtype.kind == "f":
        index = np.unravel_index(int(np.abs(weight).argmax()), weight.shape)
        changed = weight.copy()
        changed[index] *= NUDGE
        yield _stored(place, "weight", f"the largest, at {_text(index)}, 1% larger", where, changed)
    bias = place.stored(at, 2)
    if bias is not None:
        yield from _biases(place, at, bias)


def _stored(place: Place, kind: str, detail: str, where: tuple[int, int], array: Array) -> Wrong:
    return place.change(kind, detail, Edit(where[0], inputs={where[1]: array}))


def _text(index: tuple[Any, ...]) -> str:
    return str([int(i) for i in index])


def _orders(weight: Array) -> Iterator[tuple[str, str, Array]]:
    """Other orders of the same numbers."""
    if weight.ndim > 2:
        axes = tuple(range(2, weight.ndim))
        yield "kernel order", "taps flipped along both axes", np.flip(weight, axes)
        yield "kernel order", "taps mirrored along rows", np.flip(weight, axes[-1])
        if len(axes) == 2 and weight.shape[2] == weight.shape[3]:
            yield "kernel order", "rows and columns of the kernel swapped", weight.swapaxes(2, 3)
    rows, columns, *rest = weight.shape
    if rows == columns:
        yield "transposed weight", "input and output channels swapped", weight.swapaxes(0, 1)
    else:
        read = weight.reshape(columns, rows, *rest).swapaxes(0, 1)
        yield "transposed weight", f"stored as [{rows}, {columns}], read as [{columns}, {rows}] transposed", read


def _flipped(place: Place, where: tuple[int, int], weight: Array, draw: np.random.Generator) -> Wrong:
    """One bit of one weight."""
    flat = int(draw.integers(weight.size))
    index = np.unravel_index(flat, weight.shape)
    width = weight.dtype.itemsize * 8
    bit = int(draw.integers(width))
    changed = weight.copy()
    bits = changed.reshape(-1)[flat : flat + 1].view(f"u{weight.dtype.itemsize}")
    bits ^= bits.dtype.type(1 << bit)
    return _stored(place, "weight", f"bit {bit} of {width} at {_text(index)}", where, changed)


def _biases(place: Place, at: int, where: tuple[int, int]) -> Iterator[Wrong]:
    """Left out, or at another scale."""
    yield place.change("bias missing", "no bias", Edit(at, inputs={2: None}))
    bias = place.constant(where)
    if bias.dtype.kind == "f":
        for factor in (2.0, 0.5, 1.01):
            yield _stored(place, "bias scale", f"times {factor:g}", where, (bias * np.float32(factor)))
        return
    reader = place.steps[where[0]]
    scale = place.subject.native.get(str(reader.inputs[1]))
    if scale is not None:
        for factor in (2.0, 0.5, 1.01):
            changed = scale * np.float32(factor)
            yield place.change("bias scale", f"scale times {factor:g}", Edit(where[0], inputs={1: changed}))
