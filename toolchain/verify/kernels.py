"""Which node of the graph that runs made a tensor, and at which scale and zero point its integers count.

ONNX Runtime's optimiser may change both: of two pairs of QuantizeLinear and DequantizeLinear in a row it drops one and
makes up a scale for the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import numpy_helper

from toolchain.ops.arrays import Array
from toolchain.verify.survivors import Survivor

OUTPUT_PARAMETERS = {
    "QuantizeLinear": (1, 2),
    "QLinearConv": (6, 7),
    "QLinearMatMul": (6, 7),
    "QGemm": (7, 8),
    "QLinearAdd": (6, 7),
    "QLinearMul": (6, 7),
    "QLinearSigmoid": (3, 4),
    "QLinearLeakyRelu": (3, 4),
    "QLinearSoftmax": (3, 4),
    "QLinearAveragePool": (3, 4),
    "QLinearGlobalAveragePool": (3, 4),
    "QLinearConcat": (0, 1),
}
"""Where a node that quantizes has the scale and zero point of its output."""
SIGN = 128
EXACT = "exact"
"""The operator of code that promises the exact integers: nothing may differ, ties included."""
NEAR = "near"
"""The operator of code that promises them of the floats that it rounds, which it computed itself."""


@dataclass(frozen=True)
class Kernel:
    """The node of the runtime's graph that makes a tensor.

    Attributes:
        op: its operator.
        scale: of its integers; ``None`` where it makes none, or it is no constant or not one number.
        zero: their zero point, likewise.
        signed: whether the zero point is of int8.
    """

    op: str = ""
    scale: float | None = None
    zero: int | None = None
    signed: bool = False

    def parameters(self, dtype: np.dtype[np.generic]) -> tuple[float, int] | None:
        """Scale and zero point of the integers in the model's type, or ``None`` where they are not known.

        Where the runtime has uint8 for int8, 128 are added to both integers and zero point.
        """
        if self.scale is None or self.zero is None:
            return None
        return self.scale, self.zero - (SIGN if dtype == np.int8 and not self.signed else 0)


def kernels(running: onnx.ModelProto, watched: Iterable[Survivor]) -> dict[str, Kernel]:
    """For each watched tensor, by the model's names, the node that makes it."""
    constants = {tensor.name: tensor for tensor in running.graph.initializer}
    made: dict[str, Kernel] = {}
    for node in running.graph.node:
        kernel = _kernel(node, constants, made)
        made.update(dict.fromkeys(node.output, kernel))
    return {w.model: made.get(w.running, Kernel()) for w in watched}


def _kernel(node: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto], made: Mapping[str, Kernel]) -> Kernel:
    places = OUTPUT_PARAMETERS.get(node.op_type)
    if places is None:
        before = next((made[name] for name in node.input if name in made), Kernel())
        if node.op_type == "DequantizeLinear":
            return Kernel(node.op_type)
        return Kernel(node.op_type, before.scale, before.zero, before.signed)
    scale, zero = (_one(constants.get(node.input[i])) if i < len(node.input) else None for i in places)
    if scale is None:
        return Kernel(node.op_type)
    if zero is None:
        return Kernel(node.op_type, float(scale), 0)
    return Kernel(node.op_type, float(scale), int(zero), zero.dtype == np.int8)


def _one(tensor: onnx.TensorProto | None) -> Array | None:
    if tensor is None:
        return None
    values = numpy_helper.to_array(tensor)
    return values.reshape(()) if values.size == 1 else None
