"""Exact values that no rational is: exponentials, roots, and what is made of them.

Float64 libraries promise no last digit, so their results are used with a bound more than a hundred times as wide as
the error that NumPy's own tests allow (4 units in the last place). Where that leaves a decision open, the function is
evaluated in decimal arithmetic, whose ``exp``, ``ln`` and division are correctly rounded at any precision (General
Decimal Arithmetic Specification 1.70; CPython's libmpdec).

More digits always settle it, since a tie is rational and these functions are not: at a rational argument other than 0
they are transcendental (Lindemann and Weierstrass; Softmax unless all its arguments are equal), a power with a rational
exponent is irrational unless the base is a perfect power, and the arguments at which they are rational are recognised.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from fractions import Fraction
from typing import Any

import numpy as np

from toolchain.integers.rational import Rational
from toolchain.integers.real import UNIT, Array, Floats, Positions, Real

LIBRARY = 2.0**-44
"""Relative error of a function of NumPy in float64, at most."""
TINY = 2.0**-1000
GUARD = 6
"""Digits by which the error of a decimal evaluation may exceed one unit of its last digit."""


def _context(digits: int) -> Context:
    return Context(prec=digits + GUARD, Emin=MIN_EMIN, Emax=MAX_EMAX)


def _decimal(x: Fraction, context: Context) -> Decimal:
    return context.divide(Decimal(x.numerator), Decimal(x.denominator))


def _around(value: Decimal, size: Fraction, digits: int) -> tuple[Fraction, Fraction]:
    middle, reach = Fraction(value), size / 10 ** (digits - 1)
    return middle - reach, middle + reach


@dataclass(frozen=True)
class Function:
    """A real function of one variable.

    Attributes:
        name: ONNX's.
        evaluate: in float64.
        slope: of one number: the largest absolute derivative at it or below, for errors of the argument.
        precise: (argument, context) -> value in decimal arithmetic, with an absolute error below ``1 + |x|`` times
            ``1 + |y|`` times 10^6 units of the last digit.
        rational: the value where it is rational, else ``None``.
    """

    name: str
    evaluate: Callable[[Floats], Floats]
    slope: Callable[[Floats], Floats]
    precise: Callable[[Decimal, Context], Decimal]
    rational: Callable[[Fraction], Fraction | None]


def _sigmoid(x: Decimal, c: Context) -> Decimal:
    return c.divide(Decimal(1), c.add(Decimal(1), c.exp(c.minus(x))))


def _tanh(x: Decimal, c: Context) -> Decimal:
    power = c.exp(c.multiply(Decimal(-2), abs(x)))
    y = c.divide(c.subtract(Decimal(1), power), c.add(Decimal(1), power))
    return y if x >= 0 else c.minus(y)


def _softplus(x: Decimal, c: Context) -> Decimal:
    tail = c.ln(c.add(Decimal(1), c.exp(c.minus(abs(x)))))
    return c.add(tail, max(x, Decimal(0)))


def _sigmoid64(x: Floats) -> Floats:
    with np.errstate(over="ignore"):
        return np.asarray(1.0 / (1.0 + np.exp(-x)))


def _at_zero(value: Fraction | None) -> Callable[[Fraction], Fraction | None]:
    return lambda x: value if x == 0 else None


def _one(x: Floats) -> Floats:
    return np.ones_like(x)


SIGMOID = Function("Sigmoid", _sigmoid64, _one, _sigmoid, _at_zero(Fraction(1, 2)))
TANH = Function("Tanh", np.tanh, _one, _tanh, _at_zero(Fraction(0)))
EXP = Function("Exp", np.exp, lambda x: 2.0 * np.exp(x), lambda x, c: c.exp(x), _at_zero(Fraction(1)))
SOFTPLUS = Function("Softplus", lambda x: np.logaddexp(0.0, x), _one, _softplus, _at_zero(None))


def elu(alpha: float) -> Function:
    """``x``, or ``alpha (exp(x) - 1)`` where negative."""
    a = Decimal(alpha)

    def evaluate(x: Floats) -> Floats:
        return np.asarray(np.where(x < 0, alpha * np.expm1(np.minimum(x, 0.0)), x))

    def precise(x: Decimal, c: Context) -> Decimal:
        return c.multiply(a, c.subtract(c.exp(x), Decimal(1)))

    steepest = max(1.0, abs(alpha))
    return Function("Elu", evaluate, lambda x: np.full_like(x, steepest), precise, lambda x: x if x >= 0 else None)


@dataclass(frozen=True)
class Applied:
    """A function of rational numbers, element by element."""

    function: Function
    argument: Rational

    @property
    def shape(self) -> tuple[int, ...]:
        """Dimensions."""
        return self.argument.shape

    def approximate(self) -> tuple[Floats, Floats]:
        """The library's value; its error, and the argument's times the slope."""
        x, error = self.argument.approximate()
        y = self.function.evaluate(x)
        # exp(x) - 1 and the like lose what they cancel: an absolute part besides the relative one.
        own = LIBRARY * (np.abs(y) + np.minimum(np.abs(x), 1.0) * UNIT) + TINY
        return y, np.asarray(own + error * self.function.slope(x))

    def keys(self, positions: Positions) -> Array:
        """Of the argument."""
        return self.argument.keys(positions)

    def enclose(self, position: int, digits: int) -> tuple[Fraction, Fraction]:
        """By decimal arithmetic."""
        x = self.argument.at(position)
        known = self.function.rational(x)
        if known is not None:
            return known, known
        context = _context(digits)
        y = self.function.precise(_decimal(x, context), context)
        return _around(y, (1 + abs(x)) * (1 + abs(Fraction(y))), digits)


@dataclass(frozen=True)
class Softmax:
    """``exp(x) / sum exp(x)`` over the last axis of a matrix of rational numbers, seen in another shape.

    Attributes:
        rows: the matrix.
        places: for each element of the result its flat position in the matrix.
    """

    rows: Rational
    places: Array

    @property
    def shape(self) -> tuple[int, ...]:
        """Dimensions."""
        return tuple(self.places.shape)

    def approximate(self) -> tuple[Floats, Floats]:
        """Differences of the arguments carry their errors into the exponentials; the sum adds positive numbers."""
        x, error = self.rows.approximate()
        power = np.exp(x - x.max(axis=1, keepdims=True))
        y = power / power.sum(axis=1, keepdims=True)
        reach = 4.0 * (error.max(axis=1, keepdims=True) + UNIT * np.abs(x).max(axis=1, keepdims=True))
        bound = y * (2.0 * reach + (2 + x.shape[1]) * LIBRARY) + TINY
        return y.reshape(-1)[self.places], bound.reshape(-1)[self.places]

    def keys(self, positions: Positions) -> Array:
        """The position itself: rows differ."""
        return self.places.reshape(-1)[positions].astype(np.int64).reshape(-1, 1)

    def enclose(self, position: int, digits: int) -> tuple[Fraction, Fraction]:
        """``1 / sum exp(x_j - x)`` in decimal arithmetic."""
        place = int(self.places.reshape(-1)[position])
        width = self.rows.shape[1]
        start = place - place % width
        row = [self.rows.at(start + j) for j in range(width)]
        x = self.rows.at(place)
        if all(other == x for other in row):
            return Fraction(1, width), Fraction(1, width)
        context = _context(digits)
        total = Decimal(0)
        for other in row:
            total = context.add(total, context.exp(_decimal(other - x, context)))
        y = context.divide(Decimal(1), total)
        return _around(y, (1 + max(abs(other - x) for other in row)) * (width + 1), digits)


def _root(number: int, degree: int) -> int | None:
    """The integer whose power it is, or ``None``."""
    if number < 2:
        return number
    if number.bit_length() <= degree:
        return None
    low, high = 1, 1 << (number.bit_length() // degree + 1)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if middle**degree <= number else (low, middle - 1)
    return low if low**degree == number else None


@dataclass(frozen=True)
class Power:
    """``numerator / base^exponent`` with a positive base: LRN, and a normalisation with exponent 1/2.

    Attributes:
        numerator: rationals.
        base: positive rationals of the same shape.
        exponent: a rational.
    """

    numerator: Rational
    base: Rational
    exponent: Fraction

    @property
    def shape(self) -> tuple[int, ...]:
        """Dimensions."""
        return self.numerator.shape

    def approximate(self) -> tuple[Floats, Floats]:
        """Relative errors of the base are multiplied by the exponent."""
        x, dx = self.numerator.approximate()
        b, db = self.base.approximate()
        power = b ** -float(self.exponent)
        y = x * power
        relative = LIBRARY + 2.0 * abs(float(self.exponent)) * db / b
        return np.asarray(y), np.asarray(np.abs(y) * relative + 2.0 * dx * power + TINY)

    def keys(self, positions: Positions) -> Array:
        """Of both."""
        return np.column_stack([self.numerator.keys(positions), self.base.keys(positions)])

    def enclose(self, position: int, digits: int) -> tuple[Fraction, Fraction]:
        """By roots where they are rational, else by ``exp(-exponent ln base)``."""
        x, base = self.numerator.at(position), self.base.at(position)
        if x == 0:
            return x, x
        roots = [_root(n, self.exponent.denominator) for n in (base.numerator, base.denominator)]
        if None not in roots:
            value = x / Fraction(*roots) ** self.exponent.numerator  # type: ignore[arg-type]
            return value, value
        context = _context(digits)
        logarithm = context.ln(_decimal(base, context))
        y = context.exp(context.multiply(_decimal(-self.exponent, context), logarithm))
        low, high = _around(y, (1 + abs(Fraction(logarithm) * self.exponent)) * 2 * (1 + Fraction(y)), digits)
        return (low * x, high * x) if x > 0 else (high * x, low * x)


@dataclass(frozen=True)
class Combined:
    """Sum, difference or product of two exact tensors of one shape.

    Attributes:
        operator: ``Add``, ``Sub`` or ``Mul``.
        first: left operand.
        second: right operand.
    """

    operator: str
    first: Real
    second: Real

    @property
    def shape(self) -> tuple[int, ...]:
        """Dimensions."""
        return self.first.shape

    def approximate(self) -> tuple[Floats, Floats]:
        """Errors add, or are multiplied by the other factor."""
        (a, da), (b, db) = self.first.approximate(), self.second.approximate()
        if self.operator == "Mul":
            y = a * b
            return y, np.asarray(np.abs(a) * db + np.abs(b) * da + da * db + 4 * UNIT * np.abs(y) + TINY)
        y = a + b if self.operator == "Add" else a - b
        return y, np.asarray((da + db) * (1 + 4 * UNIT) + 4 * UNIT * np.abs(y) + TINY)

    def keys(self, positions: Positions) -> Array:
        """Of both."""
        return np.column_stack([self.first.keys(positions), self.second.keys(positions)])

    def enclose(self, position: int, digits: int) -> tuple[Fraction, Fraction]:
        """Interval arithmetic on rationals."""
        a, b = self.first.enclose(position, digits), self.second.enclose(position, digits)
        if self.operator == "Mul":
            corners = [x * y for x in a for y in b]
            return min(corners), max(corners)
        return (a[0] + b[0], a[1] + b[1]) if self.operator == "Add" else (a[0] - b[1], a[1] - b[0])


@dataclass(frozen=True)
class Moved:
    """Another exact tensor with its elements rearranged, repeated or left out.

    Attributes:
        source: where they come from.
        places: for each element its flat position there.
    """

    source: Real
    places: Array

    @property
    def shape(self) -> tuple[int, ...]:
        """Dimensions."""
        return tuple(self.places.shape)

    def approximate(self) -> tuple[Floats, Floats]:
        """The source's, moved."""
        y, error = self.source.approximate()
        return y.reshape(-1)[self.places], np.broadcast_to(error, y.shape).reshape(-1)[self.places]

    def keys(self, positions: Positions) -> Array:
        """The source's."""
        return self.source.keys(self.places.reshape(-1)[positions].astype(np.int64))

    def enclose(self, position: int, digits: int) -> tuple[Fraction, Fraction]:
        """The source's."""
        return self.source.enclose(int(self.places.reshape(-1)[position]), digits)


def moved(value: Real, change: Callable[[Array], Array]) -> Real:
    """Elements of any exact tensor rearranged, repeated or left out."""
    if isinstance(value, Rational):
        return value.moved(change)
    size = int(np.prod(value.shape, dtype=np.int64))
    places: Any = change(np.arange(size, dtype=np.int64).reshape(value.shape))
    return Moved(value, places)
