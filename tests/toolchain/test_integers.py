"""The integer reference against fractions, element by element, at the edges of the types and on ties."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from tests.graphs.sketch import Graph, Sketch
from tests.toolchain import slow_rationals as slow
from toolchain.errors import UnsupportedError
from toolchain.integers import IntegerReference

Array = NDArray[Any]
F32 = np.float32
EDGES = {np.int8: (-128, -127, -1, 0, 1, 63, 64, 127), np.uint8: (0, 1, 2, 127, 128, 129, 254, 255)}
TYPES = (np.int8, np.uint8)
SCHEMES = [(t, sx, zx, sy, zy) for t in TYPES for sx, zx, sy, zy in (
    (1.0, 0, 2.0, 0), (0.25, 1, 0.5, 127), (0.0371, 7, 0.0123, 3), (0.5, 127, 3.1e-3, 1), (2.0**-5, 3, 0.5000001, 5),
)]  # fmt: skip
"""Powers of two, where ties are common; others; odd zero points, and the largest of int8."""


def integers(dtype: Any, shape: Sequence[int], seed: int) -> Array:
    """Random, half of them edges of the type."""
    generator = np.random.default_rng(seed)
    info = np.iinfo(dtype)
    q = generator.integers(info.min, info.max + 1, shape)
    edges = generator.choice(EDGES[dtype], shape)
    return np.where(generator.random(shape) < 0.5, edges, q).astype(dtype)


class Bench:
    """A graph that starts from integers: ``x`` is DequantizeLinear's input."""

    def __init__(self, q: Array, scale: float, zero: int, opset: int = 17) -> None:
        self.q, self.dtype = q, q.dtype.type
        self.sketch = Sketch(opset, {"q": q}, barred=lambda _: False)
        self.real = slow.dequantized(q, scale, zero)
        self.x = self.dequantize("q", scale, zero, self.dtype)

    def constant(self, value: Any) -> str:
        return self.sketch.constant(np.asarray(value))

    def dequantize(self, name: str, scale: Any, zero: Any, dtype: Any, **attributes: Any) -> str:
        inputs = [name, self.constant(np.asarray(scale, F32)), self.constant(np.asarray(zero, dtype))]
        return self.add("DequantizeLinear", inputs, **attributes)

    def weight(self, q: Array, scale: Any, axis: int | None = None) -> tuple[str, Array]:
        zero = np.zeros(np.shape(scale), q.dtype)
        attributes = {} if axis is None else {"axis": axis}
        name = self.dequantize(self.constant(q), scale, zero, q.dtype, **attributes)
        return name, slow.dequantized(q, scale, 0, axis)

    def add(self, op: str, inputs: Sequence[str | None], **attributes: Any) -> str:
        made = self.sketch.add(op, list(inputs), **attributes)
        assert made is not None
        return made

    def check(self, y: str, real: Array, scale: float, zero: int) -> Array:
        """Quantize and compare every integer; returns them."""
        out = self.add("QuantizeLinear", [y, self.constant(F32(scale)), self.constant(self.dtype(zero))])
        graph: Graph = self.sketch.finish()
        reference = IntegerReference(ir.from_proto(graph.proto))
        received = reference.run(graph.feeds)[out]
        expected = slow.quantized(real, scale, zero, self.dtype)
        assert not reference.islands
        np.testing.assert_array_equal(received, expected)
        assert received.dtype == expected.dtype
        return received


def scheme(number: int, shape: Sequence[int]) -> tuple[Bench, float, int]:
    """The bench of a scheme, and the scale and zero point of its output."""
    dtype, sx, zx, sy, zy = SCHEMES[number]
    return Bench(integers(dtype, shape, number), sx, zx), sy, zy


EACH = pytest.mark.parametrize("number", range(len(SCHEMES)))


