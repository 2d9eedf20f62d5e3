"""Exact values of further functions of one quantized value; see ``functions`` for the others."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, localcontext
from fractions import Fraction

from toolchain.compile.functions import DIGITS, Function, sigmoid


def exponential(x: Fraction) -> Fraction:
    """To 60 digits; exact at 0."""
    return Fraction(1) if x == 0 else _decimal(x, lambda v: v.exp())


def softplus(x: Fraction) -> Fraction:
    """``ln(1 + exp(x))``, to 60 digits: never rational."""
    tail = _decimal(-abs(x), lambda v: (1 + v.exp()).ln()) if x else _decimal(Fraction(2), lambda v: v.ln())
    return max(x, Fraction(0)) + tail


def _decimal(x: Fraction, function: Callable[[Decimal], Decimal]) -> Fraction:
    with localcontext() as context:
        context.prec = DIGITS
        value = Decimal(x.numerator) / Decimal(x.denominator)
        return Fraction(function(value))


def exact(op_type: str, alpha: float) -> Function | None:
    """The function of an operator; ``None`` where it has no exact rule in ``toolchain.integers``.

    Args:
        op_type: of ai.onnx.
        alpha: of ThresholdedRelu and Swish.
    """
    number = Fraction(alpha)
    known: dict[str, Function] = {
        "Abs": abs,
        "Neg": lambda x: -x,
        "Exp": exponential,
        "Softplus": softplus,
        "ThresholdedRelu": lambda x: x if x > number else Fraction(0),
        "Swish": lambda x: x * sigmoid(number * x),
    }
    return known.get(op_type)
