"""Build one node, run it in the reference and in ONNX Runtime: shared by the tests of the operators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
from onnx import helper

from toolchain.nodes import Step, steps
from toolchain.ops.bounds import FLOAT32_ROUNDOFF, Bound
from toolchain.ops.operator import widen
from toolchain.reference import Reference


def one_node(
    op_type: str,
    inputs: Sequence[np.ndarray | None],
    attributes: Mapping[str, Any] | None = None,
    *,
    opset: int = 21,
    outputs: int = 1,
    domain: str = "",
) -> onnx.ModelProto:
    """A model of a single node whose inputs are the graph's."""
    names = ["" if array is None else f"x{i}" for i, array in enumerate(inputs)]
    given = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
        for name, a in zip(names, inputs, strict=True)
        if a is not None
    ]
    results = [f"y{i}" for i in range(outputs)]
    node = helper.make_node(op_type, names, results, name="node", domain=domain, **(attributes or {}))
    infos = [onnx.ValueInfoProto(name=name) for name in results]
    graph = helper.make_graph([node], "one", given, infos)
    imports = [helper.make_opsetid("", opset)]
    if domain:
        imports.append(helper.make_opsetid(domain, 1))
    return helper.make_model(graph, opset_imports=imports, ir_version=10)


def feeds(inputs: Sequence[np.ndarray | None]) -> dict[str, np.ndarray]:
    return {f"x{i}": np.asarray(a) for i, a in enumerate(inputs) if a is not None}


def reference(op_type: str, inputs: Sequence[np.ndarray | None], attributes=None, **options) -> list[np.ndarray]:
    model = ir.from_proto(one_node(op_type, inputs, attributes, **options))
    results = Reference(model).run(feeds(inputs))
    return [results[f"y{i}"] for i in range(options.get("outputs", 1))]


def step(op_type: str, inputs: Sequence[np.ndarray | None], attributes=None, **options) -> Step:
    return steps(ir.from_proto(one_node(op_type, inputs, attributes, **options)))[0]


def runtime(op_type: str, inputs: Sequence[np.ndarray | None], attributes=None, **options) -> list[np.ndarray]:
    native = ort.SessionOptions()
    native.log_severity_level = 3
    native.intra_op_num_threads = 1
    native.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    model = one_node(op_type, inputs, attributes, **options)
    session = ort.InferenceSession(model.SerializeToString(), native, providers=["CPUExecutionProvider"])
    return session.run(None, feeds(inputs))


def bounds(op_type: str, inputs: Sequence[np.ndarray | None], attributes=None, **options) -> tuple[Bound, ...]:
    it = step(op_type, inputs, attributes, **options)
    wide = [None if a is None else widen(a) for a in inputs]
    exact = it.operator.evaluate(it.attributes, wide)
    return it.operator.bound(it.attributes, wide, exact, FLOAT32_ROUNDOFF)


def agree(op_type: str, inputs: Sequence[np.ndarray | None], attributes=None, **options) -> None:
    """ONNX Runtime lies within the sound bound of the reference, in every output."""
    ours, theirs = reference(op_type, inputs, attributes, **options), runtime(op_type, inputs, attributes, **options)
    for exact, got, bound in zip(ours, theirs, bounds(op_type, inputs, attributes, **options), strict=True):
        assert exact.shape == got.shape
        assert exact.dtype == widen(got).dtype
        a, b = exact.astype(np.float64), got.astype(np.float64)
        with np.errstate(invalid="ignore"):
            error = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.abs(a - b))
        assert (error <= bound.sound).all(), (op_type, attributes, float(np.nanmax(error)))
