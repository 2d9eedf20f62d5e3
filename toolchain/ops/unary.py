"""Element-wise functions of one tensor without attributes that change their meaning.

Abs, Neg, Floor, Ceil, Round, Sign, Not, Sqrt, Reciprocal, Exp, Log, Erf, Sigmoid, Tanh, Softplus, Softsign, Mish,
trigonometric and hyperbolic functions: https://onnx.ai/onnx/operators/.

Budgets are in units in the last place of the exact value (``budget``), plus an absolute part in units in the last
place of 1 (``floor``) where an implementation by a polynomial or rational function loses relative accuracy near
a zero or in a tail. They hold for ONNX Runtime's CPU provider over a dense sweep of all float32 bit patterns:
``python -m benchmarks.ulps`` repeats the measurement and prints what it found beside each budget.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from toolchain.ops.attributes import nothing
from toolchain.ops.bounds import EXACT, Bound
from toolchain.ops.elementwise_spreads import excluding_zero, monotone
from toolchain.ops.operator import Array, Inputs, Operator, required
from toolchain.ops.shaping import folding, like_first
from toolchain.ops.spreads import Spread, lipschitz

FLOAT32_SMALLEST_NORMAL = 2.0**-126
FLOAT32_MAX = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Budget:
    """What a correct floating-point implementation may lose.

    Attributes:
        relative: in units in the last place of the exact value; 0 for a function that selects or moves.
        absolute: in units in the last place of ``scale``.
    """

    relative: float
    absolute: float = 0.0

    def __str__(self) -> str:
        return self.of("1")

    def of(self, scale: str) -> str:
        """In words, the scale of the absolute part being called so."""
        return f"{self.relative:g}" + (f" + {self.absolute:g} of {scale}" if self.absolute else "")

    def bound(self, exact: Array, roundoff: float, scale: Array | float = 1.0) -> Bound:
        """Limits around exact values; results below the smallest normal number may be flushed to zero.

        Beyond the largest float32 the limit is infinite: there a correct implementation returns infinity.
        """
        size = np.abs(np.asarray(exact, dtype=np.float64))
        with np.errstate(over="ignore", invalid="ignore"):
            limit = 2.0 * roundoff * (self.relative * size + self.absolute * np.abs(scale))
            limit = np.where(size * (1 + 2 * roundoff) >= FLOAT32_MAX, np.inf, limit + FLOAT32_SMALLEST_NORMAL)
        return Bound(limit, limit)


def erf(x: Array) -> Array:
    """Error function."""
    return np.asarray(np.frompyfunc(math.erf, 1, 1)(x)).astype(np.float64)


def erfc(x: Array) -> Array:
    """``1 - erf(x)`` without cancellation."""
    return np.asarray(np.frompyfunc(math.erfc, 1, 1)(x)).astype(np.float64)


def sigmoid(x: Array) -> Array:
    """``1 / (1 + exp(-x))``."""
    return np.asarray(1.0 / (1.0 + np.exp(-x)))


def softplus(x: Array) -> Array:
    """``log(1 + exp(x))``."""
    return np.asarray(np.logaddexp(0.0, x))


def _reciprocal(x: Array) -> Array:
    return np.asarray(1.0 / x)


def _softsign(x: Array) -> Array:
    return np.asarray(np.where(np.isinf(x), np.sign(x), x / (1.0 + np.abs(x))))


def _mish(x: Array) -> Array:
    return np.asarray(np.where(x == -np.inf, 0.0, x * np.tanh(softplus(x))))


def _operator(
    name: str,
    versions: set[int],
    function: Callable[[Array], Array],
    budget: Budget | None,
    spread: Spread | None,
) -> Operator:
    def evaluate(node: None, inputs: Inputs) -> tuple[Array, ...]:
        x = required(inputs, 0)
        with np.errstate(all="ignore"):
            return (np.asarray(function(x)),)

    def bound(node: None, inputs: Inputs, exact: Sequence[Array], roundoff: float) -> tuple[Bound, ...]:
        if budget is None or exact[0].dtype.kind != "f":
            return (EXACT,)
        return (budget.bound(exact[0], roundoff),)

    return Operator(
        name,
        frozenset(versions),
        nothing,
        evaluate,
        folding(like_first, evaluate),
        bound,
        spread=spread,
        budget="" if budget is None else str(budget),
        range=None if name not in RANGES else lambda *_: RANGES[name],
    )


RANGES: dict[str, tuple[float, float]] = {
    "Sigmoid": (0.0, 1.0),
    **dict.fromkeys(("Tanh", "Erf", "Softsign", "Sin", "Cos", "Sign"), (-1.0, 1.0)),
    **dict.fromkeys(("Asin", "Atan"), (-math.pi / 2, math.pi / 2)),
    "Acos": (0.0, math.pi),
}
"""Functions whose values have ends on both sides."""

MATH = {1, 6, 13}
TRIGONOMETRIC = {7, 22}
HYPERBOLIC = {9, 22}

FUNCTIONS: tuple[tuple[str, set[int], Callable[[Array], Array], Budget | None, Spread | None], ...] = (
    ("Abs", MATH, np.abs, None, lipschitz(1.0)),
    ("Neg", MATH, np.negative, None, monotone),
    ("Floor", MATH, np.floor, None, monotone),
    ("Ceil", MATH, np.ceil, None, monotone),
    ("Round", {11, 22}, np.rint, None, monotone),
    ("Sign", {9, 13}, np.sign, None, monotone),
    ("Not", {1}, np.logical_not, None, None),
    ("BitwiseNot", {18}, np.bitwise_not, None, None),
    ("Sqrt", MATH, np.sqrt, Budget(1.0), monotone),
    ("Reciprocal", MATH, _reciprocal, Budget(1.0), excluding_zero(0)),
    ("Exp", MATH, np.exp, Budget(2.0), monotone),
    ("Log", MATH, np.log, Budget(2.0), monotone),
    ("Erf", {9, 13}, erf, Budget(4.0), monotone),
    ("Sigmoid", MATH, sigmoid, Budget(4.0, 2.0), monotone),
    ("Tanh", MATH, np.tanh, Budget(4.0), monotone),
    ("Softplus", {1, 22}, softplus, Budget(4.0), monotone),
    ("Softsign", {1, 22}, _softsign, Budget(4.0), monotone),
    ("Mish", {18, 22}, _mish, Budget(8.0), lipschitz(1.1)),
    ("Sin", TRIGONOMETRIC, np.sin, Budget(2.0), lipschitz(1.0)),
    ("Cos", TRIGONOMETRIC, np.cos, Budget(2.0), lipschitz(1.0)),
    ("Tan", TRIGONOMETRIC, np.tan, Budget(4.0), None),
    ("Asin", TRIGONOMETRIC, np.arcsin, Budget(4.0), monotone),
    ("Acos", TRIGONOMETRIC, np.arccos, Budget(4.0), monotone),
    ("Atan", TRIGONOMETRIC, np.arctan, Budget(4.0), monotone),
    ("Sinh", HYPERBOLIC, np.sinh, Budget(4.0), monotone),
    ("Cosh", HYPERBOLIC, np.cosh, Budget(4.0), None),
    ("Asinh", HYPERBOLIC, np.arcsinh, Budget(4.0), monotone),
    ("Acosh", HYPERBOLIC, np.arccosh, Budget(4.0), monotone),
    ("Atanh", HYPERBOLIC, np.arctanh, Budget(4.0), monotone),
)

OPERATORS = tuple(_operator(*row) for row in FUNCTIONS)
