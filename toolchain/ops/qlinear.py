"""Operators on quantized tensors of ONNX Runtime's domain com.microsoft, exact.

QLinearAdd, QLinearMul, QLinearConcat, QLinearLeakyRelu, QLinearSigmoid, QLinearSoftmax, QLinearAveragePool,
QLinearGlobalAveragePool, QGemm, and QuantizeLinear and DequantizeLinear as they stood before opset 21:
https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md.

The meaning is arithmetic on rationals as for QLinearConv: the real value of the operator on the dequantized tensors,
divided by the output's scale, rounded half to even; then the zero point. An implementation in float32 that adds the
zero points before rounding loses up to the stated roundings of every part, the zero points included; where that
reaches a tie, the bound says one step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from toolchain.ops import averagepool, gemm, quantize_linear
from toolchain.ops.attributes import integer, nothing, number
from toolchain.ops.bounds import Bound, gamma, ulps
from toolchain.ops.exact import Pair, positive, requantize, round_quotient, tie_bound, two_product, two_sum, whole
from toolchain.ops.integer_products import scalar
from toolchain.ops.operator import Array, Inputs, NodeFacts, Operator, Spec, optional, required
from toolchain.ops.pool import geometry
from toolchain.ops.shaping import axis_of, broadcast
from toolchain.ops.sliding import fold
from toolchain.ops.unary import Budget, sigmoid

DOMAIN = "com.microsoft"
ROUNDINGS = 8
SIGMOID = Budget(4.0, 2.0)
SOFTMAX_ULPS = 16.0
"""Budgets of the functions before they are rounded: ``benchmarks/composed.py`` measures them."""


@dataclass(frozen=True)
class Outcome:
    """A real result before it is rounded.

    Attributes:
        numerator: exact (or, for a transcendental function, to float64's precision).
        denominator: positive.
        magnitude: sum of the magnitudes of what a floating-point implementation adds, over the denominator.
        zero: zero point of the output.
        error: relative error of a floating-point implementation in ``magnitude``, in roundings.
    """

    numerator: Pair
    denominator: Array
    magnitude: Array
    zero: Array
    error: int = ROUNDINGS

    def output(self) -> Array:
        """Rounded half to even, shifted, saturated."""
        return requantize(round_quotient(self.numerator, self.denominator), self.zero, self.zero.dtype)

    def bound(self, exact: Array, roundoff: float) -> Bound:
        """One step where a tie is within reach."""
        quotient = self.numerator.high / self.denominator
        error = gamma(self.error, roundoff) * (self.magnitude + np.abs(whole(self.zero)))
        return tie_bound(quotient, error, self.zero, exact)


def _scale(inputs: Inputs, index: int) -> Array:
    return scalar(positive(required(inputs, index), f"the scale (input {index})"), "scale")


def _zero(inputs: Inputs, index: int, like: Array) -> Array:
    """A zero point; 0 of the operand's type where it is left out."""
    value = optional(inputs, index)
    return np.zeros((), like.dtype) if value is None else scalar(value, "zero point")


def _plain(value: Array) -> Pair:
    return Pair(np.asarray(value, dtype=np.float64), np.zeros(()))


def _add(node: None, inputs: Inputs) -> Outcome:
    a, b = required(inputs, 0), required(inputs, 3)
    sa, sb, sc = (_scale(inputs, i) for i in (1, 4, 6))
    za, zb = _zero(inputs, 2, a), _zero(inputs, 5, b)
    parts = two_sum((whole(a) - whole(za)) * sa, (whole(b) - whole(zb)) * sb)
    uncancelled = (np.abs(whole(a)) + np.abs(whole(za))) * sa + (np.abs(whole(b)) + np.abs(whole(zb))) * sb
    return Outcome(parts, sc, uncancelled / sc, _zero(inputs, 7, a))


def _mul(node: None, inputs: Inputs) -> Outcome:
    a, b = required(inputs, 0), required(inputs, 3)
    sa, sb, sc = (_scale(inputs, i) for i in (1, 4, 6))
    product = (whole(a) - whole(_zero(inputs, 2, a))) * (whole(b) - whole(_zero(inputs, 5, b)))
    parts = two_product(product, sa * sb)
    return Outcome(parts, sc, np.abs(parts.high) / sc, _zero(inputs, 7, a))


def _leaky_relu(node: float, inputs: Inputs) -> Outcome:
    x, sx, sy = required(inputs, 0), _scale(inputs, 1), _scale(inputs, 3)
    shifted = whole(x) - whole(_zero(inputs, 2, x))
    parts = two_product(shifted, np.where(shifted < 0, node * sx, sx))
    return Outcome(parts, sy, np.abs(parts.high) / sy, _zero(inputs, 4, x))


def _alpha(facts: NodeFacts) -> float:
    return number(facts, "alpha", 0.01)


def sigmoid_outcome(node: None, inputs: Inputs) -> Outcome:
    """The sigmoid, before it is rounded."""
    x, sx, sy = required(inputs, 0), _scale(inputs, 1), _scale(inputs, 3)
    with np.errstate(over="ignore"):
        y = sigmoid((whole(x) - whole(_zero(inputs, 2, x))) * sx)
    magnitude = (y * 4 * SIGMOID.relative + SIGMOID.absolute) / sy
    return Outcome(_plain(y), sy, magnitude, _zero(inputs, 4, x))


@dataclass(frozen=True)
class Softmax:
    """Attributes: the axis, and whether all axes from it on are one (before opset 13)."""

    axis: int
    rest: bool


def _softmax_parse(facts: NodeFacts) -> Softmax:
    return Softmax(integer(facts, "axis", -1), integer(facts, "opset", 13) < 13)


def softmax_outcome(node: Softmax, inputs: Inputs) -> Outcome:
    """The softmax, before it is rounded."""
    x, sx, sy = required(inputs, 0), _scale(inputs, 1), _scale(inputs, 3)
    first = axis_of(node.axis, x.ndim)
    axes = tuple(range(first, x.ndim)) if node.rest else (first,)
    value = whole(x) * sx
    power = np.exp(value - value.max(axis=axes, keepdims=True))
    y = power / power.sum(axis=axes, keepdims=True)
    terms = int(np.prod([x.shape[i] for i in axes]))
    zero = _zero(inputs, 4, x)
    return Outcome(_plain(y), sy, y * SOFTMAX_ULPS / sy, zero, ROUNDINGS + terms)


def _to_first(value: Array, last: bool) -> Array:
    return np.moveaxis(value, -1, 1) if last else value


def _to_last(value: Array, last: bool) -> Array:
    return np.moveaxis(value, 1, -1) if last else value


@dataclass(frozen=True)
class Pool:
    """Attributes of the pools; ``average`` is ``None`` for the global one."""

    average: averagepool.AveragePool | None
    channels_last: bool


def _pool_parse(facts: NodeFacts) -> Pool:
    last = bool(integer(facts, "channels_last", 0))
    return Pool(None if "Global" in facts.op_type else averagepool.parse(facts), last)


def _pool(node: Pool, inputs: Inputs) -> Outcome:
    x, sx, sy = required(inputs, 0), _scale(inputs, 1), _scale(inputs, 3)
    zx = whole(_zero(inputs, 2, x))
    shifted = _to_first(whole(x) - zx, node.channels_last)
    raw = _to_first(np.abs(whole(x)) + np.abs(zx), node.channels_last)
    if node.average is None:
        axes = tuple(range(2, x.ndim))
        total, reach = shifted.sum(axis=axes, keepdims=True), raw.sum(axis=axes, keepdims=True)
        count: Any = float(np.prod(shifted.shape[2:]))
        terms = int(count)
    else:
        g = geometry(node.average.windows, shifted.shape)
        total, reach = (fold(g, a, np.add, 0) for a in (shifted, raw))
        count = np.maximum(g.counts(node.average.count_include_pad), 1).astype(np.float64)
        terms = int(np.prod(g.kernel))
    denominator = np.broadcast_to(count * sy, total.shape)
    last = node.channels_last
    return Outcome(
        _plain(_to_last(total * sx, last)),
        _to_last(denominator, last),
        _to_last(reach * sx / denominator, last),
        _zero(inputs, 4, x),
        ROUNDINGS + terms,
    )


def _operator(
    name: str,
    parse: Callable[[NodeFacts], Any],
    outcome: Callable[[Any, Inputs], Outcome],
    shape: Callable[[Any, Sequence[Spec | None]], tuple[int, ...]],
    budget: str = "",
) -> Operator:
    def evaluate(node: Any, inputs: Inputs) -> tuple[Array, ...]:
        return (outcome(node, inputs).output(),)

    def infer(node: Any, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
        return (Spec(required(inputs, 0).dtype, shape(node, inputs)),)

    def bound(node: Any, inputs: Inputs, exact: Sequence[Array], roundoff: float) -> tuple[Bound, ...]:
        return (outcome(node, inputs).bound(exact[0], roundoff),)

    return Operator(name, frozenset({1}), parse, evaluate, infer, bound, domain=DOMAIN, budget=budget)


def _first_shape(node: Any, inputs: Sequence[Spec | None]) -> tuple[int, ...]:
    return tuple(required(inputs, 0).shape)


def _pair_shape(node: Any, inputs: Sequence[Spec | None]) -> tuple[int, ...]:
    return broadcast(required(inputs, 0).shape, required(inputs, 3).shape)


def _pool_shape(node: Pool, inputs: Sequence[Spec | None]) -> tuple[int, ...]:
    shape = tuple(required(inputs, 0).shape)
    first = (shape[0], shape[-1], *shape[1:-1]) if node.channels_last else shape
    spatial = (1,) * (len(shape) - 2) if node.average is None else geometry(node.average.windows, first).output
    return (shape[0], *spatial, first[1]) if node.channels_last else (*first[:2], *spatial)


def _concat_parts(axis: int, inputs: Inputs) -> list[Outcome]:
    sy, zy = _scale(inputs, 0), scalar(required(inputs, 1), "zero point")
    parts = []
    for start in range(2, len(inputs), 3):
        x, sx = required(inputs, start), _scale(inputs, start + 1)
        value = (whole(x) - whole(_zero(inputs, start + 2, x))) * sx
        parts.append(Outcome(_plain(value), sy, np.abs(value) / sy, zy))
    return parts


def qlinear_concat(axis: int, inputs: Inputs) -> tuple[Array, ...]:
    """Tensors of several scales one after the other, at one scale."""
    outputs = [part.output() for part in _concat_parts(axis, inputs)]
    return (np.concatenate(outputs, axis_of(axis, outputs[0].ndim)),)


def _concat_infer(axis: int, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    specs = [required(inputs, i) for i in range(2, len(inputs), 3)]
    at = axis_of(axis, len(specs[0].shape))
    shape = list(specs[0].shape)
    shape[at] = sum(s.shape[at] for s in specs)
    return (Spec(required(inputs, 1).dtype, tuple(shape)),)


def _concat_bound(axis: int, inputs: Inputs, exact: Sequence[Array], roundoff: float) -> tuple[Bound, ...]:
    parts = _concat_parts(axis, inputs)
    limits = [part.bound(part.output(), roundoff).sound for part in parts]
    limit = np.concatenate(limits, axis_of(axis, limits[0].ndim))
    return (Bound(limit, limit),)


def _axis(facts: NodeFacts) -> int:
    return integer(facts, "axis", 0)


def _gemm_accumulator(node: gemm.Gemm, inputs: Inputs) -> tuple[Array, Array]:
    """Exact accumulators and the scale of one unit.

    Raises:
        ValueError: the factor ``alpha`` makes that scale inexact in float64.
    """
    a, b, c = required(inputs, 0), required(inputs, 3), optional(inputs, 6)
    left, right = whole(a) - whole(_zero(inputs, 2, a)), whole(b)
    zero = optional(inputs, 5)
    if zero is not None:
        z = whole(zero).reshape(() if zero.size == 1 else (-1, 1) if node.transpose_b else (1, -1))
        right = right - z
    accumulator = (left.T if node.transpose_a else left) @ (right.T if node.transpose_b else right)
    if c is not None:
        accumulator = accumulator + whole(c)
    sb = positive(required(inputs, 4), "the scale of B")
    unit = two_product(_scale(inputs, 1) * (sb.reshape(()) if sb.size == 1 else sb), node.alpha)
    if np.any(unit.low):
        raise ValueError(f"alpha is {node.alpha}: the scale of a sum is not exact; expected 1 or a power of two")
    return accumulator, unit.high


def _gemm_outcome(node: gemm.Gemm, inputs: Inputs) -> Outcome:
    accumulator, unit = _gemm_accumulator(node, inputs)
    sy, parts = _scale(inputs, 7), two_product(accumulator, unit)
    return Outcome(parts, sy, np.abs(parts.high) / sy, scalar(required(inputs, 8), "zero point"))


def qgemm(node: gemm.Gemm, inputs: Inputs) -> tuple[Array, ...]:
    """``alpha A' B' + C`` of quantized matrices; real where no output scale is given."""
    if optional(inputs, 7) is not None:
        return (_gemm_outcome(node, inputs).output(),)
    accumulator, unit = _gemm_accumulator(node, inputs)
    return (np.asarray(accumulator * unit),)


def _qgemm_infer(node: gemm.Gemm, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    shape = gemm.result_shape(node, required(inputs, 0).shape, required(inputs, 3).shape, None)
    zero = optional(inputs, 8)
    return (Spec(ir.DataType.FLOAT if zero is None else zero.dtype, shape),)


def _qgemm_bound(node: gemm.Gemm, inputs: Inputs, exact: Sequence[Array], roundoff: float) -> tuple[Bound, ...]:
    if optional(inputs, 7) is not None:
        return (_gemm_outcome(node, inputs).bound(exact[0], roundoff),)
    return (ulps(exact[0], 4.0, roundoff),)


def _qgemm_macs(node: gemm.Gemm, inputs: Sequence[Spec | None], outputs: Sequence[Spec]) -> int:
    return outputs[0].size * int(required(inputs, 0).shape[0 if node.transpose_a else 1])


_ONE = frozenset({1})

OPERATORS = (
    _operator("QLinearAdd", nothing, _add, _pair_shape),
    _operator("QLinearMul", nothing, _mul, _pair_shape),
    _operator("QLinearLeakyRelu", _alpha, _leaky_relu, _first_shape),
    _operator("QLinearSigmoid", nothing, sigmoid_outcome, _first_shape, f"sigmoid: {SIGMOID}"),
    _operator("QLinearSoftmax", _softmax_parse, softmax_outcome, _first_shape, f"softmax: {SOFTMAX_ULPS:g}"),
    _operator("QLinearAveragePool", _pool_parse, _pool, _pool_shape),
    _operator("QLinearGlobalAveragePool", _pool_parse, _pool, _pool_shape),
    Operator("QLinearConcat", _ONE, _axis, qlinear_concat, _concat_infer, _concat_bound, domain=DOMAIN),
    Operator("QGemm", _ONE, gemm.parse, qgemm, _qgemm_infer, _qgemm_bound, _qgemm_macs, DOMAIN),
    *(
        Operator(o.name, _ONE, o.parse, o.evaluate, o.infer, o.bound, domain=DOMAIN, spread=o.spread)
        for o in quantize_linear.OPERATORS
        if o.name != "DynamicQuantizeLinear"
    ),
)
