"""Graphs of several nodes on which a runtime parts from the specification."""

from __future__ import annotations

import numpy as np

from tests.graphs.sketch import Graph, Sketch
from tests.graphs.small import F32, chain, ramp


def float_weights() -> Graph:
    """A Conv of float weights between two pairs of steps into and out of 8 bits."""
    weights = np.linspace(-1.0, 1.0, 24, dtype=F32).reshape(3, 8, 1, 1) ** 3
    bias = np.array([0.003, 0.3, -0.1], F32)
    before, after = (F32(0.0371), np.uint8(3)), (F32(0.0031), np.uint8(128))
    return chain(
        np.linspace(-1, 1, 64, dtype=F32).reshape(1, 8, 2, 4),
        ("QuantizeLinear", before, {}),
        ("DequantizeLinear", before, {}),
        ("Conv", (weights, bias), {}),
        ("QuantizeLinear", after, {}),
        ("DequantizeLinear", after, {}),
        opset=17,
    )


def quantized_twice() -> Graph:
    """A MaxPool with indices between a Clip and two pairs of steps into and out of 8 bits."""
    sketch = Sketch(13, {"x": ramp(1, 1, 4)}, barred=lambda _: False)
    scale, zero = sketch.constant(F32(0.3)), sketch.constant(np.uint8(0))
    current = sketch.add("Clip", ["x", sketch.constant(F32(0)), sketch.constant(F32(3.1))])
    current = sketch.add("MaxPool", [current], 2, kernel_shape=[2])
    for op, attributes in (("QuantizeLinear", {}), ("DequantizeLinear", {}), ("Flatten", {"axis": 0})):
        inputs = [current, scale, zero] if op.endswith("Linear") else [current]
        current = sketch.add(op, inputs, **attributes)
    current = sketch.add("QuantizeLinear", [current, scale, zero])
    sketch.add("DequantizeLinear", [current, scale, zero])
    return sketch.finish()


def quantized_around_nothing() -> Graph:
    """Two pairs of different zero points around a Transpose that leaves all in place."""
    first, second = (F32(1), np.uint8(0)), (F32(1), np.uint8(255))
    return chain(
        F32([[0.1257302165031433, -0.13210485875606537]]),
        ("QuantizeLinear", first, {}),
        ("DequantizeLinear", first, {}),
        ("Transpose", (), {"perm": [0, 1]}),
        ("QuantizeLinear", second, {}),
        ("DequantizeLinear", second, {}),
        *(("Relu", (), {}) for _ in range(4)),
        ("Transpose", (), {"perm": [0, 1]}),
        opset=10,
    )
