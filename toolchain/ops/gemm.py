"""Gemm: https://onnx.ai/onnx/operators/onnx__Gemm.html.

Before version 7 the addend is broadcast only where the attribute ``broadcast`` says so; before version 11
it is required. Integer inputs are computed exactly, and need integral ``alpha`` and ``beta``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from toolchain.ops.bounds import Bound, accumulated
from toolchain.ops.magnitudes import absolute_product
from toolchain.ops.operator import Array, Inputs, NodeFacts, Operator, Spec, optional, required
from toolchain.ops.spreads import linear


@dataclass(frozen=True)
class Gemm:
    """Attributes of a Gemm node: ``alpha A' B' + beta C``.

    Attributes:
        alpha: factor of the product.
        beta: factor of the addend.
        transpose_a: the first matrix is transposed.
        transpose_b: the second matrix is transposed.
        broadcast: the addend may be smaller than the result.
    """

    alpha: float
    beta: float
    transpose_a: bool
    transpose_b: bool
    broadcast: bool


def parse(facts: NodeFacts) -> Gemm:
    """Read the attributes."""
    get = facts.attributes.get
    return Gemm(
        alpha=float(get("alpha", 1.0)),
        beta=float(get("beta", 1.0)),
        transpose_a=bool(get("transA", 0)),
        transpose_b=bool(get("transB", 0)),
        broadcast=facts.version >= 7 or bool(get("broadcast", 0)),
    )


def result_shape(node: Gemm, a: tuple[int, ...], b: tuple[int, ...], c: tuple[int, ...] | None) -> tuple[int, int]:
    """Rows and columns of the result.

    Raises:
        ValueError: the shapes do not fit.
    """
    if len(a) != 2 or len(b) != 2:
        raise ValueError(f"A has shape {list(a)} and B {list(b)}; expected two matrices")
    rows, depth = a[::-1] if node.transpose_a else a
    inner, columns = b[::-1] if node.transpose_b else b
    if depth != inner:
        raise ValueError(f"A' has {depth} columns and B' {inner} rows; expected the same number")
    if c is not None:
        fits = np.broadcast_shapes(c, (rows, columns)) == (rows, columns) if node.broadcast else c == (rows, columns)
        if not fits:
            raise ValueError(f"C has shape {list(c)}, which does not broadcast to [{rows}, {columns}]")
    return rows, columns


def factor(value: float, array: Array) -> float | int:
    """A factor in the arithmetic of an array.

    Raises:
        ValueError: the array holds integers and the factor is none.
    """
    if array.dtype.kind not in "iu":
        return value
    if not value.is_integer():
        raise ValueError(f"integers cannot be multiplied by {value}; expected an integral alpha and beta")
    return int(value)


def evaluate(node: Gemm, inputs: Inputs) -> tuple[Array, ...]:
    """``alpha A' B' + beta C``."""
    a, b, c = required(inputs, 0), required(inputs, 1), optional(inputs, 2)
    result_shape(node, a.shape, b.shape, None if c is None else c.shape)
    y = (a.T if node.transpose_a else a) @ (b.T if node.transpose_b else b)
    if node.alpha != 1.0:
        y = y * factor(node.alpha, y)
    if c is not None and node.beta != 0.0:
        y = y + (c if node.beta == 1.0 else c * factor(node.beta, c))
    return (y,)


def infer(node: Gemm, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    """[rows, columns] of the first input's type."""
    a, b, c = required(inputs, 0), required(inputs, 1), optional(inputs, 2)
    return (Spec(a.dtype, result_shape(node, a.shape, b.shape, None if c is None else c.shape)),)


def bound(node: Gemm, inputs: Inputs, exact: Sequence[Array], roundoff: float) -> tuple[Bound, ...]:
    """``S = |alpha| |A'| |B'| + |beta| |C|``; the factors, where they are not 1, cost one rounding each."""
    a, b, c = required(inputs, 0), required(inputs, 1), optional(inputs, 2)
    magnitude = abs(node.alpha) * absolute_product(a.T if node.transpose_a else a, b.T if node.transpose_b else b)
    if c is not None and node.beta != 0.0:
        magnitude = magnitude + abs(node.beta) * np.abs(c)
    depth = a.shape[0 if node.transpose_a else 1]
    terms = depth + (c is not None) + (node.alpha != 1.0) + (node.beta != 1.0)
    return (accumulated(magnitude, terms, roundoff),)


def macs(node: Gemm, inputs: Sequence[Spec | None], outputs: Sequence[Spec]) -> int:
    """One for each output element and term."""
    return int(outputs[0].size * required(inputs, 0).shape[0 if node.transpose_a else 1])


OPERATORS = (Operator("Gemm", frozenset({1, 6, 7, 9, 11, 13}), parse, evaluate, infer, bound, macs, spread=linear()),)
