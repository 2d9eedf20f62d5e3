"""Faults of normalisations, layouts, arithmetic and further operators; and limits on the cost."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.toolchain.planting import (
    Array,
    Change,
    Node,
    Sketch,
    attribute,
    cause_of,
    constant,
    evaluated,
    planted,
    without,
)
from toolchain.verify.causes.precision import rounded


def normal(seed: int) -> Callable[..., Array]:
    """Draws float32 arrays of a shape."""
    generator = np.random.default_rng(seed)
    return lambda *shape: generator.standard_normal(shape).astype(np.float32)


def normalizing(op: str, fused: bool) -> Sketch:
    """A normalisation, alone or with Relu behind it."""
    f = normal(21)
    x, constants = 0.05 * f(2, 6, 5, 5), {"s": 1 + 0.1 * f(6), "t": f(6)}
    inputs = ["x", "s", "t"]
    if op == "BatchNormalization":
        constants |= {"m": 0.05 * f(6), "v": 0.002 + 0.003 * np.abs(f(6))}
        inputs += ["m", "v"]
    if op == "LayerNormalization":
        constants = {"s": 1 + 0.1 * f(5), "t": f(5)}
    own: dict[str, object] = {"epsilon": 1e-3}
    if op == "LRN":
        x, inputs, constants, own = 3 * f(2, 6, 5, 5), ["x"], {}, {"size": 3, "alpha": 0.1, "beta": 0.75, "bias": 1.0}
    if op == "GroupNormalization":
        own["num_groups"] = 2
    nodes: list[Node] = [(op, inputs, "n" if fused else "y", own)]
    if fused:
        nodes.append(("Relu", ["n"], "y", {}))
    return Sketch(tuple(nodes), {"x": x}, constants)


NORMALIZING = ("BatchNormalization", "InstanceNormalization", "LayerNormalization", "GroupNormalization")


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("op", NORMALIZING)
@pytest.mark.parametrize("epsilon", [1e-5, 2e-3])
def test_epsilons(op: str, fused: bool, epsilon: float) -> None:
    cause = planted(normalizing(op, fused), attribute("n" if fused else "y", epsilon=epsilon))
    assert cause.kind == "epsilon", cause
    assert f"{epsilon:g}" in cause.detail


@pytest.mark.parametrize("fused", [False, True])
def test_local_response_normalisation(fused: bool) -> None:
    node = "n" if fused else "y"
    assert planted(normalizing("LRN", fused), attribute(node, bias=2.0)).kind == "epsilon"
    assert planted(normalizing("LRN", fused), attribute(node, alpha=0.3)).kind == "scale"


@pytest.mark.parametrize("op", NORMALIZING)
def test_addends_of_normalisations(op: str) -> None:
    assert planted(normalizing(op, fused=True), constant("t", np.zeros_like)).kind == "bias missing"
    assert planted(normalizing(op, fused=False), constant("t", lambda t: t * 2)).kind == "bias scale"


def conv(tail: bool, group: int = 1, rank: int = 2, seed: int = 31, op: str = "Conv") -> Sketch:
    """Convolutions of every rank, with groups, transposed."""
    f = normal(seed)
    kernel = [3] * rank
    size = {1: [23], 2: [9, 8], 3: [5, 6, 7]}[rank]
    w = f(4, 4 // group, *kernel)
    own = {"kernel_shape": kernel, "pads": [1] * (2 * rank), "group": group}
    nodes: list[Node] = [(op, ["x", "w", "b"], "c" if tail else "y", own)]
    if tail:
        nodes.append(("LeakyRelu", ["c"], "y", {"alpha": 0.1}))
    return Sketch(tuple(nodes), {"x": f(2, 4, *size)}, {"w": w, "b": f(4)})


FORMS = [
    (1, 1, "Conv"),
    (1, 3, "Conv"),
    (2, 2, "Conv"),
    (4, 2, "Conv"),
    (1, 2, "ConvTranspose"),
    (1, 1, "ConvTranspose"),
]


@pytest.mark.parametrize("tail", [False, True])
@pytest.mark.parametrize(("group", "rank", "op"), FORMS)
def test_convolutions_of_every_form(group: int, rank: int, op: str, tail: bool) -> None:
    sketch, node = conv(tail, group, rank, op=op), "c" if tail else "y"

    def flip(w: Array) -> Array:
        return np.flip(w, tuple(range(2, w.ndim)))

    assert planted(sketch, constant("w", flip)).kind == "kernel order"
    assert planted(sketch, constant("b", np.zeros_like)).kind == "bias missing"
    assert planted(sketch, attribute(node, strides=[2] * rank)).kind == "stride"
    assert planted(sketch, attribute(node, pads=[2] * rank + [0] * rank)).kind == "pad"
    assert planted(sketch, attribute(node, dilations=[2] * rank)).kind == "dilation"


def test_groups_that_are_interleaved() -> None:
    f = normal(5)
    sketch = Sketch(
        (("Conv", ["x", "w"], "y", {"kernel_shape": [3, 3], "group": 4}),), {"x": f(2, 8, 7, 7)}, {"w": f(8, 2, 3, 3)}
    )
    shuffled = sketch.data["x"].reshape(2, 4, 2, 7, 7).swapaxes(1, 2).reshape(2, 8, 7, 7)
    cause = cause_of(sketch, evaluated(sketch.proto(), {"x": shuffled}, "y"))
    assert cause.kind == "channel order", cause


def dense(tail: bool) -> Sketch:
    """A product of matrices and an addend, as PyTorch exports a linear layer."""
    f = normal(8)
    nodes: list[Node] = [
        ("MatMul", ["x", "w"], "p", {}),
        ("Add", ["p", "b"], "a" if tail else "y", {}),
    ]
    if tail:
        nodes.append(("Tanh", ["a"], "y", {}))
    return Sketch(tuple(nodes), {"x": 0.2 * f(12, 7)}, {"w": f(7, 7), "b": f(7)})


@pytest.mark.parametrize("tail", [False, True])
@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (constant("w", lambda w: w.T), "transposed weight"),
        (constant("b", np.zeros_like), "bias missing"),
        (constant("b", lambda b: b / 2), "bias scale"),
        (constant("w", lambda w: w * np.float32(1.5)), "scale"),
        (constant("w", lambda w: w + (np.arange(49) == 16).reshape(7, 7)), "weight"),
        (constant("b", lambda b: b + (np.arange(7) == 3)), "weight"),
    ],
)
def test_products_of_matrices(tail: bool, change: Change, kind: str) -> None:
    cause = planted(dense(tail), change)
    assert cause.kind == kind, cause
    if kind == "weight":
        assert "[2, 2]" in cause.detail or "[3]" in cause.detail


@pytest.mark.parametrize("tail", [False, True])
def test_results_in_another_layout(tail: bool) -> None:
    sketch = conv(tail)
    y = evaluated(sketch.proto(), sketch.data, "y")
    written = np.ascontiguousarray(y.transpose(0, 2, 3, 1))
    assert cause_of(sketch, written).kind == "layout"
    assert cause_of(sketch, written.reshape(y.shape)).kind == "layout"


@pytest.mark.parametrize("tail", [False, True])
def test_inputs_in_another_layout(tail: bool) -> None:
    sketch = conv(tail)
    x = sketch.data["x"]
    misread = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).reshape(x.shape)
    cause = cause_of(sketch, evaluated(sketch.proto(), {"x": misread}, "y"))
    assert cause.kind == "layout", cause


def test_a_flattened_tensor_in_another_layout() -> None:
    f = normal(9)
    nodes: tuple[Node, ...] = (("Relu", ["x"], "r", {}), ("Flatten", ["r"], "v", {}), ("Gemm", ["v", "w"], "y", {}))
    sketch = Sketch(nodes, {"x": f(3, 2, 3, 4)}, {"w": f(24, 5)})
    x = np.ascontiguousarray(sketch.data["x"].transpose(0, 2, 3, 1)).reshape(3, 2, 3, 4)
    cause = cause_of(sketch, evaluated(sketch.proto(), {"x": x}, "y"))
    assert cause.kind == "layout", cause


@pytest.mark.parametrize("tail", [False, True])
@pytest.mark.parametrize("name", ["TF32", "bfloat16", "float16"])
def test_factors_of_lower_precision(tail: bool, name: str) -> None:
    sketch = conv(tail)
    short = {n: rounded(a, name).astype(np.float32) for n, a in (("x", sketch.data["x"]), ("w", sketch.constants["w"]))}
    proto = sketch.proto()
    constant("w", lambda _: short["w"])(proto)
    cause = cause_of(sketch, evaluated(proto, {"x": short["x"]}, "y"))
    assert cause.kind == "precision", cause
    # TF32 and float16 have significands of the same length.
    assert (name if name == "bfloat16" else "TF32") in cause.detail


@pytest.mark.parametrize("name", ["bfloat16", "float16"])
def test_results_of_lower_precision(name: str) -> None:
    sketch = conv(tail=True)
    y = evaluated(sketch.proto(), sketch.data, "y")
    cause = cause_of(sketch, rounded(y, name).astype(np.float32))
    assert cause.kind == "precision", cause


@pytest.mark.parametrize("seed", range(6))
def test_a_right_answer_has_no_cause(seed: int) -> None:
    for sketch in (conv(tail=True, seed=seed), dense(tail=False), normalizing("LayerNormalization", fused=True)):
        y = evaluated(sketch.proto(), sketch.data, "y")
        assert cause_of(sketch, y).kind == "unknown"


@pytest.mark.parametrize("seed", range(4))
def test_noise_is_unknown(seed: int) -> None:
    sketch = conv(tail=False, seed=seed)
    y = evaluated(sketch.proto(), sketch.data, "y")
    noise = np.random.default_rng(seed).standard_normal(y.shape).astype(np.float32)
    assert cause_of(sketch, y + noise).kind == "unknown"


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (constant("w", lambda w: w.swapaxes(0, 1)), "transposed weight"),
        (constant("w", lambda w: w[:, :, ::-1, ::-1]), "kernel order"),
        (constant("b", lambda b: b * 2), "bias scale"),
        (without("y"), "activation"),
        (attribute("c", pads=[0, 0, 2, 2]), "pad"),
        (constant("w", lambda w: w + (np.arange(w.size) == 70 * 64 * 9 + 5).reshape(w.shape)), "weight"),
    ],
)
def test_large_layers_are_diagnosed_on_some_of_their_channels(change: Change, kind: str) -> None:
    f = normal(3)
    nodes: tuple[Node, ...] = (("Conv", ["x", "w", "b"], "c", {"pads": [1, 1, 1, 1]}), ("Relu", ["c"], "y", {}))
    sketch = Sketch(nodes, {"x": f(1, 96, 40, 40)}, {"w": f(96, 96, 3, 3), "b": f(96)})
    cause = planted(sketch, change)
    assert cause.kind == kind, cause
    if kind == "weight":
        assert str([int(i) for i in np.unravel_index(70 * 64 * 9 + 5, (96, 96, 3, 3))]) in cause.detail
