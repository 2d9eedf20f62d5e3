"""Tensors of rational numbers: sums of whole numbers times scales.

``DequantizeLinear`` gives one such product, ``n s`` with ``n = q - zero`` and ``s`` the rational number that the
float32 scale is. Linear operators keep that form (their scales multiply, their whole numbers are summed exactly), a
sum of tensors at unlike scales has two terms, and piecewise operators mask terms. Scales may differ along the tensor:
a term has a table of them and an index.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from toolchain.integers.real import UNIT, Array, Floats, Inexact, Positions, signs

SCALES = 2**16
"""More different scales than that in one term are not kept apart."""
WIDTH = 2**62
_TYPES = (np.int16, np.int32, np.int64)


@dataclass(frozen=True)
class Term:
    """``number * scales[index]``.

    Attributes:
        number: whole numbers.
        scales: rationals.
        index: which of them, of the same shape (often a broadcast view).
    """

    number: Array
    scales: tuple[Fraction, ...]
    index: Array

    @property
    def shape(self) -> tuple[int, ...]:
        """Dimensions."""
        return tuple(self.number.shape)

    def factors(self) -> Floats:
        """The nearest float64 to each scale: one, or one an element."""
        table = np.array([float(s) for s in self.scales])
        return np.asarray(table[0] if len(table) == 1 else table[self.index])

    def moved(self, change: Callable[[Array], Array]) -> Term:
        """With elements rearranged, repeated or left out."""
        number = change(self.number)
        if len(self.scales) == 1:
            return Term(number, self.scales, nothing(number.shape))
        return Term(number, self.scales, change(self.index))

    def spread(self, shape: tuple[int, ...]) -> Term:
        """Broadcast."""
        return Term(np.broadcast_to(self.number, shape), self.scales, np.broadcast_to(self.index, shape))

    def scaled(self, factor: Fraction) -> Term:
        """Times a number."""
        return Term(self.number, tuple(s * factor for s in self.scales), self.index)


def nothing(shape: tuple[int, ...]) -> Array:
    """The index of a term with one scale."""
    return np.broadcast_to(np.zeros((), np.int32), shape)


def largest(number: Array) -> int:
    """The largest magnitude."""
    return max(abs(int(number.max())), abs(int(number.min()))) if number.size else 0


def narrowed(number: Array, magnitude: int | None = None) -> Array:
    """In the shortest type that holds it."""
    reach = largest(number) if magnitude is None else magnitude
    if reach >= WIDTH:
        raise Inexact(f"sums of up to {reach} do not fit 64 bits")
    kind = next(t for t in _TYPES if reach <= np.iinfo(t).max)
    return number.astype(kind, copy=False)


def tabled(number: Array, scales: Array) -> Term:
    """A term from whole numbers and float64 scales (their exact values), which broadcast to them."""
    s = np.asarray(scales, np.float64)
    if s.size == 1:
        return Term(number, (Fraction(float(s.reshape(-1)[0])),), nothing(number.shape))
    table, index = np.unique(s, return_inverse=True)
    if len(table) > SCALES:
        raise Inexact(f"{len(table)} different scales in one tensor")
    index = np.broadcast_to(index.reshape(s.shape).astype(np.int32), number.shape)
    return Term(number, tuple(Fraction(float(v)) for v in table), index)


def joint(a: Term, b: Term) -> tuple[tuple[Fraction, ...], Array]:
    """Products of the scales of two terms of one shape, and the index into them."""
    if len(b.scales) == 1:
        return tuple(s * b.scales[0] for s in a.scales), a.index
    if len(a.scales) == 1:
        return tuple(s * a.scales[0] for s in b.scales), b.index
    if len(a.scales) * len(b.scales) > SCALES:
        raise Inexact("too many different scales in one tensor")
    products = tuple(s * t for s in a.scales for t in b.scales)
    return products, a.index * len(b.scales) + b.index


@dataclass(frozen=True)
class Rational:
    """A tensor of rational numbers, the sum of its terms (one or more, of one shape).

    Attributes:
        terms: what is added.
        dequantized: it comes straight out of a DequantizeLinear.
    """

    terms: tuple[Term, ...]
    dequantized: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Dimensions."""
        return self.terms[0].shape

    def approximate(self) -> tuple[Floats, Floats]:
        """Each product is rounded three times (scale, number, product), each sum once."""
        total: Any = 0.0
        size: Any = 0.0
        for term in self.terms:
            product = term.number * term.factors()
            total = total + product
            size = size + np.abs(product)
        return np.asarray(total), np.asarray(size * ((4 + len(self.terms)) * UNIT))

    def keys(self, positions: Positions) -> Array:
        """Number and index of each term."""
        columns = [
            np.asarray(a.reshape(-1)[positions] if a.flags.c_contiguous else a[np.unravel_index(positions, a.shape)])
            for t in self.terms
            for a in (t.number, t.index)
        ]
        return np.column_stack([c.astype(np.int64) for c in columns])

    def at(self, position: int) -> Fraction:
        """One element."""
        place = np.unravel_index(position, self.shape)
        return sum((int(t.number[place]) * t.scales[int(t.index[place])] for t in self.terms), Fraction(0))

    def enclose(self, position: int, digits: int) -> tuple[Fraction, Fraction]:  # noqa: ARG002 - as every Real
        """The element itself, twice."""
        value = self.at(position)
        return value, value

    def moved(self, change: Callable[[Array], Array]) -> Rational:
        """With elements rearranged, repeated or left out."""
        return Rational(tuple(t.moved(change) for t in self.terms), self.dequantized)

    def spread(self, shape: tuple[int, ...]) -> Rational:
        """Broadcast."""
        return Rational(tuple(t.spread(shape) for t in self.terms), self.dequantized)

    def times(self, factor: Fraction) -> Rational:
        """Times a number."""
        return Rational(tuple(t.scaled(factor) for t in self.terms))

    def single(self, why: str) -> Term:
        """The only term.

        Raises:
            Inexact: there are several.
        """
        if len(self.terms) != 1:
            raise Inexact(f"{why} of a sum of tensors at unlike scales")
        return self.terms[0]


