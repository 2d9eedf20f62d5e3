"""Operators that read 8-bit tensors themselves, not the real numbers that DequantizeLinear makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

import numpy as np
import onnx_ir as ir

from toolchain.compile.lowering import Fixed, Operand
from toolchain.compile.tensor import INT8_HIGH, INT8_LOW, Quantization, Tensor
from toolchain.nodes import Step

EIGHT_BITS = (ir.DataType.INT8, ir.DataType.UINT8)
MOVING = frozenset(
    {
        *("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout", "Concat", "Transpose", "Slice"),
        *("Expand", "Tile", "Gather", "DepthToSpace", "SpaceToDepth", "MaxPool", "GlobalMaxPool"),
    }
)
"""Each number of their result is one of the numbers that they read, whatever these mean."""
CHOOSING = MOVING | {"ReduceMax", "Pad", "Relu", "Clip", "Resize", "Upsample"}
"""Each number of their result is one of those, or a constant of the node: no sum, which would wrap around."""


def moves(step: Step, values: Mapping[str, Operand], quantized: Quantization) -> bool:
    """Whether a node's result can stay what its inputs are, 8-bit numbers of one scale: it moves them.

    Args:
        step: the node.
        values: what is known of its inputs.
        quantized: of those that are computed.
    """
    op_type = step.facts.op_type
    if op_type in ("Resize", "Upsample"):
        return str(step.attributes.mode) == "nearest"
    if op_type == "Pad" and step.attributes.mode == "constant":
        name = step.inputs[2] if len(step.inputs) > 2 else None
        value = values.get(name) if name else None
        number = value.floats.reshape(-1)[0].item() if isinstance(value, Fixed) else step.attributes.value
        level = Fraction(float(number)) / quantized.scale + quantized.zero if np.isfinite(number) else Fraction(1, 2)
        return level.denominator == 1 and INT8_LOW <= level <= INT8_HIGH and (name is None or value is not None)
    return op_type in MOVING or op_type in ("Pad", "ReduceMax")


def as_integers(dtype: ir.DataType) -> Quantization:
    """What an 8-bit tensor means where it is read as it is: a scale of 1."""
    unsigned = dtype == ir.DataType.UINT8
    return Quantization(Fraction(1), INT8_LOW if unsigned else 0, unsigned)


def taken_as_integers(value: Operand, dtype: ir.DataType) -> Operand:
    """An operand of an operator that reads integers."""
    if not isinstance(value, Tensor):
        return value
    return replace(value, quantization=as_integers(dtype), buffer=value.memory)


def check_integers(step: Step) -> None:
    """Refuse an operator whose result is not one of the integers that it reads.

    Raises:
        UnsupportedError: it computes with 8-bit integers, whose sums and differences wrap around in ONNX.
    """
    mode = getattr(step.attributes, "mode", "nearest")
    if step.facts.op_type not in CHOOSING or mode not in ("nearest", "constant", "reflect", "edge", "wrap"):
        raise step.facts.unsupported(
            "it computes with 8-bit integers themselves", "put it between DequantizeLinear and QuantizeLinear"
        )
