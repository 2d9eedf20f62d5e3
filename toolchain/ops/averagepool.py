"""AveragePool: https://onnx.ai/onnx/operators/onnx__AveragePool.html.

With ``count_include_pad`` a window is divided by the taps that lie in the input or its stated padding:
what a last window under ``ceil_mode`` covers beyond that does not count (as in PyTorch and ONNX Runtime).
A window without any element counted averages to 0, as in both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from toolchain.ops.bounds import Bound, accumulated
from toolchain.ops.operator import Array, Inputs, NodeFacts, Operator, Spec, required
from toolchain.ops.pool import geometry, pooled
from toolchain.ops.sliding import fold
from toolchain.ops.spreads import corners
from toolchain.ops.windows import Geometry, Windows


@dataclass(frozen=True)
class AveragePool:
    """Attributes of an AveragePool node."""

    windows: Windows
    count_include_pad: bool


def parse(facts: NodeFacts) -> AveragePool:
    """Read the attributes."""
    return AveragePool(Windows.parse(facts), bool(facts.attributes.get("count_include_pad", 0)))


def evaluate(node: AveragePool, inputs: Inputs) -> tuple[Array, ...]:
    """Sum over each window divided by the number of its elements that count."""
    x = required(inputs, 0)
    g = geometry(node.windows, x.shape)
    total = fold(g, x, np.add, 0)
    return (np.divide(total, _divisor(g, node.count_include_pad), out=total if total.dtype.kind == "f" else None),)


@lru_cache(maxsize=256)
def _divisor(g: Geometry, include_padding: bool) -> Array:
    """How many elements of each window count, at least 1: float64 [output...], or one where all are alike."""
    counts = np.maximum(g.counts(include_padding), 1).astype(np.float64)
    counts.flags.writeable = False
    return counts.ravel()[:1] if (counts == counts.flat[0]).all() else counts


def infer(node: AveragePool, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    """[N, C, output...]."""
    return (pooled(node.windows, required(inputs, 0)),)


def bound(node: AveragePool, inputs: Inputs, exact: Sequence[Array], roundoff: float) -> tuple[Bound, ...]:
    """A sum with a term for each tap of the kernel at most, and a division: ``S`` averages ``|x|``."""
    magnitude = evaluate(node, [np.abs(required(inputs, 0))])[0]
    terms = math.prod(geometry(node.windows, required(inputs, 0).shape).kernel)
    return (accumulated(magnitude, terms + 1, roundoff, reached=terms * magnitude),)


OPERATORS = (Operator("AveragePool", frozenset({1, 7, 10, 11, 19, 22}), parse, evaluate, infer, bound, spread=corners),)
