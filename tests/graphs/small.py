"""Small graphs written by hand, or kept from a failure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.graphs.sketch import Graph, Sketch

Array = NDArray[Any]
F32 = np.float32


def one(op: str, x: Any, *constants: Any, opset: int = 22, outputs: int = 1, **attributes: Any) -> Graph:
    """A graph of one node."""
    array = np.asarray(x)
    sketch = Sketch(opset, {"x": array}, barred=lambda _: False)
    inputs = ["x", *(None if c is None else sketch.constant(c) for c in constants)]
    sketch.add(op, inputs, outputs, **attributes)
    return sketch.finish()


def chain(x: Array, *nodes: tuple[str, tuple[Any, ...], dict[str, Any]], opset: int = 13) -> Graph:
    """A graph of nodes one behind the other: operator, constants after the first input, attributes."""
    sketch = Sketch(opset, {"x": x}, barred=lambda _: False)
    current: str | None = "x"
    for op, constants, attributes in nodes:
        current = sketch.add(
            op, [current, *(None if c is None else sketch.constant(c) for c in constants)], **attributes
        )
    return sketch.finish()


def bracket(op: str, x: Array, before: float, after: float, dtype: Any, **attributes: Any) -> Graph:
    """A node between steps into and out of 8 bits, of two scales."""
    scales = F32(before), F32(after)
    zero = np.asarray(0, dtype)
    return chain(
        x,
        ("QuantizeLinear", (scales[0], zero), {}),
        ("DequantizeLinear", (scales[0], zero), {}),
        (op, (), attributes),
        ("QuantizeLinear", (scales[1], zero), {}),
        ("DequantizeLinear", (scales[1], zero), {}),
        opset=21,
    )


def quantized_twice_over() -> Graph:
    """Two pairs of steps into and out of 8 bits, of two scales."""
    pairs = [(F32(0.25), np.uint8(3)), (F32(0.0371), np.uint8(0))]
    steps = [(op, pair, {}) for pair in pairs for op in ("QuantizeLinear", "DequantizeLinear")]
    return chain(np.array([[0.3, 0.77, 2.0, -3.0]], F32), *steps)


def after_adding(special: Any, op: str, *constants: Any, opset: int = 22, **attributes: Any) -> Graph:
    """A node behind the sum of zeros and special values."""
    array = np.asarray(special, F32)
    return chain(np.zeros_like(array), ("Add", (array,), {}), (op, constants, attributes), opset=opset)


def ramp(*shape: int) -> Array:
    """1, 2, 3, ... as float32."""
    return np.arange(1, 1 + math.prod(shape), dtype=F32).reshape(shape)


def kept(
    opset: int,
    feeds: Mapping[str, Array],
    constants: Mapping[str, Array],
    *nodes: tuple[str, Sequence[str], int, Mapping[str, Any]],
) -> Graph:
    """A graph as a failure prints it: of each node the operator, its inputs, the number of its outputs, attributes."""
    sketch = Sketch(opset, feeds, barred=lambda _: False)
    for name, array in constants.items():
        sketch.constant(array, name=name)
    for op, inputs, outputs, attributes in nodes:
        sketch.add(op, [name or None for name in inputs], outputs, **attributes)
    return sketch.finish()


def tensor(dtype: str, shape: Sequence[int], numbers: Sequence[Any]) -> Array:
    """An array of a type and shape."""
    return np.array(numbers, dtype=dtype).reshape(tuple(shape))
