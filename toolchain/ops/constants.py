"""Constant, ConstantOfShape, Shape, Size and Range: https://onnx.ai/onnx/operators/."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from toolchain.ops.attributes import integer, nothing
from toolchain.ops.bounds import EXACT, Bound, accumulated
from toolchain.ops.elementwise_spreads import none_at_all
from toolchain.ops.moving import moving
from toolchain.ops.operator import Array, Inputs, NodeFacts, Operator, Spec, required, widen
from toolchain.ops.shaping import constant, folding

SINCE_21 = {21, 23, 24, 25}


@dataclass(frozen=True, eq=False)
class Constant:
    """A tensor that the node itself states: its content as it is carried, and its declared type."""

    value: Array
    dtype: ir.DataType


def _constant(array: Array) -> Constant:
    return Constant(widen(array), ir.DataType.from_numpy(array.dtype))


_FORMS: dict[str, Any] = {
    "value_float": np.float32,
    "value_floats": np.float32,
    "value_int": np.int64,
    "value_ints": np.int64,
    "value_string": np.object_,
    "value_strings": np.object_,
}


def _constant_parse(facts: NodeFacts) -> Constant:
    stated = {name: value for name, value in facts.attributes.items() if name.startswith(("value", "sparse"))}
    if len(stated) != 1:
        raise facts.unsupported(f"it states {len(stated)} values", "expected one; repair the model")
    name, value = next(iter(stated.items()))
    if name == "value":
        return _constant(np.asarray(value))
    if name not in _FORMS:
        raise facts.unsupported(f"{name} is not supported", "store the tensor densely")
    return _constant(np.asarray(value, dtype=_FORMS[name]))


def _constant_evaluate(node: Constant, inputs: Inputs) -> tuple[Array, ...]:
    return (node.value,)


def _constant_infer(node: Constant, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    return (Spec(node.dtype, node.value.shape),)


def _fill_parse(facts: NodeFacts) -> Constant:
    value = np.asarray(facts.attributes.get("value", np.zeros(1, np.float32)))
    if value.size != 1:
        raise facts.unsupported(f"value has {value.size} elements", "expected one")
    return _constant(value.reshape(()))


def _fill_shape(wanted: Array) -> tuple[int, ...]:
    shape = tuple(int(d) for d in wanted.reshape(-1))
    if any(d < 0 for d in shape):
        raise ValueError(f"shape {list(shape)} has a negative dimension")
    return shape


def constant_of_shape(node: Constant, inputs: Inputs) -> tuple[Array, ...]:
    """One value everywhere; a view, so that a large shape costs nothing."""
    return (np.broadcast_to(node.value, _fill_shape(required(inputs, 0))),)


def _fill_infer(node: Constant, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    return (Spec(node.dtype, _fill_shape(constant(required(inputs, 0), "the shape"))),)


@dataclass(frozen=True)
class Shape:
    """Which dimensions; ``None`` up to the last."""

    start: int
    end: int | None


def _shape_parse(facts: NodeFacts) -> Shape:
    end = facts.attributes.get("end")
    return Shape(integer(facts, "start", 0), None if end is None else int(end))


def _dimensions(node: Shape, shape: tuple[int, ...]) -> Array:
    return np.asarray(shape[slice(node.start, node.end)], dtype=np.int64)


def shape_of(node: Shape, inputs: Inputs) -> tuple[Array, ...]:
    """Dimensions as a 1-D int64 tensor."""
    return (_dimensions(node, required(inputs, 0).shape),)


def _shape_infer(node: Shape, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    value = _dimensions(node, required(inputs, 0).shape)
    return (Spec(ir.DataType.INT64, value.shape, value),)


def size_of(node: None, inputs: Inputs) -> tuple[Array, ...]:
    """Number of elements as an int64 scalar."""
    return (np.asarray(required(inputs, 0).size, dtype=np.int64),)


def _size_infer(node: None, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    return (Spec(ir.DataType.INT64, (), np.asarray(required(inputs, 0).size, dtype=np.int64)),)


def _range_scalars(values: Sequence[Array]) -> tuple[Any, Any, Any]:
    start, limit, delta = (v.reshape(()).item() for v in values)
    if delta == 0:
        raise ValueError("delta is 0")
    return start, limit, delta


def _range_count(start: Any, limit: Any, delta: Any) -> int:
    if isinstance(start, int):
        return max(-((start - int(limit)) // int(delta)), 0)
    return max(math.ceil((float(limit) - float(start)) / float(delta)), 0)


def range_(node: None, inputs: Inputs) -> tuple[Array, ...]:
    """``start + i delta`` up to ``limit``, which is excluded.

    Raises:
        ValueError: ``delta`` is 0.
    """
    arrays = [required(inputs, i) for i in range(3)]
    start, limit, delta = _range_scalars(arrays)
    steps = np.arange(_range_count(start, limit, delta))
    return ((start + steps * delta).astype(arrays[0].dtype),)


def _range_infer(node: None, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    specs = [required(inputs, i) for i in range(3)]
    count = _range_count(*_range_scalars([constant(s, "a limit") for s in specs]))
    return (Spec(specs[0].dtype, (count,)),)


def _range_bound(node: None, inputs: Inputs, exact: Sequence[Array], roundoff: float) -> tuple[Bound, ...]:
    """Repeated addition makes ``i`` roundings on the way to element ``i``."""
    if exact[0].dtype.kind != "f":
        return (EXACT,)
    start, _, delta = _range_scalars([required(inputs, i) for i in range(3)])
    steps = np.arange(exact[0].size)
    return (accumulated(abs(start) + steps * abs(delta), steps + 1, roundoff),)


OPERATORS = (
    moving(
        "Constant",
        {1, 9, 11, 12, 13, 19} | SINCE_21,
        _constant_parse,
        _constant_evaluate,
        _constant_infer,
        spread=none_at_all,
    ),
    moving("ConstantOfShape", {9, 20} | SINCE_21, _fill_parse, constant_of_shape, _fill_infer, spread=none_at_all),
    moving("Shape", {1, 13, 15, 19} | SINCE_21, _shape_parse, shape_of, _shape_infer, spread=none_at_all),
    moving("Size", {1, 13, 19} | SINCE_21, nothing, size_of, _size_infer, spread=none_at_all),
    Operator(
        "Range", frozenset({11, 27}), nothing, range_, folding(_range_infer, range_), _range_bound, spread=none_at_all
    ),
)