@EACH
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("follow", ["", "Relu", "Clip"])
def test_conv(number: int, per_channel: bool, follow: str) -> None:
    bench, sy, zy = scheme(number, (2, 2, 4, 3))
    sx = F32(SCHEMES[number][1])
    sw = np.array([0.5, 0.0371, 3.1e-3], F32) if per_channel else np.asarray(0.0371, F32)
    w, wide = bench.weight(integers(np.int8, (3, 2, 2, 2), 99), sw, 0 if per_channel else None)
    bias = np.array([-70000, 3, 12345], np.int32)
    stored = (sx * sw).astype(F32)
    attributes = {"axis": 0} if per_channel else {}
    b = bench.dequantize(bench.constant(bias), stored, np.zeros(sw.shape, np.int32), np.int32, **attributes)
    y = bench.add("Conv", [bench.x, w, b], pads=[1, 0, 0, 1], strides=[2, 1])
    units = [Fraction(float(sx)) * Fraction(float(s)) for s in np.broadcast_to(sw, 3)]
    real = slow.conv(bench.real, wide, [int(v) * u for v, u in zip(bias, units, strict=True)], [1, 0, 0, 1], [2, 1])
    if follow == "Relu":
        y, real = bench.add("Relu", [y]), slow.each(lambda v: max(v, Fraction(0)))(real)
    if follow == "Clip":
        y = bench.add("Clip", [y, bench.constant(F32(-0.1)), bench.constant(F32(6))])
        real = slow.each(lambda v: min(max(v, Fraction(float(F32(-0.1)))), Fraction(6)))(real)
    bench.check(y, real, sy, zy)


@EACH
def test_conv_transpose(number: int) -> None:
    bench, sy, zy = scheme(number, (1, 2, 3, 2))
    w, wide = bench.weight(integers(np.int8, (2, 2, 2, 2), 98), np.array([0.25, 0.0371], F32), 1)
    y = bench.add("ConvTranspose", [bench.x, w], strides=[2, 1])
    bench.check(y, slow.transposed(bench.real, wide, [2, 1]), sy, zy)


@EACH
@pytest.mark.parametrize("op", ["Gemm", "MatMul"])
def test_matrix_products(number: int, op: str) -> None:
    bench, sy, zy = scheme(number, (3, 5))
    turned = op == "Gemm"
    q = integers(np.int8, (4, 5) if turned else (5, 4), 97)
    w, wide = bench.weight(q, np.array([1.0, 0.5, 0.0371, 3.1e-3], F32), 0 if turned else 1)
    y = bench.add(op, [bench.x, w], **({"transB": 1} if turned else {}))
    bench.check(y, slow.matrix(bench.real, wide.T if turned else wide), sy, zy)


@EACH
@pytest.mark.parametrize("op", ["Add", "Sub", "Mul"])
def test_pairs(number: int, op: str) -> None:
    bench, sy, zy = scheme(number, (4, 8))
    other, wide = bench.weight(integers(bench.dtype, (8,), 96), 0.0625)
    functions: dict[str, Callable[[Any, Any], Any]] = {
        "Add": lambda a, b: a + b, "Sub": lambda a, b: a - b, "Mul": lambda a, b: a * b,
    }  # fmt: skip
    bench.check(bench.add(op, [bench.x, other]), functions[op](bench.real, wide), sy, zy)


@EACH
def test_pools(number: int) -> None:
    for op, real in (
        ("AveragePool", lambda x: slow.average(x, 2, 1)),
        ("GlobalAveragePool", lambda x: slow.average(x, 4, 4)),
    ):
        bench, sy, zy = scheme(number, (1, 2, 4, 4))
        attributes = {"kernel_shape": [2, 2]} if op == "AveragePool" else {}
        bench.check(bench.add(op, [bench.x], **attributes), real(bench.real), sy, zy)
    bench, sy, zy = scheme(number, (1, 2, 4, 4))
    blocks = bench.real.reshape(1, 2, 2, 2, 2, 2).max(axis=(3, 5))
    bench.check(bench.add("MaxPool", [bench.x], kernel_shape=[2, 2], strides=[2, 2]), blocks, sy, zy)


