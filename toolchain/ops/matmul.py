"""MatMul: https://onnx.ai/onnx/operators/onnx__MatMul.html, the product of ``numpy.matmul``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from toolchain.ops.bounds import Bound, accumulated
from toolchain.ops.magnitudes import absolute_product
from toolchain.ops.operator import Array, Inputs, NodeFacts, Operator, Spec, required
from toolchain.ops.spreads import linear


def parse(facts: NodeFacts) -> None:
    """No attributes."""
    del facts


def product_shape(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of ``numpy.matmul``: a vector counts as a row on the left and as a column on the right.

    Raises:
        ValueError: the shapes do not fit.
    """
    if not a or not b:
        raise ValueError("a scalar cannot be multiplied; expected vectors or matrices")
    left, right = a if len(a) > 1 else (1, *a), b if len(b) > 1 else (*b, 1)
    if left[-1] != right[-2]:
        raise ValueError(f"shapes {list(a)} and {list(b)} differ in the summed axis: {left[-1]} and {right[-2]}")
    batch = np.broadcast_shapes(left[:-2], right[:-2])
    return (*batch, *left[-2:-1][: len(a) - 1], *right[-1:][: len(b) - 1])


def evaluate(node: None, inputs: Inputs) -> tuple[Array, ...]:
    """Matrix product over the last two axes, broadcast over the others; integers wrap."""
    return (np.asarray(np.matmul(required(inputs, 0), required(inputs, 1))),)


def infer(node: None, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    """Type of the first input."""
    a, b = required(inputs, 0), required(inputs, 1)
    return (Spec(a.dtype, product_shape(a.shape, b.shape)),)


def bound(node: None, inputs: Inputs, exact: Sequence[Array], roundoff: float) -> tuple[Bound, ...]:
    """``S = |A| |B|``."""
    a, b = required(inputs, 0), required(inputs, 1)
    matrices = a.ndim == b.ndim == 2
    magnitude = absolute_product(a, b) if matrices else np.matmul(np.abs(a), np.abs(b))
    return (accumulated(magnitude, a.shape[-1], roundoff),)


def macs(node: None, inputs: Sequence[Spec | None], outputs: Sequence[Spec]) -> int:
    """One for each output element and term."""
    return int(outputs[0].size * required(inputs, 0).shape[-1])


OPERATORS = (Operator("MatMul", frozenset({1, 9, 13}), parse, evaluate, infer, bound, macs, spread=linear()),)
