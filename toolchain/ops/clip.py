"""Clip: https://onnx.ai/onnx/operators/onnx__Clip.html. Limits are attributes before version 11, inputs after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from toolchain.ops.bounds import EXACT, Bound
from toolchain.ops.operator import Array, Inputs, NodeFacts, Operator, optional, required
from toolchain.ops.shaping import like_first
from toolchain.ops.spreads import corners


@dataclass(frozen=True)
class Clip:
    """Limits that the node itself states; ``None`` where it states none."""

    low: float | None
    high: float | None


def parse(facts: NodeFacts) -> Clip:
    """Read the attributes of versions 1 and 6."""
    low, high = facts.attributes.get("min"), facts.attributes.get("max")
    return Clip(None if low is None else float(low), None if high is None else float(high))


def _limit(inputs: Inputs, index: int, stated: float | None) -> Any:
    value = optional(inputs, index)
    if value is None:
        return stated
    if value.size != 1:
        raise ValueError(f"limit (input {index}) has shape {list(value.shape)}; expected a scalar")
    return value.reshape(())


def evaluate(node: Clip, inputs: Inputs) -> tuple[Array, ...]:
    """``min(max(x, low), high)``: ``high`` wins where it is below ``low``; NaN stays NaN."""
    y = required(inputs, 0)
    low, high = _limit(inputs, 1, node.low), _limit(inputs, 2, node.high)
    kind = y.dtype
    y = y if low is None else np.maximum(y, np.asarray(low).astype(kind))
    y = y if high is None else np.minimum(y, np.asarray(high).astype(kind))
    return (np.asarray(y),)


def bound(node: Clip, inputs: Inputs, exact: Sequence[Array], roundoff: float) -> tuple[Bound, ...]:
    """Selects a value: exact."""
    return (EXACT,)


def limits(node: Clip, inputs: Inputs) -> tuple[Any, Any]:
    """What every output lies between."""
    low, high = _limit(inputs, 1, node.low), _limit(inputs, 2, node.high)
    high = np.inf if high is None else high
    return -np.inf if low is None else np.minimum(low, high), high


OPERATORS = (
    Operator("Clip", frozenset({1, 6, 11, 12, 13}), parse, evaluate, like_first, bound, spread=corners, range=limits),
)
