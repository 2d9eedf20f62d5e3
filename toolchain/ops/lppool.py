"""LpPool and GlobalLpPool: https://onnx.ai/onnx/operators/onnx__LpPool.html.

Padding adds zeros. ``p`` is a float in version 1 and an integer since; windows that would start in the end
padding under ``ceil_mode`` are ignored, as in the other pools.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from toolchain.ops.bounds import FLOAT32_MAX, FLOAT32_TINY, LAMBDA, Bound, gamma
from toolchain.ops.operator import Array, Inputs, NodeFacts, Operator, Spec, required
from toolchain.ops.pool import geometry, pooled
from toolchain.ops.sliding import fold
from toolchain.ops.spreads import Errors
from toolchain.ops.windows import Windows

POWER_ULPS = 4
"""Budget of a power function, in ulp: ``benchmarks/composed.py`` measures it."""
BUDGET = f"power: {POWER_ULPS}"


@dataclass(frozen=True)
class LpPool:
    """Attributes; ``windows`` is ``None`` for the global pool."""

    windows: Windows | None
    p: float


def parse(facts: NodeFacts) -> LpPool:
    """Read the attributes."""
    p = float(facts.attributes.get("p", 2))
    if not p > 0:
        raise facts.unsupported(f"p is {p}", "expected a positive number")
    return LpPool(None if facts.op_type == "GlobalLpPool" else Windows.parse(facts), p)


def evaluate(node: LpPool, inputs: Inputs) -> tuple[Array, ...]:
    """``(sum |x|^p)^(1/p)`` over each window."""
    x = required(inputs, 0)
    powers = np.abs(x) ** node.p
    if node.windows is None:
        total = powers.sum(axis=tuple(range(2, x.ndim)), keepdims=True)
    else:
        total = fold(geometry(node.windows, x.shape), powers, np.add, 0)
    return (total ** (1 / node.p),)


def infer(node: LpPool, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    """[N, C, output...]; ones for the global pool."""
    x: Spec = required(inputs, 0)
    if node.windows is None:
        return (Spec(x.dtype, (*x.shape[:2], *(1,) * (len(x.shape) - 2))),)
    return (pooled(node.windows, x),)


def bound(node: LpPool, inputs: Inputs, exact: Sequence[Array], roundoff: float) -> tuple[Bound, ...]:
    """Relative: n positive terms, each a power, then a root.

    A power within ``e`` ulp has relative error ``2 e u``; a sum of positive terms keeps the largest
    relative error of its terms and adds ``(n - 1) u``; the root divides it by p and adds its own ``2 e u``,
    and ``u |ln y|`` because its exponent ``1 / p`` is rounded. Powers that underflow lose at most n times
    the smallest number, whose root is the floor. Where the sum of powers leaves float32, there is no limit.
    """
    x = required(inputs, 0)
    terms = int(
        np.prod(x.shape[2:] if node.windows is None else geometry(node.windows, x.shape).kernel, dtype=np.int64)
    )
    inner, own = terms + 2 * POWER_ULPS, 2 * POWER_ULPS
    y = np.abs(exact[0])
    with np.errstate(over="ignore"):
        beyond = y**node.p > FLOAT32_MAX
    floor = np.where(beyond, np.inf, (terms * FLOAT32_TINY) ** (1 / node.p) + FLOAT32_TINY)
    exponent = own + np.abs(np.log(np.where(y > 0, y, 1.0)))
    sound = gamma(inner, roundoff) / node.p + gamma(exponent, roundoff)
    probable = (LAMBDA * np.sqrt(inner) / node.p + exponent) * roundoff
    return (Bound(y * sound + floor, y * probable + floor),)


def spread(operator: Operator, node: LpPool, inputs: Inputs, errors: Errors, roundoff: float) -> tuple[Array, ...]:
    """By the triangle inequality the norm moves by at most the norm of the errors.

    Raises:
        ValueError: p is below 1, where there is no such inequality.
    """
    if node.p < 1:
        raise ValueError(f"how errors spread is not derived for p = {node.p:g}")
    return evaluate(node, [np.broadcast_to(np.asarray(errors[0]), required(inputs, 0).shape)])


OPERATORS = (
    Operator("LpPool", frozenset({1, 2, 11, 18, 22}), parse, evaluate, infer, bound, spread=spread, budget=BUDGET),
    Operator("GlobalLpPool", frozenset({1, 2, 22}), parse, evaluate, infer, bound, spread=spread, budget=BUDGET),
)
