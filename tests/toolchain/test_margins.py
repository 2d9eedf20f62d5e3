"""Margins: gradients against difference quotients, claims against float32 in every order, and their edges."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper, numpy_helper

from tests.conftest import Exported, RunCli
from tests.toolchain import digits, operators
from toolchain.data import Samples
from toolchain.errors import UnknownNameError, UnsupportedError, UsageError
from toolchain.evaluate import evaluate, score
from toolchain.margins import ARITHMETIC, margins
from toolchain.margins.adjoints import ADJOINTS, Passage, adjoint
from toolchain.margins.firstorder import shift, trace
from toolchain.reference import Reference
from toolchain.session import Session, SessionOptions

RNG = np.random.default_rng(11)


def drawn(*shape: int) -> np.ndarray:
    # Away from kinks at 0 and at 1, where a difference quotient and a gradient differ.
    values = RNG.uniform(0.15, 0.85, shape) * RNG.choice([-1.0, 1.0], shape)
    return values.astype(np.float32)


def positive(*shape: int) -> np.ndarray:
    return np.abs(drawn(*shape)) + np.float32(0.2)


X = drawn(2, 4, 5, 6)
CASES: dict[str, list[tuple[list[Any], dict[str, Any]]]] = {
    **{name: [([X], {})] for name in ("Abs", "Elu", "Celu", "Erf", "Exp", "HardSigmoid", "HardSwish", "LeakyRelu")},
    **{name: [([X], {})] for name in ("Mish", "Neg", "Relu", "Selu", "Sigmoid", "Softplus", "Softsign", "Tanh")},
    **{name: [([positive(2, 3)], {})] for name in ("Log", "Reciprocal", "Sqrt")},
    "Gelu": [([X], {}), ([X], {"approximate": "tanh"})],
    "Swish": [([X], {"alpha": 0.7})],
    "ThresholdedRelu": [([X], {"alpha": 0.05})],
    "Identity": [([X], {})],
    "Clip": [([X, np.float32(-0.5), np.float32(0.4)], {})],
    "Add": [([X, drawn(4, 1, 1)], {}), ([drawn(6), X], {})],
    "Sub": [([X, drawn(1, 4, 1, 1)], {})],
    "Mul": [([X, drawn(4, 1, 1)], {}), ([drawn(1), X], {})],
    "Div": [([X, positive(2, 4, 5, 6)], {})],
    "Pow": [([positive(2, 3), np.float32(2.5)], {})],
    "PRelu": [([X, drawn(4, 1, 1)], {})],
    "BatchNormalization": [([X, drawn(4), drawn(4), drawn(4), positive(4)], {})],
    "Conv": [
        ([X, drawn(6, 4, 3, 2), drawn(6)], {"pads": [1, 0, 2, 1], "strides": [2, 1]}),
        ([X, drawn(8, 2, 2, 2)], {"group": 2, "dilations": [2, 3]}),
        ([X, drawn(4, 1, 3, 3)], {"group": 4, "auto_pad": "SAME_UPPER"}),
    ],
    "AveragePool": [
        ([X], {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 1, 1], "ceil_mode": 1}),
        ([X], {"kernel_shape": [2, 2], "count_include_pad": 1, "pads": [1, 1, 0, 0]}),
    ],
    "MaxPool": [([X], {"kernel_shape": [3, 3], "strides": [2, 1], "pads": [1, 1, 1, 1]})],
    "GlobalAveragePool": [([X], {})],
    "Gemm": [
        ([drawn(3, 4), drawn(4, 5), drawn(5)], {"alpha": 0.5, "beta": 2.0}),
        ([drawn(4, 3), drawn(5, 4), drawn(3, 1)], {"transA": 1, "transB": 1}),
    ],
    "MatMul": [([drawn(2, 3, 4), drawn(4, 5)], {})],
    "LRN": [([X], {"size": 3, "alpha": 0.5, "beta": 0.75}), ([X], {"size": 4, "alpha": 0.9, "bias": 2.0})],
    "Softmax": [([drawn(3, 5)], {})],
    "LogSoftmax": [([drawn(3, 5)], {})],
    "Concat": [([X, drawn(2, 1, 5, 6)], {"axis": 1})],
    "DepthToSpace": [([X], {"blocksize": 2})],
    "SpaceToDepth": [([drawn(1, 2, 4, 6)], {"blocksize": 2})],
    "Dropout": [([X], {})],
    "Expand": [([drawn(4, 1), np.array([2, 4, 3])], {})],
    "Flatten": [([X], {"axis": 2})],
    "Pad": [
        ([X, np.array([0, 0, 1, 2, 0, 1, 0, 0])], {}),
        ([X, np.array([0, 0, 1, 2, 0, 0, 1, 1])], {"mode": "reflect"}),
    ],
    "Reshape": [([X, np.array([0, -1])], {})],
    "Slice": [([X, np.array([1, 4]), np.array([4, 0]), np.array([1, 3]), np.array([1, -2])], {})],
    "Squeeze": [([drawn(2, 1, 3), np.array([1])], {})],
    "Unsqueeze": [([drawn(2, 3), np.array([0, 3])], {})],
    "Transpose": [([X], {"perm": [0, 2, 3, 1]})],
}


@pytest.mark.parametrize("name", sorted(ADJOINTS))
def test_adjoint_is_the_transposed_derivative(name: str) -> None:
    """<g, J d> measured by a difference quotient equals <J^T g, d>, for every floating-point input."""
    assert CASES[name]
    for inputs, attributes in CASES[name]:
        step = operators.step(name, inputs, attributes, opset=24 if name == "Swish" else 21)
        wide = [a.astype(np.float64) if a.dtype.kind == "f" else a for a in map(np.asarray, inputs)]
        outputs = step.operator.evaluate(step.attributes, wide)
        g = RNG.standard_normal(outputs[0].shape)
        weighted = {"Conv": (0,), "LRN": (0,), "BatchNormalization": (0,), "Clip": (0,), "PRelu": (0, 1)}
        for index in weighted.get(name, [i for i, a in enumerate(wide) if a.dtype.kind == "f"]):
            direction = RNG.standard_normal(wide[index].shape)
            ends = []
            for sign in (1e-6, -1e-6):
                moved = list(wide)
                moved[index] = wide[index] + sign * direction
                ends.append((g * step.operator.evaluate(step.attributes, moved)[0]).sum())
            found = (adjoint(Passage(step, wide, outputs, g, index)) * direction).sum()
            assert found == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-5, abs=1e-5), (attributes, index)


def network(layers: int, classes: int, width: int = 12, activation: str = "Relu", gap: float = 1.0) -> ir.Model:
    """Dense layers with random weights; ``gap`` scales the last one."""
    generator = np.random.default_rng(layers)
    nodes, weights, value = [], [], "x"
    for layer in range(layers):
        last = layer == layers - 1
        shape = (width, classes if last else width)
        w = (generator.standard_normal(shape) * (gap if last else 1.6) / np.sqrt(width)).astype(np.float32)
        weights.append(numpy_helper.from_array(w, f"w{layer}"))
        nodes.append(helper.make_node("Gemm", [value, f"w{layer}"], [f"y{layer}"], name=f"fc{layer}"))
        value = f"y{layer}"
        if not last:
            nodes.append(helper.make_node(activation, [value], [f"a{layer}"], name=f"act{layer}"))
            value = f"a{layer}"
    infos = [helper.make_tensor_value_info(n, 1, ["N", w]) for n, w in (("x", width), (value, classes))]
    graph = helper.make_graph(nodes, "dense", infos[:1], infos[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.checker.check_model(model)
    return ir.from_proto(model)


def given(count: int, width: int = 12) -> Samples:
    values = np.random.default_rng(5).standard_normal((count, width)).astype(np.float32)
    return Samples("drawn", {"x": values}, np.zeros(count, np.int64))


def test_shallow_networks_are_proved_and_the_runtime_agrees() -> None:
    model, data = network(3, 4), given(300)
    found = margins(model, data=data)
    assert (found.samples, found.certain + found.first_order + found.open) == (300, 300)
    assert found.certain > 290
    answers = Reference(model).run(data.feeds(0, 300))["y2"].argmax(axis=1)
    for level in ("off", "all"):
        scores = Session(model, SessionOptions(optimization=level)).run(data.feeds(0, 300))["y2"]
        disagreeing = np.flatnonzero(scores.argmax(axis=1) != answers)
        assert set(disagreeing) <= set(found.open_samples)


def test_deep_networks_are_settled_to_first_order_only() -> None:
    model = network(40, 4)
    found = margins(model, data=given(64))
    assert found.certain < 8
    assert found.first_order > 40
    assert (found.rivals, found.caveat) == (3, "")


def test_first_order_encloses_what_float32_does() -> None:
    """Float32, summed in three orders, never moves a score difference by more than the first-order limit."""
    model, data = network(12, 3, activation="Tanh"), given(50)
    reference = Reference(model)
    traced = trace(reference, data.feeds(0, 50), ARITHMETIC["float32"])
    seed = np.zeros((50, 3))
    seed[:, 0], seed[:, 1] = 1.0, -1.0
    limit = shift(reference, traced, "y11", seed)
    exact = traced.values["y11"]
    weights = [reference.constants[f"w{i}"].astype(np.float32) for i in range(12)]
    moved = []
    for order in (np.arange(12), np.arange(12)[::-1], np.random.default_rng(0).permutation(12)):
        value = data.arrays["x"]
        for layer, w in enumerate(weights):
            total = np.zeros((50, w.shape[1]), np.float32)
            for i in order:
                total += value[:, i : i + 1] * w[i]
            value = np.tanh(total) if layer < 11 else total
        moved.append(np.abs((value[:, 0].astype(np.float64) - value[:, 1]) - (exact[:, 0] - exact[:, 1])))
    largest = np.max(moved, axis=0)
    assert (largest <= limit).all()
    assert (largest > limit / 1e4).any()  # the limit is not vacuous


def test_a_tie_stays_open() -> None:
    model = network(2, 3)
    weight = model.graph.initializers["w1"]
    twice = weight.const_value.numpy().copy()  # type: ignore[union-attr]
    twice[:, 1] = twice[:, 0]
    twice[:, 2] = twice[:, 0] - np.float32(100.0)
    weight.const_value = ir.tensor(twice, name="w1")
    found = margins(model, data=given(30))
    hidden = Reference(model).run(given(30).feeds(0, 30), keep=["a0"])["a0"]
    tied = int((hidden.sum(axis=1) > 0).sum())
    assert found.open >= tied > 20
    assert found.open_samples[0] in range(30)


def test_a_wrong_answer_to_a_certain_question_is_a_defect() -> None:
    model, data = network(2, 4), given(32)
    right = score(model, data).argmax(axis=1)
    assert margins(model, data=data, received=right).ok
    wrong = right.copy()
    wrong[7] = (wrong[7] + 1) % 4
    found = margins(model, data=data, received=wrong)
    assert (found.ok, found.contradicted) == (False, (7,))


def test_coarser_arithmetic_proves_less() -> None:
    model, data = network(3, 4), given(100)
    counts = [margins(model, data=data, arithmetic=name).certain for name in ("float32", "float16", "bfloat16")]
    assert counts[0] > counts[1] > counts[2]


def test_operators_without_gradient_are_named() -> None:
    nodes = [
        helper.make_node("Gemm", ["x", "w"], ["y"], name="fc"),
        helper.make_node("ReduceSum", ["y", "axes"], ["s"], name="total"),
        helper.make_node("Sub", ["y", "s"], ["z"], name="less"),
    ]
    given_weights = [
        numpy_helper.from_array(np.full((12, 2), 0.5, np.float32), "w"),
        numpy_helper.from_array(np.array([1]), "axes"),
    ]
    infos = [helper.make_tensor_value_info(n, 1, ["N", w]) for n, w in (("x", 12), ("z", 2))]
    graph = helper.make_graph(nodes, "g", infos[:1], infos[1:], given_weights)
    model = ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10))
    found = margins(model, data=given(8))
    assert (found.open, found.first_order) == (8, 0)
    assert "node 'total' (ReduceSum" in found.caveat
    reference = Reference(model)
    traced = trace(reference, given(2).feeds(0, 2), 2.0**-24)
    with pytest.raises(UnsupportedError, match="total"):
        shift(reference, traced, "z", np.ones((2, 2)))


def test_unknown_arithmetic_and_weights() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'float32'"):
        margins(network(1, 2), data=given(1), arithmetic="flaot32")
    with pytest.raises(UsageError, match="export the weights"):
        evaluate(Path("w.safetensors"), data="mnist:test:2", net="lenet5", arithmetic="float32")


def test_command_line(run_cli: RunCli, tmp_path: Path) -> None:
    path = digits.write(tmp_path / "digits.onnx")
    done = run_cli("evaluate", path, "--data", "mnist:test:48", "--margins", "--json")
    facts = json.loads(done.stdout)["margins"]
    assert (done.exit_code, facts["samples"], facts["arithmetic"]) == (0, 48, "float32")
    assert facts["certain"] >= 46
    shown = run_cli("evaluate", path, "--data", "mnist:test:16", "--margins", "--arithmetic", "bfloat16")
    assert "cannot change under any legal rounding in bfloat16 (proved)" in shown.stdout


@pytest.mark.slow
@pytest.mark.parametrize("net", ["lenet5", "lenet5-relu", "example-cnn"])
def test_trained_networks_are_certain_on_nearly_all_of_mnist(exported: Exported, net: str) -> None:
    found = evaluate(exported(net), data="mnist:test:2000", arithmetic="float32").margins
    assert found is not None
    assert found.ok
    assert found.certain >= 1990
