"""Exact rules of the operators that multiply and sum: convolutions, matrix products, averages.

Whole numbers are multiplied in float64, whose products and sums of integers are exact below 2^53; a sum that could
reach further is refused. Weights may have a scale for every output channel, never along what is summed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from toolchain.errors import UnsupportedError
from toolchain.integers.rational import Rational, Term, add, constant, joint, largest, merged, narrowed, nothing
from toolchain.integers.real import Array, Inexact, Real
from toolchain.ops import averagepool, conv, convtranspose, gemm
from toolchain.ops.operator import NodeFacts
from toolchain.ops.pool import geometry
from toolchain.ops.shaping import axes_of

EXACT_SUMS = 2**53
COLUMNS = 1 << 22
"""Elements of a weight matrix that are widened at a time."""


def rational(value: Real | Array | None) -> Rational:
    """An operand as rational numbers; constants and the graph's inputs are taken exactly.

    Raises:
        Inexact: it holds others, or is missing.
    """
    if isinstance(value, Rational):
        return value
    if isinstance(value, np.ndarray):
        return constant(value)
    raise Inexact("an operand is no tensor of rational numbers")


def _checked(a: Array, b: Array, terms: int) -> int:
    reach = largest(a) * largest(b) * terms
    if reach >= EXACT_SUMS:
        raise Inexact(f"{terms} products of up to {largest(a)} by {largest(b)} exceed 53 bits")
    return reach


def _uniform(term: Term, what: str) -> Term:
    if len(term.scales) > 1 and term.index.size and (term.index != term.index.reshape(-1)[0]).any():
        raise Inexact(f"scales differ along {what}")
    return Term(term.number, (term.scales[int(term.index.reshape(-1)[0])],), nothing(term.shape))


def _along(term: Term, axes: tuple[int, ...], what: str) -> Array:
    """The index of a term that must not change along some axes: those axes have length 1."""
    part = term.index[tuple(slice(0, 1) if i in axes else slice(None) for i in range(term.index.ndim))]
    if len(term.scales) > 1 and (term.index != part).any():
        raise Inexact(f"scales differ along {what}")
    return np.asarray(part)


Product = Callable[[Array, Array], Array]


def _bilinear(x: Rational, w: Rational, product: Product, place: Callable[[Term, tuple[int, ...]], Array]) -> Rational:
    """Sum over pairs of terms.

    Args:
        x: one scale a term.
        w: scales as ``place`` allows.
        product: of whole numbers.
        place: the index of a term of ``w``, broadcast to the output's shape.
    """
    terms = []
    for s in x.terms:
        one = _uniform(s, "the activation")
        for t in w.terms:
            number = product(one.number, t.number)
            terms.append(Term(number, tuple(v * one.scales[0] for v in t.scales), place(t, number.shape)))
    return Rational(merged(terms))


def _biased(facts: NodeFacts, y: Rational, x: Rational, w: Rational, bias: Real | Array | None, rank: int) -> Rational:
    """Add a bias; one that comes from integers counts in units of the product of the scales.

    Raises:
        UnsupportedError: its stored scale is not the float32 nearest to that product.
    """
    if bias is None:
        return y
    b = rational(bias)
    if len(b.shape) == 1:
        b = b.moved(lambda a: a.reshape(1, -1, *(1,) * (rank - 2)))
    if b.dequantized and x.dequantized and w.dequantized and len(y.terms) == 1:
        b = Rational((_in_units(facts, b.terms[0], y.terms[0]),))
    return add(y, b)


def _in_units(facts: NodeFacts, bias: Term, product: Term) -> Term:
    """The integers of a bias at the scale of the product, where its own is the float32 nearest to that."""
    channels = tuple(n if i == 1 else 1 for i, n in enumerate(product.shape))
    shape = channels if np.broadcast_shapes(bias.shape, channels) == channels else product.shape
    spread, index = bias.spread(shape), product.index[tuple(slice(0, n) for n in shape)]
    for has, means in np.unique(np.stack([spread.index.reshape(-1), index.reshape(-1)]), axis=1).T:
        stored, meant = float(bias.scales[has]), np.float32(float(product.scales[means]))
        if stored != float(meant):
            raise UnsupportedError(
                f"{facts.where()}: its bias is stored at scale {stored:.9g}; expected {meant:.9g}, the float32 "
                "nearest to input scale times weight scale; quantize the bias again, or leave the node in float"
            )
    return Term(spread.number, product.scales, index)


def convolution(facts: NodeFacts, node: conv.Conv, inputs: Sequence[Any]) -> Rational:
    """Conv."""
    x, w = rational(inputs[0]), rational(inputs[1])
    g = conv.geometry(node, x.shape, w.shape)
    rest = tuple(range(1, len(w.shape)))

    def product(a: Array, b: Array) -> Array:
        reach = _checked(a, b, int(np.prod(b.shape[1:])))
        wide = conv.convolve(g.padded(a.astype(np.float64), 0.0), b.astype(np.float64), g, node.group)
        return narrowed(wide, reach)

    def place(term: Term, shape: tuple[int, ...]) -> Array:
        index = _along(term, rest, "the input channels or the window")
        return np.broadcast_to(index.reshape(1, -1, *(1,) * (len(shape) - 2)), shape)

    y = _bilinear(x, w, product, place)
    return _biased(facts, y, x, w, inputs[2] if len(inputs) > 2 else None, len(x.shape))


def transposed(facts: NodeFacts, node: convtranspose.ConvTranspose, inputs: Sequence[Any]) -> Rational:
    """ConvTranspose: the weight is [C, M / group, kernel...]."""
    x, w = rational(inputs[0]), rational(inputs[1])
    rest = (0, *range(2, len(w.shape)))

    def product(a: Array, b: Array) -> Array:
        reach = _checked(a, b, int(np.prod(b.shape)) // max(b.shape[1], 1))
        (wide,) = convtranspose.evaluate(node, [a.astype(np.float64), b.astype(np.float64)])
        return narrowed(wide, reach)

    def place(term: Term, shape: tuple[int, ...]) -> Array:
        index = np.tile(_along(term, rest, "the input channels or the window").reshape(-1), node.group)
        return np.broadcast_to(index.reshape(1, -1, *(1,) * (len(shape) - 2)), shape)

    y = _bilinear(x, w, product, place)
    return _biased(facts, y, x, w, inputs[2] if len(inputs) > 2 else None, len(x.shape))


def _matrices(a: Array, b: Array) -> Array:
    reach = _checked(a, b, a.shape[-1])
    left = a.astype(np.float64)
    if b.ndim != 2:
        return narrowed(np.asarray(left @ b.astype(np.float64)), reach)
    step = max(1, COLUMNS // max(b.shape[0], 1))
    parts = [left @ b[:, i : i + step].astype(np.float64) for i in range(0, b.shape[1], step)]
    return narrowed(np.concatenate(parts, -1), reach)


def _columns(term: Term, shape: tuple[int, ...]) -> Array:
    if term.index.ndim == 1:
        return np.broadcast_to(_along(term, (0,), "the sum").reshape(()), shape)
    return np.broadcast_to(_along(term, (term.index.ndim - 2,), "the sum"), shape)


def _swapped(value: Rational) -> Rational:
    return value.moved(lambda a: a.T)


def matrix_product(facts: NodeFacts, node: Any, inputs: Sequence[Any]) -> Rational:
    """MatMul; scales may differ along the columns of the right operand."""
    return _bilinear(rational(inputs[0]), rational(inputs[1]), _matrices, _columns)


def general_product(facts: NodeFacts, node: gemm.Gemm, inputs: Sequence[Any]) -> Rational:
    """Gemm."""
    x, w = rational(inputs[0]), rational(inputs[1])
    left, right = (_swapped(x) if node.transpose_a else x), (_swapped(w) if node.transpose_b else w)
    y = _bilinear(left, right, _matrices, _columns)
    bias = inputs[2] if len(inputs) > 2 else None
    if node.alpha == 1.0 and node.beta == 1.0:
        return _biased(facts, y, left, right, bias, 2)
    y = y.times(Fraction(node.alpha))
    return y if bias is None else add(y, rational(bias).times(Fraction(node.beta)))


def _divided(sums: Array, term: Term, index: Array, counts: Array) -> Term:
    """Whole numbers at the scale of a term over counts."""
    divisors, which = np.unique(counts, return_inverse=True)
    shares = Term(
        sums,
        tuple(Fraction(1, int(d)) for d in divisors),
        np.broadcast_to(which.reshape(counts.shape).astype(np.int32), sums.shape),
    )
    return Term(sums, *joint(Term(sums, term.scales, np.broadcast_to(index, sums.shape)), shares))


def average_pool(facts: NodeFacts, node: averagepool.AveragePool, inputs: Sequence[Any]) -> Rational:
    """AveragePool: exact sums over exact counts."""
    x = rational(inputs[0])
    g = geometry(node.windows, x.shape)
    counts = np.maximum(g.counts(node.count_include_pad), 1)
    spatial = tuple(range(2, len(x.shape)))
    terms = []
    for term in x.terms:
        number = term.number.astype(np.int64)
        narrowed(number, largest(number) * int(np.prod(g.kernel)))
        sums = np.zeros((*x.shape[:2], *g.output), np.int64)
        for _, part in g.taps(g.padded(number, 0)):
            sums += part
        terms.append(_divided(narrowed(sums), term, _along(term, spatial, "a window"), counts))
    return Rational(tuple(terms))


def averaged(x: Rational, axes: tuple[int, ...], keep: bool, mean: bool) -> Rational:
    """Sum or mean over axes."""
    count = int(np.prod([x.shape[i] for i in axes]))
    terms = []
    for term in x.terms:
        index = _along(term, axes, "what is summed")
        sums = narrowed(term.number.astype(np.int64).sum(axis=axes, keepdims=True))
        kept = Term(sums, term.scales, np.broadcast_to(index, sums.shape))
        kept = kept.scaled(Fraction(1, count)) if mean else kept
        terms.append(kept if keep else kept.moved(lambda a: a.squeeze(axes)))
    return Rational(tuple(terms))


def global_average(facts: NodeFacts, node: Any, inputs: Sequence[Any]) -> Rational:
    """GlobalAveragePool."""
    x = rational(inputs[0])
    return averaged(x, tuple(range(2, len(x.shape))), True, True)


def reduction(facts: NodeFacts, node: Any, inputs: Sequence[Any]) -> Rational:
    """ReduceMean and ReduceSum."""
    x = rational(inputs[0])
    given = inputs[1] if len(inputs) > 1 else None
    stated = facts.attributes.get("axes") if given is None else tuple(int(i) for i in np.asarray(given).reshape(-1))
    if not stated and facts.attributes.get("noop_with_empty_axes", 0):
        return x
    axes = axes_of(stated, len(x.shape)) if stated else tuple(range(len(x.shape)))
    keep = bool(facts.attributes.get("keepdims", 1))
    return averaged(x, axes, keep, facts.op_type == "ReduceMean")
