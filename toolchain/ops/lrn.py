"""LRN, local response normalisation across channels: https://onnx.ai/onnx/operators/onnx__LRN.html."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from toolchain.ops.bounds import FLOAT32_MAX, FLOAT32_TINY, LAMBDA, Bound, gamma
from toolchain.ops.operator import Array, Inputs, NodeFacts, Operator, Spec, required
from toolchain.ops.spreads import Errors

POWER_ULPS = 4
"""Budget of a power function, in ulp: ``benchmarks/composed.py`` measures it."""


@dataclass(frozen=True)
class LRN:
    """Attributes of an LRN node.

    Attributes:
        size: number of channels summed over; of an even one the larger half follows the channel.
        alpha: weight of the mean square.
        beta: exponent.
        bias: added to the weighted mean square.
    """

    size: int
    alpha: float
    beta: float
    bias: float


def parse(facts: NodeFacts) -> LRN:
    """Read the attributes."""
    get = facts.attributes.get
    size = int(get("size", 0))
    if size < 1:
        raise facts.unsupported(f"size is {size}", "expected a positive number of channels")
    return LRN(size, float(get("alpha", np.float32(1e-4))), float(get("beta", 0.75)), float(get("bias", 1.0)))


def _squares(node: LRN, x: Array) -> Array:
    """``sum x^2`` over channels ``c - floor((size - 1) / 2)`` to ``c + ceil((size - 1) / 2)`` that exist."""
    if x.ndim < 2:
        raise ValueError(f"input has shape {list(x.shape)}; expected [N, C, ...]")
    channels, before = x.shape[1], (node.size - 1) // 2
    square = np.square(x)
    total = np.zeros_like(x)
    for offset in range(max(-before, -channels + 1), min(node.size - 1 - before, channels - 1) + 1):
        first, last = max(-offset, 0), channels - max(offset, 0)
        total[:, first:last] += square[:, first + offset : last + offset]
    return total


def evaluate(node: LRN, inputs: Inputs) -> tuple[Array, ...]:
    """``x / (bias + alpha / size * squares)^beta``."""
    x = required(inputs, 0)
    return (x / (node.bias + node.alpha / node.size * _squares(node, x)) ** node.beta,)


def infer(node: LRN, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    """Type and shape of the input."""
    x: Spec = required(inputs, 0)
    return (Spec(x.dtype, x.shape),)


def bound(node: LRN, inputs: Inputs, exact: Sequence[Array], roundoff: float) -> tuple[Bound, ...]:
    """Relative, for a sum that may also slide from channel to channel.

    A known correct algorithm (Caffe, ONNX Runtime) adds the square that enters the window to the previous
    channel's sum and subtracts the one that leaves: at most ``n = 2 C + size + 4`` roundings of terms whose
    absolute values sum to ``S = |bias| + |alpha| / size * 2 sum(x^2 up to the window's end)``, at least
    what a fresh sum makes. With ``d = gamma(n) S / |base|`` the power is off by ``beta d / (1 - d)``
    (unbounded where ``d >= 1``, or where squares leave float32), its own budget and the division: ``2 e u + u``;
    a rounded exponent times a logarithm adds ``beta |ln base| u``.
    """
    x = required(inputs, 0)
    before = (node.size - 1) // 2
    after, channels = node.size - 1 - before, x.shape[1]
    running = np.square(x).cumsum(axis=1)
    end = np.minimum(np.arange(channels) + after, channels - 1)
    weight = node.alpha / node.size
    magnitude = abs(node.bias) + abs(weight) * 2 * running[:, end]
    base = node.bias + weight * _squares(node, x)
    terms = 2 * channels + node.size + 4
    overflows = 2 * running[:, end] > FLOAT32_MAX
    own = 2 * POWER_ULPS + 1 + abs(node.beta) * np.abs(np.log(np.abs(base) + FLOAT32_TINY))
    size = np.abs(exact[0])

    def limit(grow: float) -> Array:
        off = np.where(overflows, np.inf, (grow * magnitude + terms * FLOAT32_TINY) / np.abs(base))
        inner = np.where(off < 1, abs(node.beta) * off / np.where(off < 1, 1 - off, 1.0), np.inf)
        with np.errstate(invalid="ignore"):
            found = np.nan_to_num(size * (inner + own * roundoff), nan=0.0, posinf=np.inf) + FLOAT32_TINY
        # A base that may round to zero or below has an infinite power or none, and 0 times that is no number.
        return np.where(off >= 1, np.inf, found)

    return (Bound(limit(float(gamma(terms, roundoff))), limit(float(LAMBDA * np.sqrt(terms) * roundoff))),)


def spread(operator: Operator, node: LRN, inputs: Inputs, errors: Errors, roundoff: float) -> tuple[Array, ...]:
    """Over ``x - e .. x + e`` and, independently, all sums of squares: monotone in both, so corners are extreme.

    Without limit where ``alpha`` is negative or the base may not be positive.
    """
    x, error = required(inputs, 0), np.asarray(errors[0])
    (exact,) = evaluate(node, [x])
    size, weight = np.abs(x), node.alpha / node.size
    limit = np.zeros(x.shape)
    for reached in (np.maximum(size - error, 0.0), size + error):
        base = node.bias + weight * _squares(node, reached)
        positive = np.where((base > 0) & (weight >= 0), base, np.nan)
        for sign in (-1.0, 1.0):
            limit = np.maximum(limit, np.abs((x + sign * error) / positive**node.beta - exact))
    return (np.where(np.isnan(limit), np.inf, limit),)


OPERATORS = (
    Operator("LRN", frozenset({1, 13}), parse, evaluate, infer, bound, spread=spread, budget=f"power: {POWER_ULPS}"),
)
