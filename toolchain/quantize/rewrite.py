"""The float graph made ready, and rewritten to int8 QDQ by ONNX Runtime's quantizer."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx_ir.passes import common as passes

from toolchain.errors import MissingError, UnknownNameError, UsageError
from toolchain.quantize.ranges import METHODS, PERCENTILE, Range
from toolchain.session import onnxruntime

TYPES = ("int8", "uint8")
# The integer form of each is defined exactly: sums, tables of 256 entries, or moved values.
OP_TYPES = (
    *("Conv", "ConvTranspose", "Gemm", "MatMul", "Add", "Sub", "Mul", "Concat", "Split", "Pad"),
    *("MaxPool", "AveragePool", "GlobalAveragePool", "Relu", "Clip", "LeakyRelu", "Tanh", "Sigmoid"),
    *("HardSigmoid", "HardSwish", "Elu", "LRN", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze"),
    *("Resize", "Slice", "BatchNormalization"),
)
PREPARED = {"onnx.infer": "onnxruntime.quant"}
NORMALIZATION = "BatchNormalization"
QDQ = ("QuantizeLinear", "DequantizeLinear")


@dataclass(frozen=True)
class Scheme:
    """How numbers become integers.

    Attributes:
        activations: ``int8`` or ``uint8``.
        weights: ``int8`` (symmetric) or ``uint8`` (asymmetric).
        per_channel: a scale for every output channel of a weight, not one for all.
        symmetric: activations' zero points are the middle of the type.
        reduce_range: weights take 7 bits, -64..64. Then two products with an 8-bit activation fit into 16
            bits, and processors without 8-bit dot products (AVX2: VPMADDUBSW) give the same answer as all
            others; with the full range ONNX Runtime saturates there without a word.
        method: of choosing ranges, a value of ``ranges.METHODS``.
        percentile: of method ``percentile``.
    """

    activations: str = "int8"
    weights: str = "int8"
    per_channel: bool = True
    symmetric: bool = False
    reduce_range: bool = True
    method: str = "minmax"
    percentile: float = PERCENTILE

    def check(self) -> None:
        """Refuse values that mean nothing.

        Raises:
            UnknownNameError: a type or method that does not exist.
            UsageError: a percentile outside 50..100.
        """
        for kind, name in (("activation type", self.activations), ("weight type", self.weights)):
            if name not in TYPES:
                raise UnknownNameError(kind, name, TYPES)
        if self.method not in METHODS:
            raise UnknownNameError("calibration method", self.method, METHODS)
        if not 50.0 < self.percentile <= 100.0:
            raise UsageError(f"the percentile is {self.percentile}, expected more than 50 and at most 100")


@dataclass(frozen=True)
class FloatLayer:
    """A node that still computes in floating point.

    Attributes:
        node: its name.
        op_type: its operator.
        reason: why.
    """

    node: str
    op_type: str
    reason: str


def prepare(model: ir.Model) -> ir.Model:
    """A copy ready to be quantized: batch normalisation folded, constants folded, shapes known, nodes named.

    Raises:
        MissingError: onnxscript is not installed.
    """
    try:
        from onnxscript import optimizer, rewriter
        from onnxscript.rewriter.rules.common import (
            fuse_batchnorm_into_conv_rule,
            fuse_batchnorm_into_conv_transpose_rule,
            fuse_batchnorm_into_gemm_rule,
        )
    except ImportError as error:
        raise MissingError(f"onnxscript is not installed ({error}); install onnx-edge[cpu]") from error
    copy = model.clone()
    optimizer.fold_constants_ir(copy)
    folded = {node.outputs[0].name: node.inputs[0] for node in copy.graph if node.op_type == NORMALIZATION}
    names = {
        output: value.producer().name  # type: ignore[union-attr]
        for output, value in folded.items()
        if value is not None and value.producer() is not None
    }
    rules = (
        fuse_batchnorm_into_conv_rule,
        fuse_batchnorm_into_conv_transpose_rule,
        fuse_batchnorm_into_gemm_rule,
    )
    copy = rewriter.rewrite(copy, pattern_rewrite_rules=rules)
    for node in copy.graph:
        # The layer that took a normalisation in keeps its name, by which users know it.
        if node.op_type != NORMALIZATION and node.outputs[0].name in names:
            node.name = names[node.outputs[0].name]
    passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(copy)
    passes.RemoveUnusedNodesPass()(copy)
    passes.ShapeInferencePass()(copy)
    passes.NameFixPass()(copy)
    taken = {node.name for node in copy.graph if node.name}
    for index, node in enumerate(copy.graph):
        if not node.name:
            fresh = f"{node.op_type}_{index}"
            node.name = fresh if fresh not in taken else f"{fresh}_of_graph"
    return copy


def observed(model: ir.Model, exclude: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """The activations whose ranges the rewrite needs: float tensors at the nodes to be quantized.

    Args:
        model: from :func:`prepare`.
        exclude: names of nodes to be left in float.

    Raises:
        UnknownNameError: ``exclude`` names no node.
    """
    names = {node.name for node in model.graph if node.name}
    for stranger in sorted(exclude - names):
        raise UnknownNameError("node", stranger, names)
    found: dict[str, None] = {}
    for node in model.graph:
        if node.op_type not in OP_TYPES or node.name in exclude:
            continue
        for value in (*node.inputs, *node.outputs):
            if value is not None and value.name and value.const_value is None and _is_float(value):
                found[value.name] = None
    return tuple(found)


def _is_float(value: ir.Value) -> bool:
    return value.dtype in (ir.DataType.FLOAT, ir.DataType.FLOAT16)


def rewrite(
    model: ir.Model,
    ranges: Mapping[str, Range],
    scheme: Scheme,
    exclude: frozenset[str] = frozenset(),
) -> ir.Model:
    """Insert QuantizeLinear and DequantizeLinear by ONNX Runtime's quantizer.

    Args:
        model: from :func:`prepare`.
        ranges: of every tensor that :func:`observed` names.
        scheme: types, channels, symmetry.
        exclude: names of nodes to be left in float.

    Returns:
        The quantized model with the metadata of ``model``.
    """
    onnxruntime()
    from onnxruntime.quantization import CalibrationMethod, QuantType
    from onnxruntime.quantization.calibrate import TensorsData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    proto = ir.to_proto(model)
    # With this mark the quantizer takes the shapes as they are and writes no temporary files.
    onnx.helper.set_model_props(proto, {**dict(model.metadata_props), **PREPARED})
    types = {"int8": QuantType.QInt8, "uint8": QuantType.QUInt8}
    observed_ranges: dict[str, Any] = {
        name: (np.array(r.low, np.float32), np.array(r.high, np.float32)) for name, r in ranges.items()
    }
    quantizer = QDQQuantizer(
        proto,
        scheme.per_channel,
        scheme.reduce_range,
        types[scheme.weights],
        types[scheme.activations],
        TensorsData(CalibrationMethod.MinMax, observed_ranges),
        [],
        sorted(exclude),
        list(OP_TYPES),
        {"ActivationSymmetric": scheme.symmetric, "WeightSymmetric": scheme.weights == "int8"},
    )
    with _quiet():
        quantizer.quantize_model()
        quantizer.model.topological_sort()
    made = quantizer.model.model
    onnx.helper.set_model_props(made, dict(sorted(model.metadata_props.items())))
    made.producer_name, made.producer_version = model.producer_name or "", model.producer_version or ""
    quantized: ir.Model = ir.from_proto(made)
    passes.RemoveUnusedOpsetsPass()(quantized)
    return quantized


class _quiet:  # noqa: N801 - reads as a statement
    """The quantizer logs advice on the root logger that means nothing to a user of this command."""

    def __enter__(self) -> None:
        self.before = logging.root.manager.disable
        logging.disable(logging.WARNING)

    def __exit__(self, *_: object) -> None:
        logging.disable(self.before)


def float_layers(model: ir.Model, exclude: frozenset[str] = frozenset()) -> tuple[FloatLayer, ...]:
    """The nodes of a QDQ model that no integer kernel can stand for, each with the reason."""
    found = []
    for node in model.graph:
        if node.op_type in QDQ or not any(_is_float(value) for value in node.outputs):
            continue
        reason = _float_reason(node, exclude)
        if reason is not None:
            found.append(FloatLayer(node.name or "", node.op_type, reason))
    return tuple(found)


def _float_reason(node: ir.Node, exclude: frozenset[str]) -> str | None:
    if node.name in exclude:
        return "excluded on request"
    for value in node.inputs:
        if value is None or not _is_float(value) or value.const_value is not None:
            continue
        producer = value.producer()
        if producer is None or producer.op_type != "DequantizeLinear":
            known = node.op_type in OP_TYPES
            return f"its input {value.name!r} is not quantized" if known else _no_form(node)
    for value in node.outputs:
        if value.is_graph_output() or any(use.node.op_type != "QuantizeLinear" for use in value.uses()):
            known = node.op_type in OP_TYPES
            return f"its output {value.name!r} is not quantized" if known else _no_form(node)
    return None


def _no_form(node: ir.Node) -> str:
    return f"operator {node.op_type} has no exact 8-bit form here"


def inexact_biases(model: ir.Model) -> tuple[str, ...]:
    """Nodes whose bias scale is not the float32 nearest to input scale times weight scale.

    A bias at another scale cannot be added to the integer accumulator exactly.
    """
    found = []
    for node in model.graph:
        if node.op_type not in ("Conv", "ConvTranspose", "Gemm") or len(node.inputs) < 3:
            continue
        scales = [_scale(value) for value in node.inputs[:3]]
        if any(scale is None for scale in scales):
            continue
        x, w, b = (np.asarray(scale, dtype=np.float64) for scale in scales)
        # The product of two float32 is exact in float64, so one rounding follows: to the nearest float32.
        if not np.array_equal((x * w).astype(np.float32).ravel(), b.astype(np.float32).ravel()):
            found.append(node.name or "")
    return tuple(found)


def _scale(value: ir.Value | None) -> Any:
    node = value.producer() if value is not None else None
    if node is None or node.op_type != "DequantizeLinear" or node.inputs[1] is None:
        return None
    constant = node.inputs[1].const_value
    return None if constant is None else constant.numpy()
