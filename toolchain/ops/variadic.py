"""Min, Max, Sum and Mean of any number of tensors: https://onnx.ai/onnx/operators/.

From version 8 on operands broadcast multidirectionally; before, their shapes are equal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce

import numpy as np

from toolchain.ops.bounds import EXACT, Bound, accumulated
from toolchain.ops.elementwise_spreads import largest
from toolchain.ops.operator import Array, Inputs, NodeFacts, Operator, Spec, required
from toolchain.ops.shaping import broadcast, folding
from toolchain.ops.spreads import moved

BROADCAST_VERSION = 8


def _parse(facts: NodeFacts) -> bool:
    """Whether the operands may broadcast."""
    if not any(facts.inputs):
        raise facts.unsupported("it has no input", "expected one or more")
    return facts.version >= BROADCAST_VERSION


def _check(broadcasts: bool, shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    if not broadcasts and len(set(shapes)) > 1:
        raise ValueError(f"shapes {[list(s) for s in shapes]} differ; before version 8 they must be equal")
    return broadcast(*shapes)


def total(arrays: Sequence[Array]) -> Array:
    """Sum of tensors, broadcast."""
    return np.asarray(reduce(np.add, arrays))


def mean(arrays: Sequence[Array]) -> Array:
    """Sum of tensors divided by their number."""
    return np.asarray(reduce(np.add, arrays) / len(arrays))


def _operator(
    name: str, versions: set[int], function: Callable[[Sequence[Array]], Array], *, selects: bool = False
) -> Operator:
    def evaluate(node: bool, inputs: Inputs) -> tuple[Array, ...]:
        arrays = [required(inputs, i) for i in range(len(inputs))]
        shape = _check(node, [a.shape for a in arrays])
        return (np.broadcast_to(function(arrays), shape),)

    def infer(node: bool, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
        specs = [required(inputs, i) for i in range(len(inputs))]
        return (Spec(specs[0].dtype, _check(node, [s.shape for s in specs])),)

    def bound(node: bool, inputs: Inputs, exact: Sequence[Array], roundoff: float) -> tuple[Bound, ...]:
        if selects or exact[0].dtype.kind != "f":
            return (EXACT,)
        magnitudes = [np.abs(required(inputs, i)) for i in range(len(inputs))]
        return (accumulated(function(magnitudes), len(inputs), roundoff),)

    spread = largest if selects else moved
    return Operator(name, frozenset(versions), _parse, evaluate, folding(infer, evaluate), bound, spread=spread)


def _minimum(arrays: Sequence[Array]) -> Array:
    return np.asarray(reduce(np.minimum, arrays))


def _maximum(arrays: Sequence[Array]) -> Array:
    return np.asarray(reduce(np.maximum, arrays))


OPERATORS = (
    _operator("Min", {1, 6, 8, 12, 13}, _minimum, selects=True),
    _operator("Max", {1, 6, 8, 12, 13}, _maximum, selects=True),
    _operator("Sum", {1, 6, 8, 13}, total),
    _operator("Mean", {1, 6, 8, 13}, mean),
)
