"""Functions of one quantized value as tables: every one of the 256 values is rounded from the exact result.

Piecewise linear functions are computed in rational numbers. Transcendental ones are computed to 60 digits; such a
value is never a tie but where it is rational (``tanh(0)``), so that 60 digits decide every rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

from toolchain.compile.tensor import INT8_HIGH, INT8_LOW, Quantization

DIGITS = 60
Function = Callable[[Fraction], Fraction]


def table(function: Function, source: Quantization, result: Quantization) -> tuple[int, ...]:
    """``round_half_even(function((x - zero) * scale) / scale') + zero'``, saturated, for x from -128 to 127."""
    entries = []
    for x in range(INT8_LOW, INT8_HIGH + 1):
        y = round(function((x - source.zero) * source.scale) / result.scale) + result.zero
        entries.append(min(max(y, INT8_LOW), INT8_HIGH))
    return tuple(entries)


def _decimal(function: Callable[[Decimal], Decimal]) -> Function:
    def of(x: Fraction) -> Fraction:
        with localcontext() as context:
            context.prec = DIGITS
            return Fraction(function(Decimal(x.numerator) / Decimal(x.denominator)))

    return of


def _sigmoid(x: Decimal) -> Decimal:
    return 1 / (1 + (-x).exp())


def _tanh(x: Decimal) -> Decimal:
    squared = (2 * x).exp()
    return (squared - 1) / (squared + 1)


def identity(x: Fraction) -> Fraction:
    """The value itself: another scale, another zero point."""
    return x


def relu(x: Fraction) -> Fraction:
    """The positive part."""
    return max(x, Fraction(0))


def tanh(x: Fraction) -> Fraction:
    """Hyperbolic tangent, to 60 digits."""
    return Fraction(0) if x == 0 else _decimal(_tanh)(x)


def sigmoid(x: Fraction) -> Fraction:
    """Logistic function, to 60 digits."""
    return Fraction(1, 2) if x == 0 else _decimal(_sigmoid)(x)


def clip(low: Fraction | None, high: Fraction | None) -> Function:
    """Between two bounds, either of which may be left out."""

    def of(x: Fraction) -> Fraction:
        if low is not None and x < low:
            x = low
        return high if high is not None and x > high else x

    return of


def leaky_relu(alpha: Fraction) -> Function:
    """``alpha x`` where negative."""
    return lambda x: x if x >= 0 else alpha * x


def elu(alpha: Fraction) -> Function:
    """``alpha (exp(x) - 1)`` where negative."""
    expm1 = _decimal(lambda x: x.exp() - 1)
    return lambda x: x if x >= 0 else alpha * expm1(x)


def hard_sigmoid(alpha: Fraction, beta: Fraction) -> Function:
    """``clip(alpha x + beta, 0, 1)``."""
    return lambda x: min(max(alpha * x + beta, Fraction(0)), Fraction(1))


def hard_swish(x: Fraction) -> Fraction:
    """``x clip(x / 6 + 1/2, 0, 1)``."""
    return x * min(max(x / 6 + Fraction(1, 2), Fraction(0)), Fraction(1))


def of_operator(op_type: str, attributes: Any) -> Function | None:
    """The function of an operator with one input; ``None`` if it is none of these."""
    fixed: dict[str, Function] = {"Relu": relu, "Tanh": tanh, "Sigmoid": sigmoid, "HardSwish": hard_swish}
    if op_type in fixed:
        return fixed[op_type]
    if op_type == "LeakyRelu":
        return leaky_relu(Fraction(attributes.alpha))
    if op_type == "Elu":
        return elu(Fraction(attributes.alpha))
    if op_type == "HardSigmoid":
        return hard_sigmoid(Fraction(attributes.alpha), Fraction(attributes.beta))
    return None
