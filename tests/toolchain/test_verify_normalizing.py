"""LayerNormalization in nine nodes, fused by the runtime: judged as what it computes."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from onnx import helper, numpy_helper

from toolchain.nodes import steps
from toolchain.ops.bounds import FLOAT32_ROUNDOFF
from toolchain.reference import Reference
from toolchain.shapes import infer
from toolchain.verify import verify
from toolchain.verify.judge import exact
from toolchain.verify.normalizing import recognized
from toolchain.verify.regions import Region

WIDTH = 24


def nine_nodes(
    *,
    opset: int = 14,
    square: str = "Pow",
    epsilon: float = 1e-5,
    axis: int = -1,
    bias: bool = True,
    aliased: bool = False,
    commuted: bool = False,
    read_twice: bool = False,
) -> ir.Model:
    generator = np.random.default_rng(8)
    facts: dict[str, Any] = {
        "scale": generator.uniform(0.5, 2.0, WIDTH).astype(np.float32),
        "bias": generator.standard_normal(WIDTH).astype(np.float32),
        "two": np.array(2.0, np.float32),
        "epsilon": np.array(epsilon, np.float32),
        "w": (generator.standard_normal((WIDTH, WIDTH)) / 5).astype(np.float32),
    }
    attributes: dict[str, Any] = {"keepdims": 1}
    axes = []
    if opset >= 18:
        facts["axes"], axes = np.array([axis]), ["axes"]
    else:
        attributes["axes"] = [axis]
    node = helper.make_node
    nodes = [node("Identity", ["scale"], ["alias"], name="alias")] if aliased else []
    nodes += [
        node("MatMul", ["x", "w"], ["m"], name="product"),
        node("ReduceMean", ["m", *axes], ["mean"], name="mean", **attributes),
        node("Sub", ["m", "mean"], ["d"], name="difference"),
        node(square, ["d", "two" if square == "Pow" else "d"], ["square"], name="square"),
        node("ReduceMean", ["square", *axes], ["variance"], name="variance", **attributes),
        node("Add", ["epsilon", "variance"] if commuted else ["variance", "epsilon"], ["inside"], name="inside"),
        node("Sqrt", ["inside"], ["root"], name="root"),
        node("Div", ["d", "root"], ["quotient"], name="quotient"),
        node("Mul", ["quotient", "alias" if aliased else "scale"], ["scaled"], name="scaled"),
    ]
    last = "scaled"
    if bias:
        nodes.append(node("Add", ["bias", "scaled"] if commuted else ["scaled", "bias"], ["shifted"], name="shifted"))
        last = "shifted"
    nodes.append(node("Add", [last, "root"], ["y"], name="twice") if read_twice else node("Relu", [last], ["y"]))
    infos = [helper.make_tensor_value_info(n, 1, ["N", 6, WIDTH]) for n in ("x", "y")]
    constants = [numpy_helper.from_array(array, name) for name, array in facts.items()]
    graph = helper.make_graph(nodes, "layer", infos[:1], infos[1:], constants)
    return ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8))


FORMS: dict[str, dict[str, Any]] = {
    "as PyTorch wrote it": {},
    "squared by Mul": {"square": "Mul"},
    "axes as an input": {"opset": 18},
    "the last axis by its number": {"axis": 2},
    "no bias": {"bias": False},
    "commuted": {"commuted": True},
    "scale by another name": {"aliased": True},
}


def whole(model: ir.Model) -> tuple[Region, dict[str, np.ndarray], dict[str, np.ndarray]]:
    x = np.random.default_rng(1).standard_normal((3, 6, WIDTH)).astype(np.float32)
    return Region("y", steps(model), ("x",)), Reference(model).constants, {"x": x}


@pytest.mark.parametrize("form", FORMS)
def test_recognized_with_the_same_value_and_a_finite_limit(form: str) -> None:
    model = nine_nodes(**FORMS[form])
    region, constants, feeds = whole(model)
    specs = infer(model, {"x": (3, 6, WIDTH)})
    names = [step.operator.name for step in recognized(region.steps, constants, specs)]
    assert [n for n in names if n != "Identity"] == ["MatMul", "LayerNormalization", "Relu"]
    value, bound = exact(region, constants, feeds, FLOAT32_ROUNDOFF, specs)
    np.testing.assert_allclose(value, Reference(model).run(feeds)["y"], rtol=1e-12, atol=1e-12)
    assert np.isfinite(bound.sound).all()
    assert bound.sound.max() < 1e-2


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("optimization", ["off", "all"])
def test_the_runtime_is_certified(form: str, optimization: str) -> None:
    found = verify(nine_nodes(**FORMS[form]), synthetic=8, optimization=optimization)
    assert found.ok, found.worst and found.worst.describe()


def test_another_epsilon_is_found() -> None:
    found = verify(nine_nodes(), nine_nodes(epsilon=1e-3), synthetic=8)
    assert not found.ok
    assert found.defects


@pytest.mark.parametrize("form", [{"axis": 1}, {"read_twice": True}])
def test_what_is_none_is_left_alone(form: dict[str, Any]) -> None:
    model = nine_nodes(**form)
    region, constants, _ = whole(model)
    found = recognized(region.steps, constants, infer(model, {"x": (3, 6, WIDTH)}))
    assert found == region.steps
