"""GlobalAveragePool and GlobalMaxPool: https://onnx.ai/onnx/operators/onnx__GlobalAveragePool.html."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from toolchain.ops.bounds import EXACT, Bound, accumulated
from toolchain.ops.operator import Array, Inputs, NodeFacts, Operator, Spec, required
from toolchain.ops.spreads import corners


def parse(facts: NodeFacts) -> None:
    """No attributes."""
    del facts


def _spatial(x: Array) -> tuple[int, ...]:
    """The axes that are pooled away.

    Raises:
        ValueError: there is none, or it is empty.
    """
    if x.ndim < 3 or 0 in x.shape[2:]:
        raise ValueError(f"input has shape {list(x.shape)}; expected [N, C, spatial...], nothing of it empty")
    return tuple(range(2, x.ndim))


def average(node: None, inputs: Inputs) -> tuple[Array, ...]:
    """Mean over the spatial axes."""
    x = required(inputs, 0)
    return (x.mean(axis=_spatial(x), keepdims=True),)


def maximum(node: None, inputs: Inputs) -> tuple[Array, ...]:
    """Maximum over the spatial axes; NaN wins."""
    x = required(inputs, 0)
    return (x.max(axis=_spatial(x), keepdims=True),)


def infer(node: None, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    """[N, C, 1...]."""
    x: Spec = required(inputs, 0)
    return (Spec(x.dtype, (*x.shape[:2], *(1,) * (len(x.shape) - 2))),)


def average_bound(node: None, inputs: Inputs, exact: Sequence[Array], roundoff: float) -> tuple[Bound, ...]:
    """A sum over the plane and a division: ``S`` is the mean of ``|x|``."""
    x = required(inputs, 0)
    magnitude = average(node, [np.abs(x)])[0]
    count = int(np.prod(x.shape[2:]))
    return (accumulated(magnitude, count + 1, roundoff, reached=count * magnitude),)


def maximum_bound(node: None, inputs: Inputs, exact: Sequence[Array], roundoff: float) -> tuple[Bound, ...]:
    """Selects a value: exact."""
    return (EXACT,)


OPERATORS = (
    Operator("GlobalAveragePool", frozenset({1, 22}), parse, average, infer, average_bound, spread=corners),
    Operator("GlobalMaxPool", frozenset({1, 22}), parse, maximum, infer, maximum_bound, spread=corners),
)
