"""Planted faults are named: each kind in a plain region and in a fused one."""

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
from toolchain.verify.cause import KINDS

F32 = np.float32


def normal(seed: int) -> Callable[..., Array]:
    """Draws float32 arrays of a shape."""
    generator = np.random.default_rng(seed)
    return lambda *shape: generator.standard_normal(shape).astype(np.float32)


def conv(tail: str = "", seed: int = 7, **attributes: object) -> Sketch:
    """A convolution, alone or with BatchNormalization and an activation behind it."""
    f = normal(seed)
    own = {"pads": [1, 1, 1, 1], "kernel_shape": [3, 3], **attributes}
    constants = {"w": f(4, 4, 3, 3), "b": f(4)}
    nodes: list[Node] = [("Conv", ["x", "w", "b"], "c" if tail else "y", own)]
    if tail:
        constants |= {"s": 1 + 0.1 * f(4), "t": f(4), "m": f(4), "v": 0.5 + np.abs(f(4))}
        nodes.append(("BatchNormalization", ["c", "s", "t", "m", "v"], "n", {"epsilon": 1e-3}))
        nodes.append((tail, ["n"], "y", {}))
    return Sketch(tuple(nodes), {"x": f(2, 4, 9, 9)}, constants)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("count", [1, 5, 648])
@pytest.mark.parametrize("tail", ["", "Relu"], ids=["plain", "fused"])
def test_nan_and_infinity_are_no_error_of_precision_nor_of_a_weight(tail: str, count: int, bad: float) -> None:
    sketch = conv(tail)
    received = evaluated(sketch.proto(), sketch.data, sketch.output).copy()
    received.flat[:count] = bad
    cause = cause_of(sketch, received)
    assert cause.kind == "unknown"
    name = "NaN" if np.isnan(bad) else "infinite"
    assert f"{count} {name} of 648 elements in the place of finite numbers" in cause.describe()


def test_values_of_float16_with_a_nan_among_them_are_not_called_float16() -> None:
    sketch = conv()
    received = evaluated(sketch.proto(), sketch.data, sketch.output).astype(np.float16).astype(np.float32)
    assert cause_of(sketch, received).kind == "precision"
    received[0, 0, 0, 0] = np.nan
    assert cause_of(sketch, received).kind == "unknown"


def test_an_overflow_that_a_hypothesis_gives_has_its_cause() -> None:
    sketch = Sketch((("Mul", ["x", "k"], "y", {}),), {"x": np.float32([[1.2345678, 300.123, 4e4]])}, {"k": F32(2)})
    with np.errstate(over="ignore"):
        received = (sketch.data["x"].astype(np.float16) * np.float16(2)).astype(np.float32)
    assert np.isinf(received).any()
    assert cause_of(sketch, received).kind == "precision"


def conv_output(sketch: Sketch) -> str:
    return sketch.nodes[0][2]


BOTH = pytest.mark.parametrize("tail", ["", "Relu"], ids=["plain", "fused"])


@BOTH
@pytest.mark.parametrize(
    ("changed", "kind"),
    [
        ({"pads": [0, 0, 2, 2]}, "pad"),
        ({"pads": [0, 1, 2, 1]}, "pad"),
        ({"pads": [0, 0, 0, 0]}, "pad"),
        ({"pads": [1, 1, 2, 1]}, "pad"),
        ({"strides": [2, 2]}, "stride"),
        ({"strides": [1, 2]}, "stride"),
        ({"dilations": [1, 2]}, "dilation"),
        ({"dilations": [2, 2]}, "dilation"),
    ],
)
def test_windows_of_a_convolution(tail: str, changed: dict[str, list[int]], kind: str) -> None:
    sketch = conv(tail)
    cause = planted(sketch, attribute(conv_output(sketch), **changed))
    assert cause.kind == kind, cause
    assert cause.explained > 0.99


@BOTH
@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda w: w[:, :, ::-1, ::-1], "kernel order"),
        (lambda w: w[:, :, ::-1], "kernel order"),
        (lambda w: w.swapaxes(2, 3), "kernel order"),
        (lambda w: w.swapaxes(0, 1), "transposed weight"),
        (lambda w: w[:, ::-1], "channel order"),
        (lambda w: w[:, [0, 2, 1, 3]], "channel order"),
        (lambda w: w[[1, 0, 2, 3]], "channel order"),
    ],
)
def test_orders_of_a_weight(tail: str, change: Callable[[Array], Array], kind: str) -> None:
    cause = planted(conv(tail), constant("w", change))
    assert cause.kind == kind, cause
    assert cause.explained > 0.99


def bit(name: str, position: int, number: int) -> Change:
    def flip(array: Array) -> Array:
        bits = array.reshape(-1).view({1: np.uint8, 4: np.uint32}[array.itemsize])
        bits[position] ^= bits.dtype.type(1 << number)
        return array

    return constant(name, flip)


