"""A limit that admits everything a function can give certifies nothing, however small it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from toolchain.nodes import steps
from toolchain.ops import registry
from toolchain.ops.bounds import FLOAT32_ROUNDOFF, Bound
from toolchain.ops.operator import NodeFacts
from toolchain.reference import Reference
from toolchain.verify.judge import exact
from toolchain.verify.limits import unlimited
from toolchain.verify.regions import Region
from toolchain.verify.spans import saying_nothing
from toolchain.verify.tally import Tally

HALF = 2.0**-11
BEHIND: dict[str, list[tuple[str, list[str], dict[str, Any]]]] = {
    "Sigmoid": [("Sigmoid", [], {})],
    "Tanh": [("Tanh", [], {})],
    "Softsign": [("Softsign", [], {})],
    "Erf": [("Erf", [], {})],
    "Atan": [("Atan", [], {})],
    "Sin": [("Sin", [], {})],
    "Clip": [("Clip", ["low", "high"], {})],
    "HardSigmoid": [("HardSigmoid", [], {})],
    "Softmax": [("Softmax", [], {})],
    "Sigmoid, then Mul": [("Sigmoid", [], {}), ("Mul", ["k"], {})],
    "Sigmoid, then Transpose": [("Sigmoid", [], {}), ("Transpose", [], {"perm": [1, 0]})],
    "Sigmoid, then Relu": [("Sigmoid", [], {}), ("Relu", [], {})],
    "Tanh, then Sigmoid": [("Tanh", [], {}), ("Sigmoid", [], {})],
    "QuantizeLinear": [("QuantizeLinear", ["scale"], {})],
}
K = np.array([[0.5, 2.0, 3.0, 4.0]])


def network(terms: int, behind: str, kind: int = TensorProto.FLOAT, size: float = 1.0) -> ir.Model:
    """A MatMul of many terms and the functions behind it."""
    generator = np.random.default_rng(0)
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    constants = {
        "w": generator.standard_normal((terms, 4)) * size / np.sqrt(terms),
        "low": np.array(0.0), "high": np.array(6.0), "k": K, "scale": np.array(0.05),
    }  # fmt: skip
    nodes, last = [helper.make_node("MatMul", ["x", "w"], ["m"], name="product")], "m"
    for position, (op, given, attributes) in enumerate(BEHIND[behind]):
        nodes.append(helper.make_node(op, [last, *given], [f"t{position}"], name=f"{op}{position}", **attributes))
        last = f"t{position}"
    used = {name for node in nodes for name in node.input}
    out = TensorProto.UINT8 if behind == "QuantizeLinear" else kind
    graph = helper.make_graph(
        nodes,
        "bounded",
        [helper.make_tensor_value_info("x", kind, [2, terms])],
        [helper.make_tensor_value_info(last, out, None)],
        [numpy_helper.from_array(array.astype(dtype), name) for name, array in constants.items() if name in used],
    )
    return ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9))


def judged(model: ir.Model, x: np.ndarray, roundoff: float) -> tuple[np.ndarray, Any]:
    last = steps(model)[-1].outputs[0] or ""
    with np.errstate(all="ignore"):
        return exact(Region(last, steps(model), ("x",)), Reference(model).constants, {"x": x}, roundoff)


@pytest.mark.parametrize("behind", BEHIND)
def test_behind_an_infinite_limit_everything_is_admitted(behind: str) -> None:
    x = np.random.default_rng(1).standard_normal((2, 4096)).astype(np.float32)
    value, bound = judged(network(4096, behind), x, HALF)
    assert saying_nothing(bound, value.shape).all()
    wrong = (value.astype(np.float64) * 0.9 + 0.05).astype(value.dtype if value.dtype.kind in "iu" else np.float32)
    differing = int(np.count_nonzero(wrong != value))
    assert unlimited(wrong, value, bound) == (value.size, differing)


@pytest.mark.parametrize("behind", BEHIND)
def test_behind_a_narrow_limit_the_same_functions_are_certified(behind: str) -> None:
    x = np.random.default_rng(1).standard_normal((2, 64)).astype(np.float32)
    value, bound = judged(network(64, behind), x, FLOAT32_ROUNDOFF)
    assert not saying_nothing(bound, value.shape).any()


@pytest.mark.parametrize("behind", ["Sin", "Softmax"])
def test_a_finite_limit_beyond_the_range_is_none_either(behind: str) -> None:
    """1,500 terms in float16: the limit of the sum is finite, and far wider than what sine and softmax can give."""
    x = np.random.default_rng(1).standard_normal((2, 1500)).astype(np.float32)
    value, bound = judged(network(1500, behind), x, HALF)
    assert np.isfinite(bound.sound).any()
    assert saying_nothing(bound, value.shape).all()


def test_where_a_clip_is_saturated_beyond_doubt_there_is_a_limit() -> None:
    model = network(64, "Clip", size=100.0)
    x = np.random.default_rng(1).standard_normal((2, 64)).astype(np.float32)
    value, bound = judged(model, x, FLOAT32_ROUNDOFF)
    assert ((value == 0) | (value == 6)).any()
    assert not saying_nothing(bound, value.shape).any()


@pytest.mark.parametrize("behind", [name for name in BEHIND if name != "QuantizeLinear"])
def test_wrong_values_within_the_range_are_not_certified(behind: str) -> None:
    model = network(4096, behind)
    x = np.random.default_rng(1).standard_normal((2, 4096)).astype(np.float32)
    value, bound = judged(model, x, HALF)
    region = Region("y", steps(model), ("x",))
    right, wrong, one = Tally(region), Tally(region), Tally(region)
    right.add(0, value.astype(np.float16), value, bound)
    assert right.verdict().status == "ok", "without a limit, but right to the last bit"
    assert "8 of 8 elements of 'y' without a limit, all of them the nearest values" in right.verdict().describe()
    received = (value * 0.9 + 0.05).astype(np.float16)
    wrong.add(0, received, value, bound)
    assert wrong.verdict().status == "vacuous"
    assert "not certified: 8 of 8 elements of 'y' without a limit" in wrong.verdict().describe()
    received = value.astype(np.float16)
    received[1, 1] += np.float16(0.01)
    one.add(0, received, value, bound)
    assert (one.verdict().status, one.verdict().unproved) == ("vacuous", 1)
    assert "1 of them not the nearest values" in one.verdict().describe()


def test_one_element_of_which_nothing_is_known_is_enough_to_certify_nothing() -> None:
    value = np.linspace(0.0, 1.0, 100)
    sound = np.where(np.arange(100) == 7, np.inf, 1e-3)
    received = value.astype(np.float32)
    received[7] = 123.0
    tally = Tally(Region("y", (), ()))
    tally.add(0, received, value, Bound(sound, sound))
    verdict = tally.verdict()
    assert (verdict.status, verdict.unlimited, verdict.unproved) == ("vacuous", 1, 1)
    assert "1 of 100 elements of 'y' without a limit, 1 of them not the nearest values" in verdict.describe()


@pytest.mark.parametrize("key", sorted(key for key, operator in registry().items() if operator.range is not None))
def test_no_value_leaves_the_range_of_its_function(key: tuple[str, str]) -> None:
    operator = registry()[key]
    assert operator.range is not None
    node = operator.parse(NodeFacts("n", key[1], key[0], max(operator.versions), {}, (True,), 1))
    ends = [-1e30, 1e30] if key[1] == "Softmax" else [-1e30, 1e30, -np.inf, np.inf]
    x = np.concatenate([np.linspace(-30, 30, 4001), ends])[None]
    inputs = [x, np.array(-0.5), np.array(6.0)] if key[1] == "Clip" else [x]
    with np.errstate(all="ignore"):
        (y,) = operator.evaluate(node, inputs)
    low, high = operator.range(node, inputs)
    finite = y[np.isfinite(y)]
    assert finite.size
    assert (finite >= low).all()
    assert (finite <= high).all()
    if key[1] != "Softmax":
        assert finite.min() < low + 0.1 * (high - low), "the range is wider than it need be"
        assert finite.max() > high - 0.1 * (high - low)
