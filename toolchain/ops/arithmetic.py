"""Arithmetic, comparison and logic of two tensors, and Where.

Add, Sub, Mul, Div, Pow, Mod, Equal, Less, Greater, LessOrEqual, GreaterOrEqual, And, Or, Xor, the bitwise
operators: https://onnx.ai/onnx/operators/. From version 7 on operands broadcast multidirectionally; before, the
second is stretched to the first only under ``broadcast = 1``, at ``axis``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from toolchain.ops.attributes import choice, integer, nothing
from toolchain.ops.bounds import EXACT, Bound
from toolchain.ops.elementwise_spreads import excluding_zero
from toolchain.ops.operator import Array, Inputs, NodeFacts, Operator, Spec, required
from toolchain.ops.shaping import axis_of, broadcast, folding
from toolchain.ops.spreads import Errors, Spread, corners
from toolchain.ops.unary import Budget

BROADCAST_VERSION = 7


@dataclass(frozen=True)
class Pairing:
    """How the two operands meet.

    Attributes:
        legacy: the rules before version 7 hold.
        stretch: under them, whether the second operand is stretched to the first.
        axis: under them, the axis of the first operand at which the second begins; ``None``: ends meet.
        truncate: Mod: the quotient is truncated instead of floored.
        left: BitShift: towards the high bits.
    """

    legacy: bool
    stretch: bool
    axis: int | None
    truncate: bool
    left: bool


def parse(facts: NodeFacts) -> Pairing:
    """Read the attributes."""
    axis = facts.attributes.get("axis")
    shift = facts.op_type == "BitShift" and choice(facts, "direction", "", ("LEFT", "RIGHT")) == "LEFT"
    return Pairing(
        legacy=facts.version < BROADCAST_VERSION,
        stretch=bool(integer(facts, "broadcast", 0)),
        axis=None if axis is None else int(axis),
        truncate=bool(integer(facts, "fmod", 0)),
        left=shift,
    )


def aligned(node: Pairing, a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    """The second operand's shape, ready to broadcast to the first.

    Raises:
        ValueError: the operands do not meet.
    """
    if not node.legacy or a == b:
        broadcast(a, b)
        return b
    if not node.stretch:
        raise ValueError(f"shapes {list(a)} and {list(b)} differ and the node does not say broadcast = 1")
    start = len(a) - len(b) if node.axis is None else axis_of(node.axis, len(a))
    if start < 0 or start + len(b) > len(a):
        raise ValueError(f"shape {list(b)} does not fit into {list(a)} at axis {start}")
    shape = (*b, *(1,) * (len(a) - start - len(b)))
    if broadcast(a, shape) != a:
        raise ValueError(f"shape {list(b)} does not stretch to {list(a)} at axis {start}")
    return shape


def divide(node: Pairing, a: Array, b: Array) -> Array:
    """True quotient of floats; integers truncate towards zero.

    Raises:
        ValueError: an integer is divided by zero.
    """
    if a.dtype.kind not in "iu":
        return np.asarray(np.true_divide(a, b))
    if not b.all():
        raise ValueError("integer division by zero")
    quotient = a // b
    inexact = quotient * b != a
    return np.asarray(quotient + (inexact & ((a < 0) != (b < 0))).astype(a.dtype))


def power(node: Pairing, a: Array, b: Array) -> Array:
    """``a ** b`` in the type of ``a``; a negative integer power is truncated towards zero.

    Of special values it is the pow of IEEE 754-2019, 9.2.1. NumPy takes the square root for a power of 1/2, whose
    answers at -0 and minus infinity are others.
    """
    if a.dtype.kind not in "iu":
        y = np.power(a, b.astype(np.float64))
        root = (b == 0.5) & ((a == 0) | np.isneginf(a))
        return np.asarray(np.where(root, np.abs(a), y))
    if b.dtype.kind in "iu" and not (b < 0).any():
        return np.asarray(np.power(a, b.astype(np.int64)).astype(a.dtype))
    return np.trunc(np.power(a.astype(np.float64), b.astype(np.float64))).astype(a.dtype)


def modulo(node: Pairing, a: Array, b: Array) -> Array:
    """Remainder with the sign of ``b``, or of ``a`` where the quotient is truncated.

    Raises:
        ValueError: an integer is divided by zero.
    """
    if a.dtype.kind in "iu" and not b.all():
        raise ValueError("integer division by zero")
    return np.asarray(np.fmod(a, b) if node.truncate else np.mod(a, b))


def shift(node: Pairing, a: Array, b: Array) -> Array:
    """Bits moved by ``b`` places; all of them gone where ``b`` is not below their number."""
    bits = a.dtype.itemsize * 8
    gone = (b < 0) | (b >= bits)
    places = np.where(gone, 0, b).astype(a.dtype)
    if node.left:
        return np.where(gone, 0, np.left_shift(a, places)).astype(a.dtype)
    return np.where(gone, np.where(a < 0, -1, 0), np.right_shift(a, places)).astype(a.dtype)


def _plain(function: Callable[[Array, Array], Array]) -> Callable[[Pairing, Array, Array], Array]:
    def apply(node: Pairing, a: Array, b: Array) -> Array:
        return np.asarray(function(a, b))

    return apply


def _operator(
    name: str,
    versions: set[int],
    function: Callable[[Pairing, Array, Array], Array],
    budget: float = 0.0,
    *,
    logical: bool = False,
    spread: Spread | None = None,
) -> Operator:
    def evaluate(node: Pairing, inputs: Inputs) -> tuple[Array, ...]:
        a, b = required(inputs, 0), required(inputs, 1)
        with np.errstate(all="ignore"):
            return (function(node, a, b.reshape(aligned(node, a.shape, b.shape))),)

    def infer(node: Pairing, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
        a, b = required(inputs, 0), required(inputs, 1)
        shape = broadcast(a.shape, aligned(node, a.shape, b.shape))
        return (Spec(ir.DataType.BOOL if logical else a.dtype, shape),)

    def bound(node: Pairing, inputs: Inputs, exact: Sequence[Array], roundoff: float) -> tuple[Bound, ...]:
        if not budget or exact[0].dtype.kind != "f":
            return (EXACT,)
        return (Budget(budget).bound(exact[0], roundoff),)

    said = str(Budget(budget)) if budget else ""
    shapes = folding(infer, evaluate)
    return Operator(name, frozenset(versions), parse, evaluate, shapes, bound, spread=spread, budget=said)


def _power_spread(
    operator: Operator, node: Pairing, inputs: Inputs, errors: Errors, roundoff: float
) -> tuple[Array, ...]:
    """Monotone in a positive base; without limit where the base may not be positive."""
    if errors[1] is not None:
        raise ValueError("how errors of an exponent spread is not derived")
    (limit,) = excluding_zero(0)(operator, node, inputs, errors, roundoff)
    return (np.where(np.broadcast_to(required(inputs, 0) > 0, limit.shape), limit, np.inf),)


def _where(node: None, inputs: Inputs) -> tuple[Array, ...]:
    """The second input where the first is true, else the third."""
    return (np.where(required(inputs, 0), required(inputs, 1), required(inputs, 2)),)


def _where_infer(node: None, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    condition, x, y = (required(inputs, i) for i in range(3))
    return (Spec(x.dtype, broadcast(condition.shape, x.shape, y.shape)),)


def _where_bound(node: None, inputs: Inputs, exact: Sequence[Array], roundoff: float) -> tuple[Bound, ...]:
    return (EXACT,)


BASIC = {1, 6, 7, 13, 14}
COMPARISON = {1, 7, 9, 13}

OPERATORS = (
    _operator("Add", BASIC, _plain(np.add), 0.5, spread=corners),
    _operator("Sub", BASIC, _plain(np.subtract), 0.5, spread=corners),
    _operator("Mul", BASIC, _plain(np.multiply), 0.5, spread=corners),
    _operator("Div", BASIC, divide, 1.0, spread=excluding_zero(1)),
    _operator("Pow", {1, 7, 12, 13, 15}, power, 4.0, spread=_power_spread),
    _operator("Mod", {10, 13, 28}, modulo, 1.0),
    _operator("Equal", {1, 7, 11, 13, 19}, _plain(np.equal), logical=True),
    _operator("Less", COMPARISON, _plain(np.less), logical=True),
    _operator("Greater", COMPARISON, _plain(np.greater), logical=True),
    _operator("LessOrEqual", {12, 16}, _plain(np.less_equal), logical=True),
    _operator("GreaterOrEqual", {12, 16}, _plain(np.greater_equal), logical=True),
    _operator("And", {1, 7}, _plain(np.logical_and), logical=True),
    _operator("Or", {1, 7}, _plain(np.logical_or), logical=True),
    _operator("Xor", {1, 7}, _plain(np.logical_xor), logical=True),
    _operator("BitwiseAnd", {18}, _plain(np.bitwise_and)),
    _operator("BitwiseOr", {18}, _plain(np.bitwise_or)),
    _operator("BitwiseXor", {18}, _plain(np.bitwise_xor)),
    _operator("BitShift", {11, 28}, shift),
    Operator("Where", frozenset({9, 16}), nothing, _where, folding(_where_infer, _where), _where_bound, spread=corners),
)
