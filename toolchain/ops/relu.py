"""Relu: https://onnx.ai/onnx/operators/onnx__Relu.html."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from toolchain.ops.bounds import EXACT, Bound
from toolchain.ops.operator import Array, Inputs, NodeFacts, Operator, Spec, required
from toolchain.ops.spreads import corners


def parse(facts: NodeFacts) -> None:
    """No attributes."""
    del facts


def evaluate(node: None, inputs: Inputs) -> tuple[Array, ...]:
    """``max(x, 0)``; NaN stays NaN."""
    x = required(inputs, 0)
    return (np.maximum(x, x.dtype.type(0)),)


def infer(node: None, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    """Type and shape of the input."""
    x = required(inputs, 0)
    return (Spec(x.dtype, x.shape),)


def bound(node: None, inputs: Inputs, exact: Sequence[Array], roundoff: float) -> tuple[Bound, ...]:
    """Selects a value: exact."""
    return (EXACT,)


OPERATORS = (Operator("Relu", frozenset({1, 6, 13, 14}), parse, evaluate, infer, bound, spread=corners),)
