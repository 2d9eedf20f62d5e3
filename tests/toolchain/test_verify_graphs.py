"""``verify`` on small graphs that the runtime rewrites: correct ones are certified, wrong ones are found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

from toolchain.load import read
from toolchain.ops import registry
from toolchain.ops.bounds import FLOAT32_ROUNDOFF as U
from toolchain.ops.operator import NodeFacts
from toolchain.verify import Verification, verify

pytest.importorskip("onnxruntime", reason="verify needs the extra `cpu`")

LEVELS = ("off", "basic", "extended", "all")


def weights(*shape: int, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(shape) / 4).astype(np.float32)


def model(
    nodes: Sequence[NodeProto],
    constants: dict[str, np.ndarray],
    shape: Sequence[int | str],
    outputs: Sequence[str] = ("y",),
    kind: int = TensorProto.FLOAT,
    opset: int = 21,
) -> ir.Model:
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info("x", kind, shape)],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    return read(onnx.shape_inference.infer_shapes(proto).SerializeToString(), "m")


def node(op_type: str, inputs: Sequence[str], output: str, name: str = "", **attributes: object) -> NodeProto:
    return helper.make_node(op_type, list(inputs), [output], name, **attributes)


def conv(x: str, w: str, y: str) -> NodeProto:
    return node("Conv", [x, w], y, pads=[1, 1, 1, 1])


def certified(found: Verification) -> None:
    assert found.ok, (found.unobserved, found.undisturbed, [r.describe() for r in found.defects])


def residual(factor: float = 1.0) -> ir.Model:
    w = {"w0": weights(8, 3, 3, 3), "w1": weights(8, 8, 3, 3, seed=1)}
    w["w1"][0, 0, 0, 0] *= factor
    nodes = [conv("x", "w0", "a"), node("Relu", ["a"], "b"), conv("b", "w1", "c")]
    return model([*nodes, node("Add", ["c", "b"], "d"), node("Relu", ["d"], "y")], w, [1, 3, 6, 6])


@pytest.mark.parametrize("optimization", LEVELS)
def test_an_addition_fused_into_a_blocked_convolution_keeps_the_name_of_the_convolution_only(optimization: str) -> None:
    certified(verify(residual(), synthetic=2, optimization=optimization))


@pytest.mark.parametrize("optimization", LEVELS)
def test_a_wrong_weight_under_a_fused_addition_is_found(optimization: str) -> None:
    found = verify(residual(), residual(1.01), synthetic=2, optimization=optimization)
    assert not found.ok
    assert found.worst is not None
    assert "Conv" in found.worst.operators


@pytest.mark.parametrize("optimization", LEVELS)
def test_transposes_without_names_are_the_models_own(optimization: str) -> None:
    nodes = [
        conv("x", "w", "a"),
        node("Transpose", ["a"], "b", perm=[0, 2, 3, 1]),
        node("MatMul", ["b", "m"], "c"),
        node("Sigmoid", ["c"], "d"),
        node("Transpose", ["d"], "y", perm=[0, 3, 1, 2]),
    ]
    certified(
        verify(
            model(nodes, {"w": weights(8, 8, 3, 3), "m": weights(8, 8)}, [2, 8, 5, 4]),
            synthetic=2,
            optimization=optimization,
        )
    )


@pytest.mark.parametrize("optimization", LEVELS)
def test_nodes_that_no_output_needs_do_not_fail_a_model(optimization: str) -> None:
    nodes = [node("Relu", ["x"], "y", "relu"), node("Exp", ["x"], "unused", "dead")]
    certified(verify(model(nodes, {}, [1, 4]), synthetic=2, optimization=optimization))


@pytest.mark.parametrize("optimization", LEVELS)
def test_outputs_that_are_constants_or_scalars_or_used_inside(optimization: str) -> None:
    nodes = [
        node("Add", ["one", "one"], "two", "fold"),
        node("Relu", ["x"], "inner", "relu"),
        node("ReduceSum", ["inner"], "y", "sum", keepdims=0),
    ]
    given = model(nodes, {"one": np.ones(3, np.float32)}, [1, 4], outputs=("y", "inner", "two"))
    certified(verify(given, synthetic=2, optimization=optimization))


@pytest.mark.parametrize("optimization", LEVELS)
def test_a_shape_computed_behind_fused_nodes_carries_no_error(optimization: str) -> None:
    nodes = [
        node("Transpose", ["x"], "a", perm=[0, 2, 3, 1]),
        node("Sigmoid", ["a"], "b"),
        node("Transpose", ["b"], "c", perm=[0, 3, 1, 2]),
        node("Shape", ["c"], "s"),
        node("Gather", ["s", "zero"], "n"),
        node("Concat", ["n", "rest"], "t", axis=0),
        node("LRN", ["c"], "r", size=3, alpha=0.1),
        node("Reshape", ["r", "t"], "y"),
    ]
    constants = {"zero": np.array([0]), "rest": np.array([-1])}
    certified(verify(model(nodes, constants, ["N", 4, 3, 2]), synthetic=2, optimization=optimization))


@pytest.mark.parametrize("optimization", LEVELS)
def test_a_folded_convolution_of_nothing_but_zeros_is_bounded(optimization: str) -> None:
    nodes = [node("Relu", ["x"], "a"), node("Sub", ["a", "a"], "z"), conv("z", "w", "b"), node("Add", ["b", "c"], "y")]
    constants = {"w": weights(4, 4, 3, 3), "c": weights(4, 1, 1)}
    certified(verify(model(nodes, constants, [1, 4, 4, 4]), synthetic=1, optimization=optimization))


@pytest.mark.parametrize("optimization", LEVELS)
@pytest.mark.parametrize("ends", ["short", "mixed"])
def test_float16_has_its_own_roundoff_and_its_own_smallest_number(ends: str, optimization: str) -> None:
    """Outputs among the subnormal numbers of float16 are rounded to steps of 2^-24."""
    half = TensorProto.FLOAT16
    small = (weights(4, 4, 3, 3) * 1e-6).astype(np.float16)
    if ends == "short":
        given = model([conv("x", "w", "a"), node("Tanh", ["a"], "y")], {"w": small}, [1, 4, 5, 5], kind=half)
    else:
        nodes = [node("Cast", ["x"], "a", to=half), conv("a", "w", "b"), node("Cast", ["b"], "y", to=TensorProto.FLOAT)]
        given = model(nodes, {"w": small}, [1, 4, 5, 5])
    found = verify(given, synthetic=2, optimization=optimization)
    certified(found)
    assert found.roundoff == 2.0**-11


def test_a_graph_that_cannot_run_names_the_node_that_cannot() -> None:
    constants = {"w": weights(4, 3, 3, 3)}
    good = model([node("Conv", ["x", "w"], "a", "conv"), node("Relu", ["a"], "y", "relu")], constants, [1, 3, 4, 4])
    wrong = good.clone()
    next(iter(wrong.graph)).attributes["dilations"] = ir.AttrInt64s("dilations", [2, 2])
    found = verify(good, wrong, synthetic=1)
    assert not found.ok
    assert found.worst is not None
    assert found.worst.nodes == ("conv",)


def test_numbers_beyond_float32_may_be_infinite() -> None:
    given = model([node("Mul", ["x", "c"], "a"), node("Mul", ["a", "c"], "y")], {"c": np.float32([3e38])}, [1, 4])
    certified(verify(given, synthetic=2, optimization="off"))


@pytest.mark.parametrize(
    ("op", "version", "attributes"),
    [
        ("LRN", 13, {"size": 3, "alpha": 0.3, "beta": 0.75, "bias": 1.0}),
        ("LeakyRelu", 16, {"alpha": -0.5}),
        ("Elu", 22, {"alpha": -1.5}),
    ],
)
def test_spread_covers_random_points_of_the_error_box(op: str, version: int, attributes: dict[str, float]) -> None:
    operator = registry()[("", op)]
    facts = NodeFacts("n", op, "", version, attributes, (True,), 1)
    parsed = operator.parse(facts)
    rng = np.random.default_rng(0)
    x, error = rng.standard_normal((2, 5, 3)), np.abs(rng.standard_normal((2, 5, 3))) / 5
    assert operator.spread is not None
    (limit,) = operator.spread(operator, parsed, [x], [error], U)
    exact = operator.evaluate(parsed, [x])[0]
    for _ in range(200):
        moved = operator.evaluate(parsed, [x + error * rng.uniform(-1, 1, x.shape)])[0]
        assert np.all(np.abs(moved - exact) <= limit + 1e-15)
    assert np.all(limit < 1.0)


@pytest.mark.parametrize(("op", "version"), [("InstanceNormalization", 22), ("LayerNormalization", 17)])
def test_spread_of_a_normalisation_covers_random_points_of_the_error_box(op: str, version: int) -> None:
    operator = registry()[("", op)]
    parsed = operator.parse(NodeFacts("n", op, "", version, {}, (True, True, True), 1))
    rng = np.random.default_rng(1)
    x, error = rng.standard_normal((2, 5, 5)), np.abs(rng.standard_normal((2, 5, 5))) / 20
    scale, bias = rng.standard_normal(5), rng.standard_normal(5)
    assert operator.spread is not None
    (limit,) = operator.spread(operator, parsed, [x, scale, bias], [error, None, None], U)
    exact = operator.evaluate(parsed, [x, scale, bias])[0]
    for _ in range(200):
        signs = rng.choice([-1.0, 1.0], x.shape) * rng.choice([1.0, rng.random()])
        moved = operator.evaluate(parsed, [x + error * signs, scale, bias])[0]
        assert np.all(np.abs(moved - exact) <= limit)
    assert np.all(limit < 2.0)


def test_shapes_and_indices_do_not_spread_errors() -> None:
    operator = registry()[("", "Shape")]
    parsed = operator.parse(NodeFacts("n", "Shape", "", 21, {}, (True,), 1))
    assert operator.spread is not None
    (limit,) = operator.spread(operator, parsed, [np.ones((2, 3))], [np.ones((2, 3))], U)
    assert not limit.any()
    assert registry()[("", "ArgMax")].spread is None


def test_data_of_an_npz_is_judged_sample_by_sample(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=weights(5, 3, 6, 6))
    certified(verify(residual(), data=str(tmp_path / "x.npz")))
