"""Where partial results leave the range of float32: correct arithmetic is not accused, and nothing is certified."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

pytest.importorskip("onnxruntime", reason="its kernels overflow here")

from toolchain.data import Samples
from toolchain.nodes import steps
from toolchain.ops.bounds import FLOAT32_ROUNDOFF
from toolchain.ops.moments import normalized_bounds
from toolchain.reference import Reference
from toolchain.verify import verify
from toolchain.verify.judge import exact
from toolchain.verify.regions import Region
from toolchain.verify.verdict import Verification

F32 = np.float32
ONES = {"scale": np.ones(8, F32), "bias": np.zeros(8, F32)}


def verified(op: str, x: np.ndarray, shape: list[int], constants: dict[str, np.ndarray], **facts: Any) -> Verification:
    graph = helper.make_graph(
        [helper.make_node(op, ["x", *constants], ["y"], name="n", **facts)],
        "range",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(x.shape))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))
    return verify(model, data=Samples("edges", {"x": x.astype(F32)}, None), end_to_end=False)


ROW = np.linspace(0.5, 1.5, 8)[None]
PLANE = np.linspace(-1, 1, 128).reshape(1, 8, 4, 4)
HALVES = np.repeat([3e38, -3e38], 8)
OVERFLOWING: dict[str, tuple[Any, ...]] = {
    "squares of ReduceL2": ("ReduceL2", ROW * 1e20, [1, 1], {}, {"axes": [1]}),
    "squares of LpPool": ("LpPool", PLANE * 1e20, [1, 8, 3, 3], {}, {"kernel_shape": [2, 2]}),
    "squares of LRN": ("LRN", PLANE * 1e20, [1, 8, 4, 4], {}, {"size": 3}),
    "squares of LayerNormalization": ("LayerNormalization", ROW * 1e20, [1, 8], ONES, {}),
    "squares of InstanceNormalization": ("InstanceNormalization", PLANE * 1e20, [1, 8, 4, 4], ONES, {}),
    "sum of ReduceMean": ("ReduceMean", HALVES[None], [1, 1], {}, {"axes": [1]}),
    "sum of GlobalAveragePool": ("GlobalAveragePool", HALVES.reshape(1, 1, 4, 4), [1, 1, 1, 1], {}, {}),
    "sum of AveragePool": ("AveragePool", HALVES.reshape(1, 1, 4, 4), [1, 1, 1, 1], {}, {"kernel_shape": [4, 4]}),
    "infinity less infinity": ("ReduceSum", np.tile([3e38, -3e38], 8)[None], [1, 1], {}, {}),
}


@pytest.mark.parametrize("case", OVERFLOWING)
def test_what_overflows_on_the_way_is_no_defect_and_no_certificate(case: str) -> None:
    op, x, shape, constants, facts = OVERFLOWING[case]
    (region,) = verified(op, x, shape, constants, **facts).regions
    assert 2 * region.unlimited > region.elements
    # By which partial sums a kernel comes to its result depends on its vectors; it may get it right.
    assert region.status == "vacuous" or (region.status == "ok" and not region.unproved), region.describe()


@pytest.mark.parametrize("case", OVERFLOWING)
def test_the_same_within_the_range_is_certified(case: str) -> None:
    op, x, shape, constants, facts = OVERFLOWING[case]
    found = verified(op, x / np.abs(x).max(), shape, constants, **facts)
    assert found.ok, found.regions[0].describe()
    assert found.regions[0].elements
    assert not found.regions[0].unlimited


def test_squares_that_underflow_are_no_defect() -> None:
    found = verified("ReduceL2", ROW * 1e-23, [1, 1], {}, axes=[1])
    assert found.ok, found.regions[0].describe()


def test_a_variance_lost_to_cancellation_is_not_certified() -> None:
    # Mean 10,000, deviation 0.002: in float32 the variance as mean(x^2) - mean^2 is any number.
    x = 1e4 + 1e-3 * np.arange(8.0)[None]
    (region,) = verified("LayerNormalization", x, [1, 8], ONES).regions
    assert region.status == "vacuous", region.describe()


def test_no_limit_means_infinity_and_no_large_number() -> None:
    x = (1e4 + 1e-3 * np.arange(8.0))[None].astype(F32).astype(np.float64)
    bound, _, _ = normalized_bounds(x, (1,), 1e-5, np.ones(8), np.zeros(8), FLOAT32_ROUNDOFF)
    assert np.isposinf(bound.sound).all()


@pytest.mark.parametrize(
    "behind",
    [
        [helper.make_node("Mul", ["m", "k"], ["y"])],
        [helper.make_node("MatMul", ["m", "kk"], ["y"])],
        [helper.make_node("Softmax", ["m"], ["s"]), helper.make_node("Mul", ["s", "k"], ["y"])],
    ],
    ids=lambda nodes: "+".join(node.op_type for node in nodes),
)
def test_no_limit_stays_none_behind_a_factor_of_zero(behind: list[onnx.NodeProto]) -> None:
    generator = np.random.default_rng(0)
    terms, u = 4096, 2.0**-11
    constants = {"w": generator.standard_normal((terms, 4)), "k": np.arange(4.0), "kk": np.eye(4)}
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["m"]), *behind],
        "zero",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, terms])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 4])],
        [numpy_helper.from_array(array.astype(F32), name) for name, array in constants.items()],
    )
    model = ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9))
    x = generator.standard_normal((2, terms)).astype(F32)
    _, bound = exact(Region("y", steps(model), ("x",)), Reference(model).constants, {"x": x}, u)
    assert np.isposinf(bound.sound).all()
    assert not np.isnan(bound.probable).any()