def constant(values: Array) -> Rational:
    """A tensor of floating-point numbers, exactly.

    Raises:
        Inexact: it holds more than :data:`SCALES` different numbers, or one that is not finite.
    """
    v = np.asarray(values, np.float64)
    if not np.isfinite(v).all():
        raise Inexact("a constant is not finite")
    term = tabled(np.ones(v.shape, np.int16), v)
    return Rational((term,))


def filled(shape: tuple[int, ...], value: Fraction) -> Rational:
    """One number everywhere."""
    return Rational((Term(np.broadcast_to(np.ones((), np.int16), shape), (value,), nothing(shape)),))


def aligned(*values: Rational) -> tuple[Rational, ...]:
    """Broadcast to one shape."""
    shape = np.broadcast_shapes(*(v.shape for v in values))
    return tuple(v if v.shape == shape else v.spread(shape) for v in values)


def merged(terms: Sequence[Term]) -> tuple[Term, ...]:
    """Terms at one and the same scale as one term."""
    kept: list[Term] = []
    for term in terms:
        twin = next((i for i, t in enumerate(kept) if t.scales == term.scales and len(t.scales) == 1), None)
        if twin is None:
            kept.append(term)
            continue
        reach = largest(kept[twin].number) + largest(term.number)
        total = narrowed(kept[twin].number, reach) + narrowed(term.number, reach)
        kept[twin] = Term(total, term.scales, term.index)
    return tuple(kept)


def add(a: Rational, b: Rational, sign: int = 1) -> Rational:
    """``a + sign b``."""
    a, b = aligned(a, b)
    return Rational(merged((*a.terms, *(t.scaled(Fraction(sign)) for t in b.terms))))


def multiply(a: Rational, b: Rational) -> Rational:
    """``a b``, element by element."""
    a, b = aligned(a, b)
    terms = []
    for s in a.terms:
        for t in b.terms:
            reach = largest(s.number) * largest(t.number)
            number = narrowed(s.number, reach) * narrowed(t.number, reach)
            terms.append(Term(number, *joint(s, t)))
    return Rational(merged(terms))


def masked(value: Rational, mask: Array) -> Rational:
    """Zero where the mask is."""
    return Rational(
        tuple(Term(np.where(mask, t.number, 0).astype(t.number.dtype), t.scales, t.index) for t in value.terms)
    )


def chosen(mask: Array, a: Rational, b: Rational) -> Rational:
    """``a`` where the mask holds, else ``b``."""
    shape = np.broadcast_shapes(mask.shape, a.shape, b.shape)
    a, b = (v.spread(shape) for v in (a, b))
    return Rational(merged((*masked(a, mask).terms, *masked(b, ~np.broadcast_to(mask, shape)).terms)))


def negative(value: Rational) -> Array:
    """Where it is below zero."""
    if len(value.terms) == 1 and all(s > 0 for s in value.terms[0].scales):
        return np.asarray(value.terms[0].number < 0)
    return np.asarray(signs(value) < 0)


def above(a: Rational, b: Rational) -> Array:
    """Where ``a > b``."""
    return negative(add(b, a, -1))


def reciprocal(value: Rational) -> Rational:
    """``1 / value`` of a tensor with few different elements.

    Raises:
        Inexact: it has too many, or a zero.
    """
    keys = value.keys(np.arange(int(np.prod(value.shape, dtype=np.int64))))
    _, first, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    if len(first) > SCALES:
        raise Inexact("a division by too many different numbers")
    divisors = [value.at(int(i)) for i in first]
    if not all(divisors):
        raise Inexact("a division by zero")
    index = inverse.reshape(value.shape).astype(np.int32)
    ones = np.broadcast_to(np.ones((), np.int16), value.shape)
    return Rational((Term(ones, tuple(1 / d for d in divisors), index),))
