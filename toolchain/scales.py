"""Scales of quantized tensors that mean something: finite, and of one sign.

The specification divides by the scale (QuantizeLinear) or multiplies with it, and is silent on what NaN, an infinity or
a negative number would mean; runtimes part there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from toolchain.ops.arrays import Array
from toolchain.ops.operator import Spec

SCALES: dict[str, tuple[int, ...]] = {
    "QuantizeLinear": (1,),
    "DequantizeLinear": (1,),
    "QLinearConv": (1, 4, 6),
    "QLinearMatMul": (1, 4, 6),
}
"""Which inputs of an operator are scales."""


def scale_problem(node: ir.Node, inputs: Sequence[Spec | None]) -> str:
    """What is wrong with a node's scales, as far as they are constants; empty where nothing is.

    A scale of 0 divides in QuantizeLinear and is refused there; DequantizeLinear makes zeros of it, as some quantizers
    store channels without weights.

    Args:
        node: of any operator.
        inputs: what is known of its inputs.
    """
    for index in SCALES.get(node.op_type, ()):
        if node.domain in ("", "ai.onnx") and index < len(inputs):
            values = _constant(node.inputs[index], inputs[index])
            if values is None or values.dtype.kind != "f":
                continue
            least = 0.0 if node.op_type == "DequantizeLinear" else np.finfo(np.float64).tiny
            wrong = ~(np.isfinite(values) & (values >= least))
            if wrong.any():
                found = float(values[wrong].flat[0])
                wanted = "finite, and not negative" if least == 0.0 else "finite, and more than 0"
                return f"scale (input {index}) is {found!r}; expected it {wanted}; quantize the model again"
    return ""


def _constant(value: ir.Value | None, spec: Spec | None) -> Array | None:
    """A tensor's content in float64, where the file states it."""
    if value is None or spec is None:
        return None
    if spec.value is not None:
        return np.asarray(spec.value)
    tensor = value.const_value
    return None if tensor is None or not tensor.dtype.is_floating_point() else tensor.numpy().astype(np.float64)
