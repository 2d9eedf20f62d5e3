"""Cast and CastLike: https://onnx.ai/onnx/operators/onnx__Cast.html.

Floating-point targets round half to even; float16, bfloat16 and float32 results are carried as float64 of the
rounded value. What the specification leaves undefined (a float outside an integer type's range) has an infinite
bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import onnx_ir as ir

from toolchain.ops.attributes import choice, data_type, integer
from toolchain.ops.bounds import EXACT, Bound
from toolchain.ops.operator import Array, Inputs, NodeFacts, Operator, Spec, required, widen
from toolchain.ops.shaping import folding
from toolchain.ops.spreads import corners

FLOAT8 = frozenset(
    np.dtype(t)
    for t in (
        ml_dtypes.float8_e4m3fn,
        ml_dtypes.float8_e4m3fnuz,
        ml_dtypes.float8_e5m2,
        ml_dtypes.float8_e5m2fnuz,
    )
)
E8M0 = np.dtype(ml_dtypes.float8_e8m0fnu)
SMALL_FLOATS = FLOAT8 | frozenset(
    np.dtype(t) for t in (ml_dtypes.float4_e2m1fn, ml_dtypes.float6_e2m3fn, ml_dtypes.float6_e3m2fn, E8M0)
)
SMALL_INTEGERS = frozenset(np.dtype(t) for t in (ml_dtypes.int4, ml_dtypes.uint4, ml_dtypes.int2, ml_dtypes.uint2))
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
E8M0_BIAS = 127


@dataclass(frozen=True)
class Cast:
    """Attributes.

    Attributes:
        to: target type; ``None`` for CastLike: that of the second input.
        saturate: float8: too large values become the largest, not infinity or NaN.
        round_mode: float8e8m0: up, down or nearest.
    """

    to: ir.DataType | None
    saturate: bool
    round_mode: str


def parse(facts: NodeFacts) -> Cast:
    """Read the attributes. Version 1 gives the target type by name."""
    if facts.op_type == "CastLike":
        to = facts.output_dtype
    elif isinstance(facts.attributes.get("to"), str):
        to = ir.DataType[facts.attributes["to"]]
    else:
        to = data_type(facts, "to")
        if to is None:
            raise facts.unsupported("to is missing", "repair the model")
    modes = ("up", "down", "nearest")
    return Cast(to, bool(integer(facts, "saturate", 1)), choice(facts, "round_mode", "up", modes))


def is_integer(dtype: np.dtype[np.generic]) -> bool:
    """Whether a type holds integers, the 2- and 4-bit ones included."""
    return dtype.kind in "iu" or dtype in SMALL_INTEGERS


def integer_limits(dtype: np.dtype[np.generic]) -> tuple[int, int]:
    """Smallest and largest value of an integer type."""
    limits: Any = ml_dtypes.iinfo(dtype)  # type: ignore[no-untyped-call]
    return int(limits.min), int(limits.max)


def shortened(x: Array, dtype: np.dtype[np.generic]) -> Array:
    """``x`` rounded half to even to the significand of a type, its exponent range unlimited above.

    ml_dtypes converts float64 through float32, and so rounds twice: what is given to it must already fit.
    """
    limits: Any = ml_dtypes.finfo(dtype)  # type: ignore[no-untyped-call]
    _, exponent = np.frexp(x)
    places = int(limits.nmant) - np.maximum(exponent - 1, int(limits.minexp))
    rounded = np.ldexp(np.rint(np.ldexp(x, places)), -places)
    return np.where(np.isfinite(x), np.copysign(rounded, x), x)


def to_float8(x: Array, dtype: np.dtype[np.generic], *, saturate: bool) -> Array:
    """Round half to even; beyond the largest value, the largest or what the type has for overflow."""
    with np.errstate(all="ignore"):
        y = shortened(x, dtype).astype(dtype)
    if not saturate:
        return y
    largest = float(ml_dtypes.finfo(dtype).max)  # type: ignore[no-untyped-call]
    over = ~np.isnan(x) & ~np.isfinite(y.astype(np.float64))
    return np.where(over, np.copysign(largest, x), y.astype(np.float64)).astype(dtype)


def to_e8m0(x: Array, node: Cast) -> Array:
    """The power of two above, below or nearest (a tie goes up), as its biased exponent."""
    fraction, exponent = np.frexp(x)
    exponent = exponent - 1
    up = {"up": fraction > 0.5, "down": np.zeros_like(x, bool), "nearest": fraction >= 0.75}[node.round_mode]
    code = exponent.astype(np.int64) + up + E8M0_BIAS
    not_a_number = np.isnan(x)
    if node.saturate:
        code = np.where(np.isinf(x), 254, np.clip(np.where(x == 0, 0, code), 0, 254))
    else:
        not_a_number |= np.isinf(x) | (x == 0) | (code < 0) | (code > 254)
    return np.where(not_a_number, 255, code).astype(np.uint8).view(E8M0)


def _to_integer(x: Array, dtype: np.dtype[np.generic]) -> Array:
    """Floats truncate; integers keep the low bits."""
    if x.dtype.kind == "f":
        x = np.trunc(np.nan_to_num(x, nan=0.0, posinf=2.0**62, neginf=-(2.0**62)))
        x = x.astype(np.uint64) if dtype == np.uint64 else np.clip(x, -(2.0**63), 2.0**63 - 1024).astype(np.int64)
    if dtype not in SMALL_INTEGERS:
        return x.astype(dtype)
    low, high = integer_limits(dtype)
    span = high - low + 1
    return ((x.astype(np.int64) - low) % span + low).astype(dtype)


def convert(x: Array, target: np.dtype[np.generic], node: Cast) -> Array:
    """``x`` in another type, carried as the interpreter carries it."""
    if x.dtype in SMALL_FLOATS:
        x = x.astype(np.float64)
    if x.dtype in SMALL_INTEGERS:
        x = x.astype(np.int64)
    if target == np.bool_:
        return np.asarray(x != 0)
    if is_integer(target):
        with np.errstate(all="ignore"):
            return _to_integer(x, target)
    wide = x.astype(np.float64)
    if target == E8M0:
        return to_e8m0(wide, node)
    if target in FLOAT8:
        return to_float8(wide, target, saturate=node.saturate)
    with np.errstate(all="ignore"):
        if target in SMALL_FLOATS or target == BFLOAT16:
            return widen(shortened(wide, target).astype(target))
        return widen((x if x.dtype.kind in "iu" else wide).astype(target))


def _target(node: Cast, inputs: Inputs) -> np.dtype[np.generic]:
    return required(inputs, 1).dtype if node.to is None else node.to.numpy()


def evaluate(node: Cast, inputs: Inputs) -> tuple[Array, ...]:
    """Each element converted."""
    x = required(inputs, 0)
    if x.dtype.kind not in "biuf" and x.dtype not in SMALL_FLOATS | SMALL_INTEGERS:
        if x.dtype.kind in "OUST":
            raise ValueError("text cannot be cast")
        x = x.astype(np.float64)
    return (convert(x, _target(node, inputs), node),)


def infer(node: Cast, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    """The target type; the shape of the input."""
    dtype = required(inputs, 1).dtype if node.to is None else node.to
    return (Spec(dtype, required(inputs, 0).shape),)


def bound(node: Cast, inputs: Inputs, exact: Sequence[Array], roundoff: float) -> tuple[Bound, ...]:
    """Exact, but for floats outside an integer target's range: there anything goes."""
    x, target = required(inputs, 0), _target(node, inputs)
    if x.dtype.kind != "f" or not is_integer(target):
        return (EXACT,)
    low, high = integer_limits(target)
    limit = np.where((np.trunc(x) >= low) & (np.trunc(x) <= high), 0.0, np.inf)
    return (Bound(limit, limit),)


OPERATORS = (
    Operator(
        "Cast",
        frozenset({1, 6, 9, 13, 19, 21, 23, 24, 25, 28}),
        parse,
        evaluate,
        folding(infer, evaluate),
        bound,
        spread=corners,
    ),
    Operator(
        "CastLike",
        frozenset({15, 19, 21, 23, 24, 25}),
        parse,
        evaluate,
        folding(infer, evaluate),
        bound,
        spread=corners,
    ),
)
