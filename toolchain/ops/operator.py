"""What an operator is: one value that says all that the toolchain knows of it.

A file in this folder describes one operator (or one family of alike ones) and lists its
:class:`Operator` values in ``OPERATORS``; ``ops/__init__.py`` finds them. To add an operator, add a file.

Inside the interpreter floating-point tensors of type float16, bfloat16, float and double are carried as
float64 (:func:`widen`); integer, boolean and float8 tensors keep their type. ``evaluate`` gets such arrays
and returns such arrays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import ml_dtypes
import numpy as np
import onnx_ir as ir

from toolchain.errors import UnsupportedError
from toolchain.ops.arrays import Array, Inputs, Spread
from toolchain.ops.bounds import Bound

__all__ = ["Array", "Inputs", "NodeFacts", "Operator", "Spec", "optional", "required", "widen"]

_WIDENED = frozenset(np.dtype(t) for t in (np.float16, ml_dtypes.bfloat16, np.float32))


def widen(array: Array) -> Array:
    """float16, bfloat16 and float32 become float64; any other type stays as it is."""
    return array.astype(np.float64) if array.dtype in _WIDENED else array


@dataclass(frozen=True)
class Spec:
    """What is known of a tensor before anything runs.

    Attributes:
        dtype: element type.
        shape: concrete dimensions.
        value: the content, where it is a constant and small enough to matter for shapes; else ``None``.
    """

    dtype: ir.DataType
    shape: tuple[int, ...]
    value: Array | None = None

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(map(int, self.shape))  # as Python's integers, which do not overflow


@dataclass(frozen=True)
class NodeFacts:
    """A node without its tensors: what ``parse`` reads attributes from.

    Attributes:
        name: the node's name, for messages.
        op_type: operator name.
        domain: operator domain, ``""`` for ai.onnx.
        version: the ``since_version`` of the operator's definition in force.
        attributes: by name: int, float, str, tuples of these, numpy arrays for tensors.
        inputs: for each input whether it is present.
        outputs: number of outputs, present or not.
        output_dtype: element type of the first output where the model states it.
    """

    name: str
    op_type: str
    domain: str
    version: int
    attributes: Mapping[str, Any]
    inputs: tuple[bool, ...]
    outputs: int
    output_dtype: ir.DataType | None = None

    def where(self) -> str:
        """For messages: ``node 'conv1' (Conv, opset version 22)``."""
        return f"node {self.name!r} ({self.domain + '.' if self.domain else ''}{self.op_type}-{self.version})"

    def unsupported(self, what: str, remedy: str) -> UnsupportedError:
        """An error that names this node."""
        return UnsupportedError(f"{self.where()}: {what}; {remedy}")


@dataclass(frozen=True)
class Operator:
    """One operator of one domain.

    Attributes:
        name: ONNX's name.
        versions: every ``since_version`` of its definition that ``evaluate`` means.
        parse: node facts -> frozen attributes, handed to the functions below as the first argument.
        evaluate: (attributes, inputs) -> outputs: the meaning, in float64 or in exact integers.
        infer: (attributes, input specs) -> output specs; only types, shapes and small constants.
        bound: (attributes, inputs, exact outputs, unit roundoff) -> one :class:`Bound` an output: how far a
            correct implementation may be from ``evaluate`` on the same inputs.
        macs: (attributes, input specs, output specs) -> multiply-accumulates; zero where it has none.
        domain: ``""`` for ai.onnx.
        spread: how errors of the inputs spread to the outputs (``ops/spreads.py``); ``None`` where nobody has
            derived it, so that regions in which this operator follows another cannot be judged.
        range: (attributes, inputs) -> the least and the greatest value that an output can have, over all values of the
            first input; ``None`` where there is no end to them.
        budget: of an element-wise function, what ``bound`` allows, in units in the last place, as one writes it; empty
            for one that is exact or bounded otherwise. ``benchmarks/ulps.py`` measures each.
    """

    name: str
    versions: frozenset[int]
    parse: Callable[[NodeFacts], Any]
    evaluate: Callable[[Any, Inputs], tuple[Array, ...]]
    infer: Callable[[Any, Sequence[Spec | None]], tuple[Spec, ...]]
    bound: Callable[[Any, Inputs, Sequence[Array], float], tuple[Bound, ...]]
    macs: Callable[[Any, Sequence[Spec | None], Sequence[Spec]], int] = field(default=lambda *_: 0)
    domain: str = ""
    spread: Spread | None = None
    budget: str = ""
    range: Callable[[Any, Inputs], tuple[Any, Any]] | None = None

    @property
    def key(self) -> tuple[str, str]:
        """Domain and name."""
        return (self.domain, self.name)


def required(inputs: Sequence[Any], index: int) -> Any:
    """An input that the specification does not let a node leave out."""
    value = inputs[index] if index < len(inputs) else None
    if value is None:
        raise ValueError(f"input {index} is missing")
    return value


def optional(inputs: Sequence[Any], index: int) -> Any:
    """An input that may be left out: the value, or ``None``."""
    return inputs[index] if index < len(inputs) else None
