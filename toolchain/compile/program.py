"""What C is written from: kernel calls in order, their parameters and constants. Frozen, without ONNX."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.compile.requantize import Requantizer
from toolchain.compile.tensor import Tensor


@dataclass(frozen=True)
class Symbol:
    """A name of C: an enumeration constant."""

    name: str


@dataclass(frozen=True, eq=False)
class Constant:
    """An array in read-only memory.

    Attributes:
        type: of its elements, in C.
        data: its content, in the order in which it is stored; flat.
    """

    type: str
    data: NDArray[Any]


@dataclass(frozen=True, eq=False)
class Shifted:
    """The later elements of a constant that another structure holds whole.

    Attributes:
        constant: the whole array.
        elements: how many are left out.
    """

    constant: Constant
    elements: int


@dataclass(frozen=True)
class Struct:
    """A structure of a kernel's header with its fields in order."""

    type: str
    fields: tuple[tuple[str, Value], ...]


@dataclass(frozen=True)
class StructArray:
    """An array of structures."""

    items: tuple[Struct, ...]


Value = int | float | None | Symbol | Constant | Shifted | Struct | StructArray


def struct(type_: str, **fields: Value) -> Struct:
    """A structure; fields in the order of the arguments."""
    return Struct(type_, tuple(fields.items()))


@dataclass(frozen=True)
class Part:
    """What one thread computes of a call, as a call of the same kernel.

    Attributes:
        layer: its parameters; its constants are those of the whole layer.
        read: elements of the input before its own.
        written: elements of the output before its own.
        scratch: bytes of the call's scratch before its own.
    """

    layer: Struct
    read: int = 0
    written: int = 0
    scratch: int = 0


@dataclass(frozen=True)
class Call:
    """One call of a kernel.

    Attributes:
        function: the kernel, which is also the name of its file in ``runtime/``.
        layer: its parameters.
        inputs: read, in the order of the arguments.
        output: written.
        scratch: bytes of memory that it needs while it runs.
        distance: how many bytes the first input has to lie above the output so that nothing is overwritten before it
            has been read; ``None`` if the two must lie apart.
        parts: for threads, which compute them at the same time; empty for a call as it is.
    """

    function: str
    layer: Struct
    inputs: tuple[Tensor, ...]
    output: Tensor
    scratch: int = 0
    distance: int | None = None
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True)
class Layer:
    """One kernel call still to be placed: what the operators in ``kernels/`` make.

    Attributes:
        name: of the ONNX node that gives it its name.
        nodes: names of all ONNX nodes that it stands for.
        inputs: what it reads.
        output: what it writes.
    """

    name: str
    nodes: tuple[str, ...]
    inputs: tuple[Tensor, ...]
    output: Tensor

    def call(self) -> Call:
        """The kernel call."""
        raise NotImplementedError

    def absorb(self, later: Layer) -> Layer | None:
        """This layer with the only reader of its output built in; ``None`` where its kernel cannot."""
        del later
        return None

    def joined(self, later: Layer) -> dict[str, Any]:
        """The fields of the two as one layer."""
        return {"nodes": (*self.nodes, *later.nodes), "output": later.output}


@dataclass(frozen=True)
class Step:
    """A placed layer.

    Attributes:
        name: C identifier, unique in the program.
        nodes: names of the ONNX nodes.
        call: the kernel call.
    """

    name: str
    nodes: tuple[str, ...]
    call: Call


@dataclass(frozen=True)
class Program:
    """A network as kernel calls.

    Attributes:
        name: C identifier; prefix of all public names.
        inputs: from the caller, in the model's order.
        outputs: for the caller, in the model's order.
        steps: kernel calls in order.
    """

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    steps: tuple[Step, ...]

    @property
    def external(self) -> frozenset[str]:
        """Memory that the caller brings."""
        return frozenset(t.memory for t in (*self.inputs, *self.outputs))


def constants(name: str, value: Value) -> Iterator[tuple[str, Constant]]:
    """Every array in a value, each with a C identifier made from the path to it."""
    if isinstance(value, Constant):
        yield name, value
    elif isinstance(value, Struct):
        for field, inner in value.fields:
            yield from constants(f"{name}_{field}", inner)
    elif isinstance(value, StructArray):
        for index, item in enumerate(value.items):
            yield from constants(f"{name}_{index}", item)


def requantize_struct(made: Requantizer) -> Struct:
    """The C form of a requantizer."""

    def array(type_: str, values: tuple[int, ...], dtype: Any) -> Constant:
        return Constant(type_, np.array(values, dtype=dtype))

    return struct(
        "requantize_s8",
        kind=Symbol(made.kind.value),
        shift=made.shift,
        zero=made.zero,
        low=made.low,
        high=made.high,
        multipliers=array("int32_t", made.multipliers, np.int32),
        shifts=array("uint8_t", made.shifts, np.uint8) if made.shifts else None,
        table=array("int8_t", made.table, np.int8) if made.table is not None else None,
    )
