"""Softmax, LogSoftmax and Hardmax: https://onnx.ai/onnx/operators/onnx__Softmax.html.

Since version 13 they run along one axis, by default the last. Before, ``axis`` (by default 1) cut the shape into a
matrix whose rows they ran along.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from toolchain.ops.bounds import EXACT, LAMBDA, Bound, gamma
from toolchain.ops.operator import Array, Inputs, NodeFacts, Operator, Spec, required
from toolchain.ops.spreads import Errors
from toolchain.ops.spreads import softmax as softmax_spread

EXP_ULPS = 2
LOG_ULPS = 2
"""Budgets of exponential and logarithm, in ulp: ``benchmarks/composed.py`` measures them."""

_FLOOR = 2.0**-126
"""Results below the smallest normal float32 may be flushed to zero."""


@dataclass(frozen=True)
class Softmax:
    """Attributes.

    Attributes:
        axis: the axis, or the first axis of the rows.
        flatten: the input counts as a matrix (before version 13).
    """

    axis: int
    flatten: bool


def parse(facts: NodeFacts) -> Softmax:
    """Read the attributes."""
    flatten = facts.version < 13
    return Softmax(int(facts.attributes.get("axis", 1 if flatten else -1)), flatten)


def _rows(node: Softmax, x: Array) -> tuple[Array, int]:
    """The input as it is run over, and the axis to run along."""
    axis = _checked(node, x.ndim)
    if node.flatten:
        return x.reshape(int(np.prod(x.shape[:axis], dtype=np.int64)), -1), 1
    return x, axis


def _checked(node: Softmax, rank: int) -> int:
    """The axis counted from the front.

    Raises:
        ValueError: there is no such axis.
    """
    if not -rank <= node.axis < max(rank, 1):
        raise ValueError(f"axis is {node.axis}; expected one from {-rank} to {rank - 1}")
    return node.axis % rank if rank else 0


def _shifted(rows: Array, axis: int) -> Array:
    """Minus the maximum along the axis, so that no exponential overflows; infinite maxima count as they are."""
    if rows.shape[axis] == 0:
        return rows
    with np.errstate(invalid="ignore"):
        shifted: Array = rows - rows.max(axis=axis, keepdims=True)
    return shifted


def softmax(node: Softmax, inputs: Inputs) -> tuple[Array, ...]:
    """``exp(x) / sum exp(x)``."""
    x = required(inputs, 0)
    rows, axis = _rows(node, x)
    powers = np.exp(_shifted(rows, axis))
    return ((powers / powers.sum(axis=axis, keepdims=True)).reshape(x.shape),)


def log_softmax(node: Softmax, inputs: Inputs) -> tuple[Array, ...]:
    """``x - log(sum exp(x))``."""
    x = required(inputs, 0)
    rows, axis = _rows(node, x)
    shifted = _shifted(rows, axis)
    return ((shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))).reshape(x.shape),)


def hardmax(node: Softmax, inputs: Inputs) -> tuple[Array, ...]:
    """1 at the first maximum, 0 elsewhere."""
    x = required(inputs, 0)
    rows, axis = _rows(node, x)
    y = np.zeros_like(rows)
    if x.size:
        np.put_along_axis(y, np.expand_dims(rows.argmax(axis=axis), axis), 1, axis=axis)
    return (y.reshape(x.shape),)


def infer(node: Softmax, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    """Type and shape of the input."""
    x: Spec = required(inputs, 0)
    _checked(node, len(x.shape))
    return (Spec(x.dtype, x.shape),)


def _sum_error(rows: Array, axis: int) -> tuple[Array, Array, int]:
    """Of each row: ``|x - max|``, its mean weighted by the softmax, and the number of terms."""
    distance = np.abs(_shifted(rows, axis))
    weights = np.exp(-distance)
    total = weights.sum(axis=axis, keepdims=True)
    spread = np.where(weights > 0, weights * distance, 0.0).sum(axis=axis, keepdims=True) / total
    return distance, spread, rows.shape[axis]


def softmax_bound(node: Softmax, inputs: Inputs, exact: Sequence[Array], roundoff: float) -> tuple[Bound, ...]:
    """Relative: ``u (d + D + 4 e + n + 1)`` with ``d = |x - max|``.

    The subtraction rounds the exponent by ``u d``, which is a relative error of the exponential; this has
    ``2 e u`` of its own. The sum of n positive terms has their mean relative error, ``u (D + 2 e)`` with ``D``
    the mean of d weighted by the softmax, and ``(n - 1) u``; the division, or a reciprocal and a product, adds
    ``2 u``.
    """
    x = required(inputs, 0)
    rows, axis = _rows(node, x)
    distance, spread, n = _sum_error(rows, axis)
    distance = np.minimum(distance, 1 / roundoff)
    sound = gamma(distance + spread + 4 * EXP_ULPS + n + 1, roundoff)
    probable = LAMBDA * roundoff * np.sqrt(distance**2 + spread**2 + 8 * EXP_ULPS**2 + n + 1)
    size = np.abs(exact[0].reshape(rows.shape))
    with np.errstate(invalid="ignore"):
        limits = [np.where(size > 0, size * r, 0.0) + _FLOOR for r in (sound, probable)]
    return (Bound(limits[0].reshape(x.shape), limits[1].reshape(x.shape)),)


def log_softmax_bound(node: Softmax, inputs: Inputs, exact: Sequence[Array], roundoff: float) -> tuple[Bound, ...]:
    """Absolute: the relative error of the sum (see softmax) becomes absolute under the logarithm.

    Besides: the logarithm's own ``2 e u |log sum|``, and the subtractions of maximum and logarithm, one after the
    other or both at once: ``u (|x - max| + |max + log sum| + |y|)``.
    """
    x = required(inputs, 0)
    rows, axis = _rows(node, x)
    distance, spread, n = _sum_error(rows, axis)
    y = np.abs(exact[0].reshape(rows.shape))
    log = np.abs(np.log(np.exp(-distance).sum(axis=axis, keepdims=True)))
    rest = distance + np.abs(rows.max(axis=axis, keepdims=True)) + (1 + 2 * LOG_ULPS) * log + y
    terms = spread + 2 * EXP_ULPS + n
    probable = LAMBDA * np.sqrt(spread**2 + (2 * EXP_ULPS) ** 2 + n) * roundoff + rest * roundoff
    limits = (gamma(terms, roundoff) + gamma(rest, roundoff) + _FLOOR, probable + _FLOOR)
    return (Bound(limits[0].reshape(x.shape), limits[1].reshape(x.shape)),)


def hardmax_bound(node: Softmax, inputs: Inputs, exact: Sequence[Array], roundoff: float) -> tuple[Bound, ...]:
    """Selects: exact."""
    return (EXACT,)


def log_softmax_spread(
    operator: Operator, node: Softmax, inputs: Inputs, errors: Errors, roundoff: float
) -> tuple[Array, ...]:
    """Both ``x`` and ``log(sum exp(x))`` move by at most the largest error."""
    largest = float(np.max(np.asarray(errors[0]), initial=0.0))
    return (np.full(required(inputs, 0).shape, 2 * largest),)


_VERSIONS = frozenset({1, 11, 13})
OPERATORS = (
    Operator(
        "Softmax",
        _VERSIONS,
        parse,
        softmax,
        infer,
        softmax_bound,
        spread=softmax_spread,
        budget=f"exponential: {EXP_ULPS}",
        range=lambda *_: (0.0, 1.0),
    ),
    Operator(
        "LogSoftmax",
        _VERSIONS,
        parse,
        log_softmax,
        infer,
        log_softmax_bound,
        spread=log_softmax_spread,
        budget=f"exponential: {EXP_ULPS}, logarithm: {LOG_ULPS}",
    ),
    Operator("Hardmax", _VERSIONS, parse, hardmax, infer, hardmax_bound),
)