def _hard(x: Fraction, alpha: Fraction, beta: Fraction) -> Fraction:
    return min(max(alpha * x + beta, Fraction(0)), Fraction(1))


FIFTH = Fraction(float(F32(0.2)))
UNARY: dict[str, tuple[dict[str, Any], Callable[[Fraction], Fraction]]] = {
    "Relu": ({}, lambda x: max(x, Fraction(0))),
    "LeakyRelu": ({"alpha": 0.2}, lambda x: x if x > 0 else FIFTH * x),
    "HardSigmoid": ({"alpha": 0.2, "beta": 0.5}, lambda x: _hard(x, FIFTH, Fraction(1, 2))),
    "HardSwish": ({}, lambda x: x * _hard(x, Fraction(1, 6), Fraction(1, 2))),
    "Abs": ({}, abs),
    "Neg": ({}, lambda x: -x),
    "Sigmoid": ({}, slow.sigmoid),
    "Tanh": ({}, slow.tanh),
    "Exp": ({}, slow.exponential),
    "Elu": ({"alpha": 0.5}, lambda x: x if x >= 0 else (slow.exponential(x) - 1) / 2),
}


@EACH
@pytest.mark.parametrize("op", UNARY)
def test_tables_of_all_256_integers(number: int, op: str) -> None:
    dtype, sx, zx, sy, zy = SCHEMES[number]
    info = np.iinfo(dtype)
    step = 1 if op in ("Relu", "LeakyRelu", "HardSigmoid", "HardSwish", "Abs", "Neg") else 3
    bench = Bench(np.arange(info.min, info.max + 1, step).astype(dtype), min(sx, 0.5), zx)
    attributes, function = UNARY[op]
    bench.check(bench.add(op, [bench.x], **attributes), slow.each(function)(bench.real), sy, zy)


@pytest.mark.parametrize("zero", [-128, -127, -1, 0, 1, 127])
def test_ties_go_to_even_before_the_zero_point_is_added(zero: int) -> None:
    bench = Bench(np.arange(-128, 128).astype(np.int8), 0.5, 0)
    received = bench.check(bench.add("Identity", [bench.x]), bench.real, 1.0, zero)
    assert received[129] == np.clip(0 + zero, -128, 127)  # 1/2 is a tie: to 0
    assert received[131] == np.clip(2 + zero, -128, 127)  # 3/2 to 2


def test_sigmoid_of_zero_is_a_tie_that_is_known() -> None:
    bench = Bench(np.zeros(3, np.int8), 1.0, 0)
    real = np.array([Fraction(1, 2)] * 3, object)
    assert set(bench.check(bench.add("Sigmoid", [bench.x]), real, 1.0, 0)) == {0}


@pytest.mark.parametrize("dtype", TYPES)
def test_softmax(dtype: Any) -> None:
    q = integers(dtype, (6, 5), 3)
    q[0] = q[0, 0]
    bench = Bench(q, 0.0371, 7)
    real = np.empty(q.shape, object)
    for i, row in enumerate(bench.real):
        powers = [slow.exponential(x - max(row)) for x in row]
        real[i] = [Fraction(1, 5)] * 5 if len(set(row)) == 1 else [p / sum(powers) for p in powers]
    bench.check(bench.add("Softmax", [bench.x], axis=1), real, 0.0123, 5)


def test_what_moves_keeps_its_values_and_scales() -> None:
    q = integers(np.int8, (1, 2, 3, 4), 4)
    bench = Bench(q, 0.0371, 7)
    w, wide = bench.weight(integers(np.int8, (1, 2, 3, 4), 5), np.array([0.5, 0.25], F32), 1)
    y = bench.add("Concat", [bench.x, w], axis=1)
    y = bench.add("Transpose", [y], perm=[0, 2, 1, 3])
    y = bench.add("Pad", [y, bench.constant(np.array([0, 1, 0, 0, 0, 0, 0, 2])), bench.constant(F32(1.5))])
    y = bench.add("Reshape", [y, bench.constant(np.array([4, -1]))])
    real = np.concatenate([bench.real, wide], 1).transpose(0, 2, 1, 3)
    real = np.pad(real, ((0, 0), (1, 0), (0, 0), (0, 2)), constant_values=Fraction(3, 2))
    bench.check(y, real.reshape(4, -1), 0.0123, 3)


