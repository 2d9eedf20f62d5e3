"""Conv: https://onnx.ai/onnx/operators/onnx__Conv.html."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from toolchain.ops.bounds import Bound, accumulated
from toolchain.ops.operator import Array, Inputs, NodeFacts, Operator, Spec, optional, required
from toolchain.ops.spreads import linear
from toolchain.ops.windows import Geometry, Windows

_BLOCK_BYTES = 8 << 20


@dataclass(frozen=True)
class Conv:
    """Attributes of a Conv node."""

    windows: Windows
    group: int


def parse(facts: NodeFacts) -> Conv:
    """Read the attributes."""
    group = int(facts.attributes.get("group", 1))
    if group < 1:
        raise facts.unsupported(f"group is {group}", "expected a positive number")
    return Conv(Windows.parse(facts), group)


def geometry(node: Conv, x: tuple[int, ...], w: tuple[int, ...]) -> Geometry:
    """Check that input and weight shapes fit and fix the windows.

    Args:
        node: attributes.
        x: shape [N, C, spatial...].
        w: shape [M, C / group, kernel...].

    Raises:
        ValueError: they do not fit.
    """
    if len(x) < 3 or len(w) != len(x):
        raise ValueError(f"input has shape {list(x)} and weight {list(w)}; expected the same rank, 3 or more")
    if x[1] != w[1] * node.group or w[0] % node.group:
        raise ValueError(
            f"input has {x[1]} channels and weight shape {list(w)} with group {node.group}; "
            f"expected {w[1] * node.group} input channels and a multiple of {node.group} output channels"
        )
    return node.windows.resolve(x[2:], w[2:])


def convolve(x: Array, w: Array, g: Geometry, group: int) -> Array:
    """Cross-correlate a padded input: [N, C, ...] with [M, C / group, kernel...] to [N, M, output...].

    Windows are gathered into the columns of a matrix (rows of the input stay contiguous), a block of output
    rows at a time so that it stays in the cache, and multiplied by the weight matrix. Exact for integer
    arrays whose sums fit the type: where float64 holds every partial sum exactly, they are multiplied
    there, which is much faster.
    """
    kind = np.result_type(x, w)
    if kind.kind in "iu" and _fits_float64(x, w):
        product = convolve(x.astype(np.float64), w.astype(np.float64), g, group)
        return product.astype(kind)
    if w.shape[1] == 1 and w.shape[0] == group:
        return _depthwise(x, w, g, kind)
    n, m, rank = x.shape[0], w.shape[0], len(g.kernel)
    out = np.empty((n, m, *g.output), dtype=kind)
    windows = g.view(x)
    depth = math.prod(w.shape[1:])
    matrix = w.reshape(group, m // group, depth)
    row = group * depth * math.prod(g.output[1:]) * kind.itemsize
    step = max(1, _BLOCK_BYTES // max(row, 1))
    order = (0, *range(1 + rank, 1 + 2 * rank), *range(1, 1 + rank))
    for image in range(n):
        for start in range(0, g.output[0], step):
            block = windows[image, :, start : start + step].transpose(order)
            shape = (m, *block.shape[1 + rank :])
            out[image, :, start : start + step] = (matrix @ block.reshape(group, depth, -1)).reshape(shape)
    return out


def _depthwise(x: Array, w: Array, g: Geometry, kind: np.dtype[np.generic]) -> Array:
    """One filter a channel: tap by tap, since matrices of one row gain nothing from a product."""
    out = np.zeros((*x.shape[:2], *g.output), dtype=kind)
    weights = w.reshape(1, w.shape[0], *g.kernel, *(1,) * len(g.kernel))
    for tap, part in g.taps(x):
        index: tuple[Any, ...] = (slice(None), slice(None), *tap)
        out += part * weights[index]
    return out


def _fits_float64(x: Array, w: Array) -> bool:
    """Whether float64 holds every partial sum of products of these integers."""
    if not x.size or not w.size:
        return True
    largest = [max(abs(int(a.min())), abs(int(a.max()))) for a in (x, w)]
    return largest[0] * largest[1] * math.prod(w.shape[1:]) < 2**53


def evaluate(node: Conv, inputs: Inputs) -> tuple[Array, ...]:
    """Float meaning: zero padding, sum over channels and kernel taps, plus bias."""
    x, w, b = required(inputs, 0), required(inputs, 1), optional(inputs, 2)
    g = geometry(node, x.shape, w.shape)
    y = convolve(g.padded(x, 0), w, g, node.group)
    if b is not None:
        y += b.reshape(1, -1, *(1,) * len(g.kernel))
    return (y,)


def infer(node: Conv, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    """[N, M, output...]."""
    x, w = required(inputs, 0), required(inputs, 1)
    g = geometry(node, x.shape, w.shape)
    return (Spec(x.dtype, (x.shape[0], w.shape[0], *g.output)),)


def bound(node: Conv, inputs: Inputs, exact: Sequence[Array], roundoff: float) -> tuple[Bound, ...]:
    """``S = |W| * |x| + |b|`` over the taps of a window (padding adds nothing)."""
    magnitude = evaluate(node, [None if i is None else np.abs(i) for i in inputs])[0]
    terms = math.prod(required(inputs, 1).shape[1:]) + (optional(inputs, 2) is not None)
    return (accumulated(magnitude, terms, roundoff),)


def macs(node: Conv, inputs: Sequence[Spec | None], outputs: Sequence[Spec]) -> int:
    """One for each output element and tap."""
    return int(outputs[0].size * math.prod(required(inputs, 1).shape[1:]))


OPERATORS = (Operator("Conv", frozenset({1, 11, 22}), parse, evaluate, infer, bound, macs, spread=linear()),)
