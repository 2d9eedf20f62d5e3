"""Scales and zero points that are Constant nodes."""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes.common import LiftConstantsToInitializersPass

QUANTIZERS = frozenset({"QuantizeLinear", "DequantizeLinear"})


def with_scales_as_initializers(model: ir.Model) -> ir.Model:
    """A model whose scales and zero points are no Constant nodes, as some exporters write them.

    Returns:
        The model itself where none is; else a copy with initializers in place of all Constant nodes. A node without a
        name has that of its place in the model (``toolchain.nodes``).
    """
    quantizers = [node for node in model.graph if node.op_type in QUANTIZERS]
    makers = [value.producer() for node in quantizers for value in node.inputs[1:] if value is not None]
    if not any(maker is not None and maker.op_type == "Constant" for maker in makers):
        return model
    copy = model.clone()
    for index, node in enumerate(copy.graph):
        node.name = node.name or f"{node.op_type}_{index}"
    LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(copy)
    return copy
