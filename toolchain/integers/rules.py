"""What each operator means on exact values: the table that the integer reference walks by.

An operator that is not listed, or a rule that raises :class:`~toolchain.integers.real.Inexact`, makes its node a float
island.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
import onnx_ir as ir

from toolchain.integers import functions
from toolchain.integers.functions import Applied, Combined, Function, Power, Softmax, moved
from toolchain.integers.linear import (
    average_pool,
    convolution,
    general_product,
    global_average,
    matrix_product,
    rational,
    reduction,
    transposed,
)
from toolchain.integers.rational import (
    Rational,
    Term,
    above,
    add,
    aligned,
    chosen,
    constant,
    filled,
    largest,
    masked,
    multiply,
    narrowed,
    negative,
    nothing,
    reciprocal,
    tabled,
)
from toolchain.integers.real import Array, Inexact, Real
from toolchain.ops import cast, lrn, quantize_linear
from toolchain.ops.operator import NodeFacts, Operator
from toolchain.ops.shaping import axis_of

Rule = Callable[[NodeFacts, Any, Sequence[Any]], Any]
MAX_EXPONENT_DENOMINATOR = 64


def dequantize(facts: NodeFacts, node: quantize_linear.Linear, inputs: Sequence[Any]) -> Rational:
    """DequantizeLinear: whole numbers at the scale, the rational number that its float is."""
    q = np.asarray(inputs[0])
    if q.dtype.kind not in "iu":
        raise Inexact(f"it dequantizes {q.dtype}")
    scale = quantize_linear.spread_out(node, np.asarray(inputs[1], np.float64), q.shape, "scale")
    zero = inputs[2] if len(inputs) > 2 else None
    if not np.isfinite(scale).all():
        raise Inexact("a scale is not finite")
    number = q.astype(np.int64)
    if zero is not None:
        number = number - quantize_linear.spread_out(node, np.asarray(zero), q.shape, "zero point").astype(np.int64)
    return Rational((tabled(narrowed(number), scale),), dequantized=True)


def _moving(operator: Operator, facts: NodeFacts, node: Any, inputs: Sequence[Any]) -> Any:
    """Operators that rearrange, repeat or leave out elements: the same is done to positions."""

    def change(output: int) -> Callable[[Array], Array]:
        return lambda a: operator.evaluate(node, [a, *inputs[1:]])[output]

    value = inputs[0]
    if isinstance(value, np.ndarray):
        value = rational(value)
    if facts.outputs == 1 or operator.name == "Dropout":
        return moved(value, change(0))
    return tuple(moved(value, change(i)) for i in range(facts.outputs))


def _pad(operator: Operator, facts: NodeFacts, node: Any, inputs: Sequence[Any]) -> Any:
    """Pad: with a constant, its value is a term of its own outside."""
    if str(facts.attributes.get("mode", "constant")) != "constant":
        return _moving(operator, facts, node, inputs)
    x = rational(inputs[0])
    given = inputs[2] if len(inputs) > 2 else None
    value = Fraction(0)
    if given is not None:
        fill = rational(given)
        value = fill.at(0)
    else:
        value = Fraction(node.value)
    rest = [inputs[1] if len(inputs) > 1 else None, None, *inputs[3:]]
    plain = replace(node, value=0.0)
    inner = x.moved(lambda a: operator.evaluate(plain, [a, *rest])[0])
    if value == 0:
        return inner
    inside = operator.evaluate(plain, [np.ones(x.shape, np.int8), *rest])[0] != 0
    return add(inner, masked(filled(inner.shape, value), ~inside))


def _resize(operator: Operator, facts: NodeFacts, node: Any, inputs: Sequence[Any]) -> Any:
    mode = str(facts.attributes.get("mode", "nearest"))
    where = str(facts.attributes.get("coordinate_transformation_mode", ""))
    if mode != "nearest" or where == "tf_crop_and_resize":
        raise Inexact(f"it interpolates (mode {mode})")
    return _moving(operator, facts, node, inputs)


def _concat(facts: NodeFacts, node: int, inputs: Sequence[Any]) -> Rational:
    """Concat: the tables of scales one after the other, too."""
    parts = [rational(v) for v in inputs]
    axis = axis_of(node, len(parts[0].shape))
    terms = []
    for place in range(max(len(p.terms) for p in parts)):
        numbers: list[Array] = []
        scales: list[Fraction] = []
        index: list[Array] = []
        for part in parts:
            if place < len(part.terms):
                term = part.terms[place]
                numbers.append(term.number)
                index.append(np.asarray(term.index) + len(scales))
                scales += term.scales
            else:
                numbers.append(np.zeros(part.shape, np.int16))
                index.append(nothing(part.shape))
        distinct = {s: i for i, s in enumerate(dict.fromkeys(scales))}
        renamed = np.array([distinct[s] for s in scales], np.int32)
        terms.append(Term(np.concatenate(numbers, axis), tuple(distinct), renamed[np.concatenate(index, axis)]))
    return Rational(tuple(terms))


def _pairing(name: str, facts: NodeFacts, node: Any, inputs: Sequence[Any]) -> Real:
    """Add, Sub, Mul, Div."""
    a, b = inputs[0], inputs[1]
    a, b = (v if not isinstance(v, np.ndarray) else constant(v) for v in (a, b))
    if facts.attributes.get("broadcast"):
        raise Inexact("it broadcasts as before opset 7")
    if isinstance(a, Rational) and isinstance(b, Rational):
        if name == "Div":
            return multiply(a, reciprocal(b))
        return multiply(a, b) if name == "Mul" else add(a, b, -1 if name == "Sub" else 1)
    if name == "Div":
        raise Inexact("a division of numbers that are not rational")
    shape = np.broadcast_shapes(a.shape, b.shape)
    a, b = (moved(v, lambda p: np.broadcast_to(p, shape)) for v in (a, b))
    return Combined(name, a, b)


def _variadic(name: str, facts: NodeFacts, node: Any, inputs: Sequence[Any]) -> Rational:
    """Sum, Mean, Min, Max."""
    values = [rational(v) for v in inputs]
    total = values[0]
    for value in values[1:]:
        if name in ("Sum", "Mean"):
            total = add(total, value)
            continue
        a, b = aligned(total, value)
        total = chosen(above(a, b) if name == "Max" else above(b, a), a, b)
    return total.times(Fraction(1, len(values))) if name == "Mean" else total


def _relu(facts: NodeFacts, node: Any, inputs: Sequence[Any]) -> Rational:
    x = rational(inputs[0])
    return masked(x, ~negative(x))


def _leaky(facts: NodeFacts, node: Any, inputs: Sequence[Any]) -> Rational:
    x = rational(inputs[0])
    return chosen(negative(x), x.times(Fraction(node.alpha)), x)


def _prelu(facts: NodeFacts, node: Any, inputs: Sequence[Any]) -> Rational:
    x, slope = rational(inputs[0]), rational(inputs[1])
    if node.by_channel and len(slope.shape) == 1 and len(x.shape) > 1:
        slope = slope.moved(lambda a: a.reshape(1, -1, *(1,) * (len(x.shape) - 2)))
    below = negative(x)
    return chosen(below, multiply(x, slope), x)


def _limited(x: Rational, low: Fraction | None, high: Fraction | None) -> Rational:
    if low is not None:
        limit = filled(x.shape, low)
        x = masked(x, ~negative(x)) if low == 0 else chosen(above(limit, x), limit, x)
    if high is not None:
        limit = filled(x.shape, high)
        x = chosen(above(x, limit), limit, x)
    return x


def _limit(inputs: Sequence[Any], place: int, stated: float | None) -> Fraction | None:
    given = inputs[place] if place < len(inputs) else None
    if given is not None:
        if isinstance(given, np.ndarray):
            stated = float(given.reshape(-1)[0])
        else:
            return rational(given).at(0)
    return None if stated is None or not np.isfinite(stated) else Fraction(stated)


def _clip(facts: NodeFacts, node: Any, inputs: Sequence[Any]) -> Rational:
    return _limited(rational(inputs[0]), _limit(inputs, 1, node.low), _limit(inputs, 2, node.high))


def _hard_sigmoid(facts: NodeFacts, node: Any, inputs: Sequence[Any]) -> Rational:
    x = rational(inputs[0])
    line = add(x.times(Fraction(node.alpha)), filled(x.shape, Fraction(node.beta)))
    return _limited(line, Fraction(0), Fraction(1))


def _hard_swish(facts: NodeFacts, node: Any, inputs: Sequence[Any]) -> Rational:
    """``x max(0, min(1, x / 6 + 1 / 2))``; the sixth is the rational number."""
    x = rational(inputs[0])
    line = add(x.times(Fraction(1, 6)), filled(x.shape, Fraction(1, 2)))
    return multiply(x, _limited(line, Fraction(0), Fraction(1)))


def _thresholded(facts: NodeFacts, node: Any, inputs: Sequence[Any]) -> Rational:
    x = rational(inputs[0])
    return masked(x, above(x, filled(x.shape, Fraction(node.alpha))))


def _absolute(facts: NodeFacts, node: Any, inputs: Sequence[Any]) -> Rational:
    x = rational(inputs[0])
    return chosen(negative(x), x.times(Fraction(-1)), x)


def _negated(facts: NodeFacts, node: Any, inputs: Sequence[Any]) -> Rational:
    return rational(inputs[0]).times(Fraction(-1))


def _function(function: Function, facts: NodeFacts, node: Any, inputs: Sequence[Any]) -> Applied:
    return Applied(function, rational(inputs[0]))


def _elu(facts: NodeFacts, node: Any, inputs: Sequence[Any]) -> Applied:
    return Applied(functions.elu(node.alpha), rational(inputs[0]))


def _swish(facts: NodeFacts, node: Any, inputs: Sequence[Any]) -> Combined:
    x = rational(inputs[0])
    return Combined("Mul", x, Applied(functions.SIGMOID, x.times(Fraction(node.alpha))))


def _selecting(operator: Operator, facts: NodeFacts, node: Any, inputs: Sequence[Any]) -> Rational:
    """MaxPool and GlobalMaxPool of numbers at positive scales that no window mixes."""
    if facts.outputs > 1:
        raise Inexact("its indices are asked for")
    term = rational(inputs[0]).single("a maximum")
    if not all(s > 0 for s in term.scales):
        raise Inexact("a scale is not positive")
    spatial = tuple(slice(0, 1) if i > 1 else slice(None) for i in range(len(term.shape)))
    if len(term.scales) > 1 and (term.index != term.index[spatial]).any():
        raise Inexact("scales differ within a window")
    number = operator.evaluate(node, [term.number.astype(np.int64)])[0]
    if number.size and int(number.min()) == np.iinfo(np.int64).min:
        raise Inexact("a window holds nothing but padding")
    index = np.broadcast_to(term.index[spatial], number.shape)
    return Rational((Term(narrowed(number), term.scales, index),))


def _softmax(facts: NodeFacts, node: Any, inputs: Sequence[Any]) -> Softmax:
    x = rational(inputs[0])
    axis = axis_of(int(facts.attributes.get("axis", 1 if facts.version < 13 else -1)), len(x.shape))
    positions = np.arange(int(np.prod(x.shape, dtype=np.int64))).reshape(x.shape)
    if facts.version < 13:
        lead = int(np.prod(x.shape[:axis], dtype=np.int64))
        return Softmax(x.moved(lambda a: a.reshape(lead, -1)), positions)
    last = x.shape[axis]
    rows = x.moved(lambda a: np.moveaxis(a, axis, -1).reshape(-1, last))
    turned = np.moveaxis(positions, axis, -1)
    places = np.empty(positions.size, np.int64)
    places[turned.reshape(-1)] = np.arange(positions.size)
    return Softmax(rows, places.reshape(x.shape))


def _lrn(facts: NodeFacts, node: lrn.LRN, inputs: Sequence[Any]) -> Power:
    """LRN: a power of a sum of squares, which is rational."""
    x = rational(inputs[0])
    exponent = Fraction(node.beta)
    if not exponent > 0 or exponent.denominator > MAX_EXPONENT_DENOMINATOR:
        raise Inexact(f"its exponent {node.beta:.9g} is no fraction of small numbers")
    term = x.single("a normalisation")
    if len(term.scales) > 1:
        raise Inexact("scales differ within a window")
    narrowed(term.number, largest(term.number) ** 2 * node.size)
    squares = lrn._squares(node, term.number.astype(np.int64))
    weight = term.scales[0] ** 2 * Fraction(node.alpha) / node.size
    base = add(Rational((Term(narrowed(squares), (weight,), nothing(x.shape)),)), filled(x.shape, Fraction(node.bias)))
    if base.approximate()[0].size and float(base.approximate()[0].min()) <= 0:
        raise Inexact("its base is not positive")
    return Power(x, base, exponent)


def _normalization(facts: NodeFacts, node: Any, inputs: Sequence[Any]) -> Real:
    """BatchNormalization in inference form: a root of each channel's variance, which rarely is rational."""
    x = rational(inputs[0])
    along = (1, -1, *(1,) * (len(x.shape) - 2))
    scale, shift, mean, variance = (rational(v).moved(lambda a: a.reshape(along)) for v in inputs[1:5])
    base = add(variance, filled(variance.shape, Fraction(node.epsilon)))
    if node.training or not node.spatial:
        raise Inexact("it is in training form, or normalises every element")
    if float(base.approximate()[0].min()) <= 0:
        raise Inexact("a variance is not positive")
    numerator = multiply(add(x, mean, -1), scale)
    return Combined("Add", Power(numerator, base.spread(x.shape), Fraction(1, 2)), shift.spread(x.shape))