def test_lrn_with_a_rational_power() -> None:
    q = integers(np.int8, (1, 3, 2, 2), 6)
    bench = Bench(q, 0.5, 0)
    y = bench.add("LRN", [bench.x], size=3, alpha=3.0, beta=0.5, bias=0.0625)
    out = bench.add("QuantizeLinear", [y, bench.constant(F32(0.0123)), bench.constant(np.int8(1))])
    graph = bench.sketch.finish()
    received = IntegerReference(ir.from_proto(graph.proto)).run(graph.feeds)[out]
    scale = Fraction(float(F32(0.0123)))
    for place in np.ndindex(*q.shape):
        near = [bench.real[place[0], c, place[2], place[3]] for c in range(max(place[1] - 1, 0), min(place[1] + 2, 3))]
        base = Fraction(1, 16) + sum(v * v for v in near)
        k = int(received[place]) - 1  # x / (scale sqrt(base)) lies within 1/2 of k: squared, all is rational
        x = bench.real[place]
        below, above = (k - Fraction(1, 2)) * scale, (k + Fraction(1, 2)) * scale
        if -128 < received[place] < 127:
            assert _squared(below) * base <= _squared(x) <= _squared(above) * base


def _squared(x: Fraction) -> Fraction:
    """With its sign: it rises everywhere."""
    return x * abs(x)


def test_a_bias_at_another_scale_is_refused() -> None:
    bench = Bench(integers(np.int8, (1, 1, 3, 3), 7), 0.5, 0)
    w, _ = bench.weight(integers(np.int8, (1, 1, 1, 1), 8), 0.25)
    b = bench.dequantize(bench.constant(np.array([5], np.int32)), F32(0.126), 0, np.int32)
    y = bench.add("Conv", [bench.x, w, b])
    bench.add("QuantizeLinear", [y, bench.constant(F32(1)), bench.constant(np.int8(0))])
    graph = bench.sketch.finish()
    with pytest.raises(UnsupportedError, match=r"Conv.*bias is stored at scale 0.126.*expected 0.125"):
        IntegerReference(ir.from_proto(graph.proto)).run(graph.feeds)


def test_what_has_no_exact_rule_is_an_island_with_its_name() -> None:
    bench = Bench(integers(np.int8, (2, 3), 9), 0.5, 0)
    y = bench.add("Erf", [bench.x])
    bench.add("QuantizeLinear", [y, bench.constant(F32(0.01)), bench.constant(np.int8(0))])
    graph = bench.sketch.finish()
    reference = IntegerReference(ir.from_proto(graph.proto))
    reference.run(graph.feeds)
    (island,) = reference.islands
    assert (island.op_type, island.reason) == ("Erf", "the operator has no exact rule")
    (region,) = reference.regions()
    with pytest.raises(UnsupportedError, match="is not exact"):
        reference.exact(region, graph.feeds)


def test_a_region_is_a_function_of_its_integers() -> None:
    bench = Bench(np.zeros(256, np.int8), 0.0371, 7)
    y = bench.add("Tanh", [bench.x])
    bench.add("QuantizeLinear", [y, bench.constant(F32(2.0**-7)), bench.constant(np.int8(0))])
    (region,) = (reference := IntegerReference(ir.from_proto(bench.sketch.finish().proto))).regions()
    assert region.inputs == ("q",)
    every = np.arange(-128, 128).astype(np.int8)
    answer = reference.exact(region, {"q": every})
    real = slow.each(slow.tanh)(slow.dequantized(every, 0.0371, 7))
    np.testing.assert_array_equal(answer.values, slow.quantized(real, 2.0**-7, 0, np.int8))
    np.testing.assert_allclose(answer.quotient, (real * 128).astype(float), rtol=1e-12)
