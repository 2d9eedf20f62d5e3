"""ArgMax, ArgMin, TopK and CumSum: https://onnx.ai/onnx/operators/."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from toolchain.ops.attributes import integer
from toolchain.ops.bounds import EXACT, Bound, accumulated
from toolchain.ops.moving import exact_bound, moving
from toolchain.ops.operator import Array, Inputs, NodeFacts, Operator, Spec, optional, required
from toolchain.ops.shaping import axis_of, constant
from toolchain.ops.spreads import moved


@dataclass(frozen=True)
class Arg:
    """Attributes of ArgMax and ArgMin."""

    axis: int
    keep: bool
    last: bool


def _arg_parse(facts: NodeFacts) -> Arg:
    return Arg(
        integer(facts, "axis", 0),
        bool(integer(facts, "keepdims", 1)),
        bool(integer(facts, "select_last_index", 0)),
    )


def _arg_infer(node: Arg, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    x = required(inputs, 0)
    axis = axis_of(node.axis, len(x.shape))
    middle = (1,) if node.keep else ()
    return (Spec(ir.DataType.INT64, (*x.shape[:axis], *middle, *x.shape[axis + 1 :])),)


def _arg(name: str, function: Callable[..., Array]) -> Operator:
    def evaluate(node: Arg, inputs: Inputs) -> tuple[Array, ...]:
        x = required(inputs, 0)
        axis = axis_of(node.axis, x.ndim)
        found = function(np.flip(x, axis) if node.last else x, axis=axis, keepdims=node.keep)
        return (np.asarray(x.shape[axis] - 1 - found if node.last else found, dtype=np.int64),)

    return moving(name, {1, 11, 12, 13}, _arg_parse, evaluate, _arg_infer, spread=None)


@dataclass(frozen=True)
class TopK:
    """Attributes of TopK; the number of elements is an attribute in version 1 only."""

    axis: int
    k: int | None
    largest: bool


def _topk_parse(facts: NodeFacts) -> TopK:
    k = facts.attributes.get("k")
    return TopK(integer(facts, "axis", -1), None if k is None else int(k), bool(integer(facts, "largest", 1)))


def _count(node: TopK, given: Array | None, size: int) -> int:
    k = node.k if given is None else int(given.reshape(()))
    if k is None or not 0 <= k <= size:
        raise ValueError(f"k is {k}; expected 0 to {size}")
    return k


def top_k(node: TopK, inputs: Inputs) -> tuple[Array, ...]:
    """The largest (or smallest) entries of an axis in order, and their places; equal ones by place."""
    x = required(inputs, 0)
    axis = axis_of(node.axis, x.ndim)
    k = _count(node, optional(inputs, 1), x.shape[axis])
    keyed = np.flip(x, axis) if node.largest else x
    order = np.argsort(keyed, axis=axis, kind="stable")
    if node.largest:
        order = x.shape[axis] - 1 - np.flip(order, axis)
    places = np.take(order, np.arange(k), axis=axis).astype(np.int64)
    return np.take_along_axis(x, places, axis=axis), places


def _topk_infer(node: TopK, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    x, given = required(inputs, 0), optional(inputs, 1)
    axis = axis_of(node.axis, len(x.shape))
    k = _count(node, None if given is None else constant(given, "k"), x.shape[axis])
    shape = (*x.shape[:axis], k, *x.shape[axis + 1 :])
    return Spec(x.dtype, shape), Spec(ir.DataType.INT64, shape)


@dataclass(frozen=True)
class CumSum:
    """Attributes of CumSum."""

    exclusive: bool
    reverse: bool


def _cumsum_parse(facts: NodeFacts) -> CumSum:
    return CumSum(bool(integer(facts, "exclusive", 0)), bool(integer(facts, "reverse", 0)))


def cum_sum(node: CumSum, inputs: Inputs) -> tuple[Array, ...]:
    """Sums of everything up to each place, itself included unless ``exclusive``; from the end if ``reverse``."""
    x = required(inputs, 0)
    axis = axis_of(int(required(inputs, 1).reshape(())), x.ndim)
    y = np.flip(x, axis) if node.reverse else x
    y = np.cumsum(y, axis=axis, dtype=x.dtype)
    if node.exclusive and x.shape[axis]:
        y = np.roll(y, 1, axis)
        y[(slice(None),) * axis + (0,)] = 0
    return (np.flip(y, axis) if node.reverse else y,)


def _cumsum_infer(node: CumSum, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    x = required(inputs, 0)
    return (Spec(x.dtype, x.shape),)


def _cumsum_bound(node: CumSum, inputs: Inputs, exact: Sequence[Array], roundoff: float) -> tuple[Bound, ...]:
    x, axis = required(inputs, 0), required(inputs, 1)
    if x.dtype.kind != "f":
        return (EXACT,)
    size = x.shape[axis_of(int(axis.reshape(())), x.ndim)]
    return (accumulated(cum_sum(node, [np.abs(x), axis])[0], size, roundoff),)


OPERATORS = (
    _arg("ArgMax", np.argmax),
    _arg("ArgMin", np.argmin),
    Operator("TopK", frozenset({1, 10, 11, 24}), _topk_parse, top_k, _topk_infer, exact_bound),
    Operator("CumSum", frozenset({11, 14}), _cumsum_parse, cum_sum, _cumsum_infer, _cumsum_bound, spread=moved),
)
