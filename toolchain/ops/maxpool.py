"""MaxPool: https://onnx.ai/onnx/operators/onnx__MaxPool.html.

Where the specification is silent: NaN in a window wins, as in PyTorch and as in IEEE 754-2019 ``maximum``;
among equal maxima the first in row-major order is indexed, among several NaN the last (PyTorch); a window
without any element has the maximum of nothing, the lowest value of its type, and index -1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from toolchain.ops.bounds import EXACT, Bound
from toolchain.ops.operator import Array, Inputs, NodeFacts, Operator, Spec, required
from toolchain.ops.pool import geometry, pooled
from toolchain.ops.sliding import fold
from toolchain.ops.spreads import corners
from toolchain.ops.windows import Geometry, Windows


@dataclass(frozen=True)
class MaxPool:
    """Attributes of a MaxPool node.

    Attributes:
        windows: where the windows lie.
        column_major: indices count the spatial axes with the first one fastest.
        indices: the second output is wanted.
    """

    windows: Windows
    column_major: bool
    indices: bool


def parse(facts: NodeFacts) -> MaxPool:
    """Read the attributes."""
    order = int(facts.attributes.get("storage_order", 0))
    if order not in (0, 1):
        raise facts.unsupported(f"storage_order is {order}", "expected 0 (row major) or 1 (column major)")
    return MaxPool(Windows.parse(facts), order == 1, facts.outputs > 1)


def lowest(dtype: np.dtype[Any]) -> Any:
    """The neutral element of the maximum."""
    return np.iinfo(dtype).min if dtype.kind in "iu" else -np.inf


def evaluate(node: MaxPool, inputs: Inputs) -> tuple[Array, ...]:
    """Maximum over the elements of each window, padding excluded; and where it lies."""
    x = required(inputs, 0)
    g = geometry(node.windows, x.shape)
    y = fold(g, x, np.maximum, lowest(x.dtype))
    return (y, _indices(g, x, y, node.column_major)) if node.indices else (y,)


def _indices(g: Geometry, x: Array, y: Array, column_major: bool) -> Array:
    """Index of each maximum in the flattened input [N, C, spatial...]: [N, C, output...], int64."""
    rank = len(g.kernel)
    steps = np.ones(rank, dtype=np.int64)
    for axis in range(1, rank) if column_major else range(rank - 2, -1, -1):
        near = axis - 1 if column_major else axis + 1
        steps[axis] = steps[near] * g.spatial[near]
    taps = []
    for tap, part in g.taps(g.padded(x, lowest(x.dtype))):
        place: Array = np.zeros((1,) * rank, dtype=np.int64)
        inside: Array = np.ones((1,) * rank, dtype=bool)
        for axis in range(rank):
            along = g.position(axis, tap[axis]).reshape([-1 if i == axis else 1 for i in range(rank)])
            place = place + along * steps[axis]
            inside = inside & (along >= 0) & (along < g.spatial[axis])
        taps.append((part, place, inside))
    index = np.full(y.shape, -1, dtype=np.int64)
    for part, place, inside in reversed(taps):
        np.copyto(index, place, where=inside & (part == y))
    if y.dtype.kind == "f" and np.isnan(y).any():
        for part, place, inside in taps:
            np.copyto(index, place, where=inside & np.isnan(part))
    planes = np.arange(x.shape[0] * x.shape[1], dtype=np.int64).reshape(*x.shape[:2], *(1,) * rank)
    return np.where(index < 0, index, index + planes * math.prod(g.spatial))


def infer(node: MaxPool, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    """[N, C, output...] of the input's type, and int64 of the same shape."""
    y = pooled(node.windows, required(inputs, 0))
    return (y, Spec(ir.DataType.INT64, y.shape)) if node.indices else (y,)


def bound(node: MaxPool, inputs: Inputs, exact: Sequence[Array], roundoff: float) -> tuple[Bound, ...]:
    """Selects a value: exact."""
    return (EXACT,) * len(exact)


OPERATORS = (Operator("MaxPool", frozenset({1, 8, 10, 11, 12, 22}), parse, evaluate, infer, bound, spread=corners),)