@BOTH
@pytest.mark.parametrize(("position", "number"), [(0, 31), (17, 23), (100, 20), (143, 22), (5, 14), (77, 24), (60, 30)])
def test_one_bit_of_a_weight(tail: str, position: int, number: int) -> None:
    cause = planted(conv(tail), bit("w", position, number))
    assert cause.kind == "weight", cause
    index = [int(i) for i in np.unravel_index(position, (4, 4, 3, 3))]
    assert str(index) in cause.detail
    assert f"bit {number} flipped" in cause.detail


@BOTH
def test_addends(tail: str) -> None:
    sketch = conv(tail)
    assert planted(sketch, constant("b", np.zeros_like)).kind == "bias missing"
    assert planted(sketch, constant("b", lambda b: b * 2)).kind == "bias scale"
    assert planted(sketch, constant("b", lambda b: b * np.float32(0.9))).kind == "bias scale"
    one = planted(sketch, bit("b", 2, 22))
    assert one.kind == "weight", one
    assert "[2]" in one.detail


def test_what_a_batch_normalization_may_get_wrong() -> None:
    sketch = conv("Relu")
    assert planted(sketch, attribute("n", epsilon=1e-5)).kind == "epsilon"
    assert planted(sketch, attribute("n", epsilon=0.02)).kind == "epsilon"
    assert planted(sketch, constant("t", np.zeros_like)).kind == "bias missing"
    assert planted(sketch, constant("s", lambda s: s * 2)).kind == "scale"
    assert planted(sketch, bit("v", 1, 22)).kind == "weight"


@pytest.mark.parametrize("tail", ["Relu", "Tanh", "Sigmoid", "HardSwish", "LeakyRelu"])
def test_activations(tail: str) -> None:
    assert planted(conv(tail), without("y")).kind == "activation"
    if tail == "LeakyRelu":
        assert planted(conv(tail), attribute("y", alpha=0.2)).kind == "activation"
        assert planted(conv(tail), attribute("y", alpha=0.013)).kind == "activation"


def pool(op: str, **attributes: object) -> Sketch:
    f = normal(3)
    own = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], **attributes}
    return Sketch(((op, ["x"], "y", own),), {"x": f(2, 3, 10, 10)}, {})


@pytest.mark.parametrize(
    ("op", "own", "changed", "kind"),
    [
        ("MaxPool", {}, {"ceil_mode": 1}, "ceil_mode"),
        ("AveragePool", {}, {"ceil_mode": 1}, "ceil_mode"),
        ("AveragePool", {"ceil_mode": 1}, {"ceil_mode": 0}, "ceil_mode"),
        ("AveragePool", {}, {"count_include_pad": 1}, "count_include_pad"),
        ("AveragePool", {"count_include_pad": 1}, {"count_include_pad": 0}, "count_include_pad"),
        ("AveragePool", {}, {"pads": [0, 0, 2, 2]}, "pad"),
        ("MaxPool", {}, {"pads": [0, 0, 1, 1]}, "pad"),
        ("MaxPool", {}, {"strides": [1, 1]}, "stride"),
        ("AveragePool", {}, {"strides": [3, 2]}, "stride"),
        ("MaxPool", {}, {"dilations": [2, 2]}, "dilation"),
    ],
)
def test_pools(op: str, own: dict[str, int], changed: dict[str, int], kind: str) -> None:
    cause = planted(pool(op, **own), attribute("y", **changed))
    assert cause.kind == kind, cause


def gemm(tail: str = "", rows: int = 6, square: bool = False) -> Sketch:
    f, width = normal(5), rows if square else 5
    constants = {"w": f(width, rows), "b": f(width)}
    nodes: list[Node] = [("Gemm", ["x", "w", "b"], "g" if tail else "y", {"transB": 1})]
    if tail:
        nodes.append((tail, ["g"], "y", {}))
    return Sketch(tuple(nodes), {"x": f(5, rows)}, constants)


@BOTH
def test_matrices(tail: str) -> None:
    square = gemm(tail, square=True)
    assert planted(square, constant("w", lambda w: w.T)).kind == "transposed weight"
    assert planted(gemm(tail), constant("w", lambda w: w.T.reshape(w.shape))).kind == "transposed weight"
    assert planted(gemm(tail), constant("b", np.zeros_like)).kind == "bias missing"
    assert planted(gemm(tail), constant("b", lambda b: b * 3)).kind == "bias scale"
    sketch = gemm(tail, rows=40)
    one = planted(sketch, bit("w", 50, 23))
    assert one.kind == "weight", one
    assert "[1, 10]" in one.detail


def test_kinds_are_said_in_one_sentence_each() -> None:
    assert len(KINDS) == 20
    assert all(sentence.endswith(".") for sentence in KINDS.values())