def _cast(facts: NodeFacts, node: cast.Cast, inputs: Sequence[Any]) -> Real:
    """To a type that holds the reals that 8-bit numbers stand for as well as the one before: nothing happens."""
    if node.to not in (ir.DataType.FLOAT, ir.DataType.DOUBLE):
        raise Inexact(f"it rounds to {node.to}")
    return rational(inputs[0])


MOVING = frozenset(
    {
        *("Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Slice", "Split", "Gather", "Expand", "Tile"),
        *("DepthToSpace", "SpaceToDepth", "Identity", "Dropout"),
    }
)
"""Operators that rearrange, repeat or leave out elements."""

_RULES: Mapping[str, Rule] = {
    "DequantizeLinear": dequantize,
    "Conv": convolution,
    "ConvTranspose": transposed,
    "Gemm": general_product,
    "MatMul": matrix_product,
    "AveragePool": average_pool,
    "GlobalAveragePool": global_average,
    "ReduceMean": reduction,
    "ReduceSum": reduction,
    "Concat": _concat,
    "Cast": _cast,
    "Relu": _relu,
    "LeakyRelu": _leaky,
    "PRelu": _prelu,
    "Clip": _clip,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _hard_swish,
    "ThresholdedRelu": _thresholded,
    "Abs": _absolute,
    "Neg": _negated,
    "Elu": _elu,
    "Swish": _swish,
    "Softmax": _softmax,
    "LRN": _lrn,
    "BatchNormalization": _normalization,
    **{name: partial(_pairing, name) for name in ("Add", "Sub", "Mul", "Div")},
    **{name: partial(_variadic, name) for name in ("Sum", "Mean", "Min", "Max")},
    **{f.name: partial(_function, f) for f in (functions.SIGMOID, functions.TANH, functions.EXP, functions.SOFTPLUS)},
}


def rule(operator: Operator) -> Rule | None:
    """The exact rule of an operator; ``None`` where it has none."""
    if operator.name == "DequantizeLinear" or not operator.domain:
        if operator.name in MOVING:
            return partial(_moving, operator)
        if operator.name in ("MaxPool", "GlobalMaxPool"):
            return partial(_selecting, operator)
        if operator.name == "Pad":
            return partial(_pad, operator)
        if operator.name in ("Resize", "Upsample"):
            return partial(_resize, operator)
        return _RULES.get(operator.name)
    return None
