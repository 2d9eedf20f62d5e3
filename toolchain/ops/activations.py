"""Activations with parameters.

LeakyRelu, PRelu, Elu, Selu, Celu, ThresholdedRelu, HardSigmoid, HardSwish, Gelu, Swish, Shrink, IsInf, IsNaN:
https://onnx.ai/onnx/operators/. Parameters are float32 attributes, read as the numbers that they are. How the
budgets are measured: see ``unary.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from toolchain.ops.attributes import choice, integer, nothing, number
from toolchain.ops.bounds import EXACT, Bound, accumulated, ulps
from toolchain.ops.operator import Array, Inputs, NodeFacts, Operator, Spec, required
from toolchain.ops.shaping import broadcast, like_first
from toolchain.ops.spreads import Errors, Spread, corners, lipschitz
from toolchain.ops.unary import Budget, erfc, sigmoid

SQRT_HALF = float(np.sqrt(0.5))
SQRT_2_OVER_PI = float(np.sqrt(2.0 / np.pi))
GELU_TANH_CUBIC = 0.044715
TAIL = 20.0
"""Below minus this, a sigmoid or a normal distribution is smaller than half an ulp of 1."""


@dataclass(frozen=True)
class Parameters:
    """Attributes of a parametrised activation; one that does not use ``beta`` leaves it zero."""

    alpha: float
    beta: float = 0.0
    approximate: str = "none"


def _both(alpha: float, beta: float = 0.0) -> Callable[[NodeFacts], Parameters]:
    def parse(facts: NodeFacts) -> Parameters:
        return Parameters(number(facts, "alpha", alpha), number(facts, "beta", beta))

    return parse


def _selu_parameters(facts: NodeFacts) -> Parameters:
    """Version 1 has its constants rounded to four digits, version 6 to float32."""
    old = facts.version < 6
    return Parameters(
        number(facts, "alpha", 1.6732 if old else float(np.float32(1.67326319217681884765625))),
        number(facts, "gamma", 1.0507 if old else float(np.float32(1.05070102214813232421875))),
    )


def _gelu_parameters(facts: NodeFacts) -> Parameters:
    return Parameters(0.0, 0.0, choice(facts, "approximate", "none", ("none", "tanh")))


def _shrink_parameters(facts: NodeFacts) -> Parameters:
    return Parameters(number(facts, "lambd", 0.5), number(facts, "bias", 0.0))


def leaky_relu(p: Parameters, x: Array) -> Array:
    """``x``, or ``alpha x`` where negative."""
    return np.where(x < 0, p.alpha * x, x)


def elu(p: Parameters, x: Array) -> Array:
    """``x``, or ``alpha (exp(x) - 1)`` where negative."""
    return np.where(x < 0, p.alpha * np.expm1(x), x)


def selu(p: Parameters, x: Array) -> Array:
    """``gamma`` times Elu."""
    return np.where(x > 0, p.beta * x, p.beta * p.alpha * np.expm1(np.minimum(x, 0)))


def celu(p: Parameters, x: Array) -> Array:
    """``max(0, x) + min(0, alpha (exp(x / alpha) - 1))``."""
    return np.maximum(x, 0) + np.minimum(0, p.alpha * np.expm1(x / p.alpha))


def thresholded_relu(p: Parameters, x: Array) -> Array:
    """``x`` where above ``alpha``, else 0; NaN stays NaN."""
    return np.where(x <= p.alpha, 0.0, x)


def hard_sigmoid(p: Parameters, x: Array) -> Array:
    """``max(0, min(1, alpha x + beta))``."""
    return np.clip(p.alpha * x + p.beta, 0.0, 1.0)


def gelu(p: Parameters, x: Array) -> Array:
    """``x Phi(x)``, with the normal distribution or its approximation by tanh."""
    if p.approximate == "tanh":
        inner = SQRT_2_OVER_PI * (x + GELU_TANH_CUBIC * x**3)
        factor = sigmoid(2.0 * inner)
    else:
        factor = 0.5 * erfc(-x * SQRT_HALF)
    return np.where(x == -np.inf, 0.0, x * factor)


def swish(p: Parameters, x: Array) -> Array:
    """``x sigmoid(alpha x)``."""
    return np.where(np.isinf(x) & (p.alpha * x < 0), 0.0, x * sigmoid(p.alpha * x))


def hard_swish(p: Parameters, x: Array) -> Array:
    """``x max(0, min(1, x / 6 + 1 / 2))``."""
    return np.where(x <= -3.0, 0.0, x * np.clip(x / 6.0 + 0.5, 0.0, 1.0))


def shrink(p: Parameters, x: Array) -> Array:
    """``x + bias`` below ``-lambd``, ``x - bias`` above ``lambd``, else 0; in the type of the input."""
    moved = np.where(x < -p.alpha, x + p.beta, np.where(x > p.alpha, x - p.beta, 0))
    return moved.astype(x.dtype)


ActivationBound = Callable[[Parameters, Array, Array, float], Bound]


def _budget(relative: float, absolute: float = 0.0, reach: float = 0.0) -> ActivationBound:
    """Ulps of the result, plus ulps of the input's magnitude (up to ``reach``) where the function's tail cancels."""
    budget = Budget(relative, absolute)

    def bound(p: Parameters, x: Array, y: Array, roundoff: float) -> Bound:
        return budget.bound(y, roundoff, np.minimum(np.abs(np.nan_to_num(x)), reach))

    return bound


def swish_bound(p: Parameters, x: Array, y: Array, roundoff: float) -> Bound:
    """Like Gelu's, with the tail where ``alpha x`` says."""
    scale = np.minimum(np.abs(np.nan_to_num(x)), TAIL / max(abs(p.alpha), 1e-30))
    return Budget(4.0 + 2.0 * TAIL, 2.0).bound(y, roundoff, scale)


