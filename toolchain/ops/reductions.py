"""Reductions: https://onnx.ai/onnx/operators/onnx__ReduceSum.html and its kin. Axes are attributes, then inputs.

Bounds. With ``S`` the sum of magnitudes and ``n`` its terms: a sum is ``accumulated(S, n)``; a square, a root or a
division adds one rounding each. A product rounds as a sum does, and what underflows on the way grows with the factors
behind it. A logarithm turns the relative error of its argument into an absolute one,
``gamma S / |sum|``, and adds ulps of its own. In log-sum-exp each exponential carries the rounding of its
argument, an absolute error ``u |x - max|`` that becomes a relative one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from toolchain.ops.attributes import integer, integers
from toolchain.ops.bounds import EXACT, FLOAT32_MAX, FLOAT32_TINY, Bound, accumulated, gamma
from toolchain.ops.operator import Array, Inputs, NodeFacts, Operator, Spec, optional, required
from toolchain.ops.shaping import axes_of, constant, folding
from toolchain.ops.spreads import Errors, Spread, moved

Axes = tuple[int, ...]
LOG_ULPS = 2.0
"""Budget of a logarithm, in ulp: ``benchmarks/composed.py`` measures it."""
LOGARITHM = f"logarithm: {LOG_ULPS:g}"


@dataclass(frozen=True)
class Reduce:
    """Attributes: axes (where they are no input), and what an empty list of them means."""

    axes: Axes | None
    keep: bool
    noop: bool


def parse(facts: NodeFacts) -> Reduce:
    """Read the attributes."""
    return Reduce(
        integers(facts, "axes"),
        bool(integer(facts, "keepdims", 1)),
        bool(integer(facts, "noop_with_empty_axes", 0)),
    )


def chosen(node: Reduce, rank: int, given: Array | None) -> Axes:
    """The axes to reduce; the empty tuple reduces nothing (each element is a set of its own)."""
    stated = node.axes if given is None else tuple(int(a) for a in given.reshape(-1))
    if not stated:
        return () if node.noop else tuple(range(rank))
    return axes_of(stated, rank)


Function = Callable[[Array, Axes, bool], Array]
Limit = Callable[[Array, Array, Axes, bool, float], Bound]


def _terms(x: Array, axes: Axes) -> int:
    return int(np.prod([x.shape[a] for a in axes], dtype=np.int64))


def total(x: Array, axes: Axes, keep: bool) -> Array:
    """Sum in the type of the input."""
    return np.asarray(np.sum(x, axis=axes, keepdims=keep, dtype=x.dtype))


def mean(x: Array, axes: Axes, keep: bool) -> Array:
    """Sum divided by the number of terms; integers truncate towards zero."""
    n = _terms(x, axes)
    if x.dtype.kind == "f":
        return np.asarray(np.mean(x, axis=axes, keepdims=keep))
    s = np.sum(x, axis=axes, keepdims=keep, dtype=np.int64)
    return np.asarray(np.sign(s) * (np.abs(s) // max(n, 1))).astype(x.dtype)


def product(x: Array, axes: Axes, keep: bool) -> Array:
    """Product in the type of the input."""
    return np.asarray(np.prod(x, axis=axes, keepdims=keep, dtype=x.dtype))


def _extreme(function: Callable[..., Array], highest: bool) -> Function:
    def reduce(x: Array, axes: Axes, keep: bool) -> Array:
        if _terms(x, axes):
            return np.asarray(function(x, axis=axes, keepdims=keep))
        shape = reduced_shape(x.shape, axes, keep)
        if x.dtype.kind == "f":
            return np.full(shape, -np.inf if highest else np.inf)
        if x.dtype == np.bool_:
            return np.full(shape, not highest)
        limits = np.iinfo(x.dtype)
        return np.full(shape, limits.min if highest else limits.max, dtype=x.dtype)

    return reduce


def l1(x: Array, axes: Axes, keep: bool) -> Array:
    """Sum of magnitudes."""
    return total(np.abs(x), axes, keep)


def sum_square(x: Array, axes: Axes, keep: bool) -> Array:
    """Sum of squares."""
    return total(np.square(x), axes, keep)


def l2(x: Array, axes: Axes, keep: bool) -> Array:
    """Root of the sum of squares; of integers truncated towards zero."""
    return np.asarray(np.sqrt(sum_square(x.astype(np.float64), axes, keep)).astype(x.dtype))


def log_sum(x: Array, axes: Axes, keep: bool) -> Array:
    """Logarithm of the sum; of integers truncated towards zero."""
    return np.log(total(x.astype(np.float64), axes, keep)).astype(x.dtype)


def log_sum_exp(x: Array, axes: Axes, keep: bool) -> Array:
    """Logarithm of the sum of exponentials; minus infinity of nothing."""
    wide = x.astype(np.float64)
    shift = np.asarray(np.max(wide, axis=axes, keepdims=True, initial=-np.inf))
    shift = np.where(np.isfinite(shift), shift, 0.0)
    y = np.log(np.sum(np.exp(wide - shift), axis=axes, keepdims=True)) + shift
    return np.asarray(y.reshape(reduced_shape(x.shape, axes, keep)).astype(x.dtype))


def _selects(x: Array, y: Array, axes: Axes, keep: bool, roundoff: float) -> Bound:
    return EXACT


def _sums(extra: int, magnitude: Function, reached: Function | None = None) -> Limit:
    """Of sums of ``magnitude``; on the way to it they may reach ``reached``, where that is more."""

    def limit(x: Array, y: Array, axes: Axes, keep: bool, roundoff: float) -> Bound:
        most = None if reached is None else reached(np.abs(x), axes, keep)
        return accumulated(magnitude(np.abs(x), axes, keep), _terms(x, axes) + extra, roundoff, reached=most)

    return limit


def _root_of_squares(x: Array, y: Array, axes: Axes, keep: bool, roundoff: float) -> Bound:
    """Squares that underflow lose up to a subnormal number each; the root of what they lose is the floor."""
    relative = _sums(2, l2, sum_square)(x, y, axes, keep, roundoff)
    floor = np.sqrt(_terms(x, axes) * FLOAT32_TINY)
    return Bound(relative.sound + floor, relative.probable + floor)


def _factors(x: Array, y: Array, axes: Axes, keep: bool, roundoff: float) -> Bound:
    """A rounding for each factor.

    A partial product that underflows is off by up to a subnormal number, which the factors behind it enlarge, at most
    by the product of all that exceed 1; where that leaves the range of float32, so may a partial product.
    """
    n = _terms(x, axes) + 1
    relative = accumulated(product(np.abs(x), axes, keep), n, roundoff)
    largest = product(np.maximum(np.abs(x), 1.0), axes, keep)
    enlarged = FLOAT32_TINY * n * (1 + gamma(n, roundoff)) * largest
    rest = np.where(largest > FLOAT32_MAX, np.inf, enlarged)
    return Bound(relative.sound + rest, relative.probable + rest)


def _logarithm(x: Array, y: Array, axes: Axes, keep: bool, roundoff: float) -> Bound:
    s, n = np.abs(total(x, axes, keep)), _terms(x, axes)
    inner = accumulated(total(np.abs(x), axes, keep), n, roundoff)
    own = 2 * LOG_ULPS * roundoff * np.abs(np.nan_to_num(y)) + roundoff

    def through(error: Array) -> Array:
        relative = np.divide(error, s, out=np.full(s.shape, np.inf), where=s > 0)
        widened = np.where(relative < 1, -np.log1p(-np.minimum(relative, 1 - 2.0**-52)), np.inf)
        return np.asarray(widened + own)

    return Bound(through(inner.sound), through(inner.probable))


def _log_exponentials(x: Array, y: Array, axes: Axes, keep: bool, roundoff: float) -> Bound:
    n, magnitude = _terms(x, axes), np.nan_to_num(np.abs(x), posinf=0.0)
    largest = np.asarray(np.max(magnitude, axis=axes, keepdims=keep, initial=0.0))
    own = 2 * (LOG_ULPS + 1) * roundoff * (np.abs(np.nan_to_num(y)) + 2 * largest + 1)
    return Bound(gamma(n + 4, roundoff) + own, 4 * np.sqrt(n + 4) * roundoff + own)


def reduced_shape(shape: tuple[int, ...], axes: Axes, keep: bool) -> tuple[int, ...]:
    """Shape without the axes, or with 1 in their place."""
    if keep:
        return tuple(1 if i in axes else d for i, d in enumerate(shape))
    return tuple(d for i, d in enumerate(shape) if i not in axes)


def _steepest(operator: Operator, node: Reduce, inputs: Inputs, errors: Errors, roundoff: float) -> tuple[Array, ...]:
    """Of functions that move by no more than the largest error of their terms."""
    x, error = required(inputs, 0), errors[0]
    axes = chosen(node, x.ndim, optional(inputs, 1))
    spread_out = np.broadcast_to(0.0 if error is None else error, x.shape)
    return (np.asarray(np.max(spread_out, axis=axes, keepdims=node.keep, initial=0.0)),)


def _squares(operator: Operator, node: Reduce, inputs: Inputs, errors: Errors, roundoff: float) -> tuple[Array, ...]:
    """``|(x + d)^2 - x^2| <= 2 |x| e + e^2``."""
    x, error = required(inputs, 0), np.asarray(0.0 if errors[0] is None else errors[0])
    axes = chosen(node, x.ndim, optional(inputs, 1))
    return (total(2 * np.abs(x) * error + error**2, axes, node.keep),)


def _operator(
    name: str, versions: set[int], function: Function, limit: Limit, spread: Spread | None, budget: str = ""
) -> Operator:
    def evaluate(node: Reduce, inputs: Inputs) -> tuple[Array, ...]:
        x = required(inputs, 0)
        with np.errstate(all="ignore"):
            return (function(x, chosen(node, x.ndim, optional(inputs, 1)), node.keep),)

    def infer(node: Reduce, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
        x, given = required(inputs, 0), optional(inputs, 1)
        axes = chosen(node, len(x.shape), None if given is None else constant(given, "the list of axes"))
        return (Spec(x.dtype, reduced_shape(x.shape, axes, node.keep)),)

    def bound(node: Reduce, inputs: Inputs, exact: Sequence[Array], roundoff: float) -> tuple[Bound, ...]:
        x = required(inputs, 0)
        if x.dtype.kind != "f":
            return (EXACT,)
        with np.errstate(all="ignore"):
            axes = chosen(node, x.ndim, optional(inputs, 1))
            return (limit(x, exact[0], axes, node.keep, roundoff),)

    shape = folding(infer, evaluate)
    return Operator(name, frozenset(versions), parse, evaluate, shape, bound, spread=spread, budget=budget)


COMMON = {1, 11, 13, 18}
EXTREME = {1, 11, 12, 13, 18, 20}

OPERATORS = (
    _operator("ReduceSum", {1, 11, 13}, total, _sums(0, total), moved),
    _operator("ReduceMean", COMMON, mean, _sums(1, mean, total), moved),
    _operator("ReduceProd", COMMON, product, _factors, None),
    _operator("ReduceMax", EXTREME, _extreme(np.max, highest=True), _selects, _steepest),
    _operator("ReduceMin", EXTREME, _extreme(np.min, highest=False), _selects, _steepest),
    _operator("ReduceL1", COMMON, l1, _sums(0, l1), moved),
    _operator("ReduceL2", COMMON, l2, _root_of_squares, moved),
    _operator("ReduceSumSquare", COMMON, sum_square, _sums(1, sum_square), _squares),
    _operator("ReduceLogSum", COMMON | {28}, log_sum, _logarithm, None, LOGARITHM),
    _operator("ReduceLogSumExp", COMMON | {28}, log_sum_exp, _log_exponentials, _steepest, LOGARITHM),
)