def _of_alpha(relative: float, absolute: float) -> ActivationBound:
    """Like :func:`_budget` with the absolute part in ulps of ``alpha``: ``exp(x) - 1`` cancels near zero."""
    budget = Budget(relative, absolute)

    def bound(p: Parameters, x: Array, y: Array, roundoff: float) -> Bound:
        return budget.bound(y, roundoff, np.where(x < 0, abs(p.alpha) * max(abs(p.beta), 1.0), 0.0))

    return bound


def _selects(p: Parameters, x: Array, y: Array, roundoff: float) -> Bound:
    return EXACT


def _linear(p: Parameters, x: Array, y: Array, roundoff: float) -> Bound:
    """``|alpha x| + |beta|`` in two terms, where the result is not cut off beyond doubt."""
    return accumulated(np.minimum(np.abs(p.alpha * x) + abs(p.beta), 2 + 2 * abs(p.beta)), 2, roundoff)


def _shifted(p: Parameters, x: Array, y: Array, roundoff: float) -> Bound:
    return ulps(y, 0.5, roundoff) if y.dtype.kind == "f" else EXACT


def _operator(
    name: str,
    versions: set[int],
    parse: Callable[[NodeFacts], Parameters],
    function: Callable[[Parameters, Array], Array],
    limit: ActivationBound,
    spread: Spread | None,
    budget: str = "",
    ends: tuple[float, float] | None = None,
) -> Operator:
    def evaluate(node: Parameters, inputs: Inputs) -> tuple[Array, ...]:
        with np.errstate(all="ignore"):
            return (np.asarray(function(node, required(inputs, 0))),)

    def bound(node: Parameters, inputs: Inputs, exact: Sequence[Array], roundoff: float) -> tuple[Bound, ...]:
        return (limit(node, required(inputs, 0), exact[0], roundoff),)

    return Operator(
        name,
        frozenset(versions),
        parse,
        evaluate,
        like_first,
        bound,
        spread=spread,
        budget=budget,
        range=None if ends is None else lambda *_: ends,
    )


_STEEPEST = frozenset({"LeakyRelu", "Elu", "Selu"})
"""Nowhere steeper than 1 or ``alpha``, times ``gamma``, whatever their signs."""


def _rising(operator: Operator, node: Parameters, inputs: Inputs, errors: Errors, roundoff: float) -> tuple[Array, ...]:
    """Functions that rise everywhere as long as ``alpha`` is not negative."""
    if node.alpha < 0 and operator.name in _STEEPEST:
        steepest = max(1.0, abs(node.alpha)) * max(1.0, abs(node.beta))
        return (steepest * np.broadcast_to(np.asarray(errors[0]), required(inputs, 0).shape),)
    if node.alpha < 0:
        raise ValueError(f"alpha is {node.alpha}: how errors spread through a function that falls is not derived")
    return corners(operator, node, inputs, errors, roundoff)


@dataclass(frozen=True)
class PRelu:
    """How the slope is broadcast: version 1 and 6 take one value or one a channel, later ones unidirectionally."""

    by_channel: bool


def _prelu_parse(facts: NodeFacts) -> PRelu:
    return PRelu(by_channel=facts.version < 7)


def prelu(node: PRelu, inputs: Inputs) -> tuple[Array, ...]:
    """``x``, or ``slope x`` where negative.

    Raises:
        ValueError: the slope does not broadcast to ``x``.
    """
    x, slope = required(inputs, 0), required(inputs, 1)
    if node.by_channel and slope.ndim == 1 and slope.size > 1 and x.ndim > 1:
        slope = slope.reshape(1, -1, *(1,) * (x.ndim - 2))
    if broadcast(x.shape, slope.shape) != x.shape:
        raise ValueError(f"slope has shape {list(slope.shape)}; expected one that broadcasts to {list(x.shape)}")
    return (np.where(x < 0, slope * x, x).astype(x.dtype),)


def _prelu_bound(node: PRelu, inputs: Inputs, exact: Sequence[Array], roundoff: float) -> tuple[Bound, ...]:
    return (ulps(exact[0], 0.5, roundoff) if exact[0].dtype.kind == "f" else EXACT,)


def _prelu_spread(
    operator: Operator, node: PRelu, inputs: Inputs, errors: Errors, roundoff: float
) -> tuple[Array, ...]:
    """The slope is nowhere steeper than 1 and itself."""
    if errors[1] is not None:
        raise ValueError("how errors of the slope spread is not derived")
    x, slope = required(inputs, 0), required(inputs, 1)
    steepest = max(1.0, float(np.max(np.abs(slope), initial=0.0)))
    return (steepest * np.broadcast_to(np.asarray(errors[0]), x.shape),)


@dataclass(frozen=True)
class IsInf:
    """Which infinities count."""

    negative: bool
    positive: bool


def _is_inf_parse(facts: NodeFacts) -> IsInf:
    return IsInf(bool(integer(facts, "detect_negative", 1)), bool(integer(facts, "detect_positive", 1)))


def _is_inf(node: IsInf, inputs: Inputs) -> tuple[Array, ...]:
    x = required(inputs, 0).astype(np.float64)
    return (((x == np.inf) & node.positive) | ((x == -np.inf) & node.negative),)


def _is_nan(node: None, inputs: Inputs) -> tuple[Array, ...]:
    return (np.isnan(required(inputs, 0).astype(np.float64)),)


def _to_bool(node: object, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    return (Spec(ir.DataType.BOOL, required(inputs, 0).shape),)


def _exact(node: object, inputs: Inputs, exact: Sequence[Array], roundoff: float) -> tuple[Bound, ...]:
    return (EXACT,)


OF_ALPHA, OF_INPUT = Budget(4.0, 1.0).of("alpha"), Budget(4.0, 2.0).of("x")

OPERATORS = (
    _operator("LeakyRelu", {1, 6, 16}, _both(0.01), leaky_relu, _budget(0.5), _rising, "0.5"),
    _operator("Elu", {1, 6, 22}, _both(1.0), elu, _of_alpha(4.0, 1.0), _rising, OF_ALPHA),
    _operator("Selu", {1, 6, 22}, _selu_parameters, selu, _of_alpha(4.0, 1.0), _rising, OF_ALPHA),
    _operator("Celu", {12, 28}, _both(1.0), celu, _of_alpha(4.0, 1.0), _rising, OF_ALPHA),
    _operator("ThresholdedRelu", {10, 22}, _both(1.0), thresholded_relu, _selects, _rising),
    _operator("HardSigmoid", {1, 6, 22}, _both(0.2, 0.5), hard_sigmoid, _linear, corners, ends=(0.0, 1.0)),
    _operator("Gelu", {20}, _gelu_parameters, gelu, _budget(4.0, 2.0, TAIL), lipschitz(1.13), OF_INPUT),
    _operator("Swish", {24}, _both(1.0), swish, swish_bound, lipschitz(1.1), "44 + 2 of x"),
    _operator("HardSwish", {14, 22}, _both(0.0), hard_swish, _budget(4.0, 2.0, 4.0), lipschitz(1.5), OF_INPUT),
    _operator("Shrink", {9}, _shrink_parameters, shrink, _shifted, None, "0.5"),
    Operator(
        "PRelu",
        frozenset({1, 6, 7, 9, 16}),
        _prelu_parse,
        prelu,
        like_first,
        _prelu_bound,
        spread=_prelu_spread,
        budget="0.5",
    ),
    Operator("IsInf", frozenset({10, 20}), _is_inf_parse, _is_inf, _to_bool, _exact),
    Operator("IsNaN", frozenset({9, 13, 20}), nothing, _is_nan, _to_bool, _exact),
)
