"""From the ONNX graph to layers: each node asks ``kernels/`` how it becomes a kernel call.

A node between DequantizeLinear and QuantizeLinear becomes an integer layer. Anything else is computed in float, where a
kernel exists; integers are turned into floats in front of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from toolchain.compile.names import Names
from toolchain.compile.program import Layer
from toolchain.compile.tensor import INT8_HIGH, INT8_LOW, Element, Quantization, Tensor, plane_of
from toolchain.errors import ShapeError, UnsupportedError
from toolchain.nodes import Step
from toolchain.ops.operator import Spec

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Fixed:
    """A constant.

    Attributes:
        name: the ONNX value.
        values: its numbers; integers of a quantized constant, less the zero point.
        scales: float32 scales of a quantized constant, exactly: one, or one an entry of ``axis``; else empty.
        axis: of the scales.
    """

    name: str
    values: Array
    scales: tuple[Fraction, ...] = ()
    axis: int = 0

    @property
    def floats(self) -> Array:
        """The real numbers, float64."""
        if not self.scales:
            return np.asarray(self.values, dtype=np.float64)
        shape = [1] * self.values.ndim
        if len(self.scales) > 1:
            shape[self.axis] = -1
        return np.asarray(self.values * np.array([float(s) for s in self.scales]).reshape(shape), dtype=np.float64)


Operand = Tensor | Fixed | None


@dataclass(frozen=True)
class Site:
    """A node at the moment when it is lowered.

    Attributes:
        step: the node with its parsed attributes.
        inputs: tensors, constants, or ``None`` for an input left out.
        output: what to make: its name, shape, element type and, for integers, quantization and clamps.
        nodes: names of the ONNX nodes that the layer stands for.
        names: what is in use.
    """

    step: Step
    inputs: tuple[Operand, ...]
    output: Tensor
    nodes: tuple[str, ...]
    names: Names = field(default_factory=Names)

    def fresh(self, what: str) -> str:
        """A name for a value between the inputs and the output."""
        return self.names.fresh(f"{self.output.name}_{what}")

    @property
    def attributes(self) -> Any:
        """What the operator's ``parse`` returned."""
        return self.step.attributes

    def tensor(self, index: int) -> Tensor:
        """An input that is computed.

        Raises:
            UnsupportedError: it is a constant, or left out.
        """
        value = self.inputs[index] if index < len(self.inputs) else None
        if not isinstance(value, Tensor):
            raise self.unsupported(f"input {index} is a constant", "there is a kernel for computed tensors only")
        return value

    def fixed(self, index: int, what: str) -> Fixed:
        """An input that is a constant.

        Raises:
            UnsupportedError: it is computed, or left out.
        """
        value = self.inputs[index] if index < len(self.inputs) else None
        if not isinstance(value, Fixed):
            raise self.unsupported(f"the {what} is computed by the model", "only constants have a kernel")
        return value

    def optional(self, index: int, what: str) -> Fixed | None:
        """A constant input that may be left out."""
        return self.fixed(index, what) if index < len(self.inputs) and self.inputs[index] is not None else None

    def unsupported(self, what: str, remedy: str) -> UnsupportedError:
        """An error that names the node."""
        return self.step.facts.unsupported(what, remedy)


Lowered = Layer | Tensor | tuple[Layer | Tensor, ...]
"""A layer, or a view (the same memory under another name), or several layers of which the last one, or a view of it,
is the result."""


@dataclass(frozen=True)
class Lowering:
    """How an operator becomes a kernel call.

    Attributes:
        op_type: of ai.onnx.
        integer: for quantized inputs and output; ``None`` if it has no integer kernel.
        real: for float inputs and output; ``None`` if it has no float kernel.
        any_order: it takes its inputs in any order of memory; else maps come channels-last.
    """

    op_type: str
    integer: Callable[[Site], Lowered] | None = None
    real: Callable[[Site], Lowered] | None = None
    any_order: bool = False


def finite(values: Array, site: Site, what: str) -> Array:
    """``values``, refused if one is NaN or infinite."""
    if not np.isfinite(values).all():
        raise site.unsupported(f"the {what} holds NaN or infinity", "repair the model")
    return values


def quantization(model_zero: Array | None, scale: Array, dtype: ir.DataType | None, where: str) -> Quantization:
    """Parameters of one scale for a whole tensor.

    Raises:
        UnsupportedError: another type than int8 and uint8, several scales, or one that is no positive number.
    """
    unsigned = dtype == ir.DataType.UINT8
    if dtype not in (ir.DataType.INT8, ir.DataType.UINT8):
        raise UnsupportedError(f"{where}: activations of type {dtype}; kernels exist for INT8 and UINT8")
    if scale.size != 1 or (model_zero is not None and model_zero.size != 1):
        raise UnsupportedError(f"{where}: activations with {scale.size} scales; quantize them per tensor")
    value = float(scale.reshape(()))
    if not np.isfinite(value) or value <= 0:
        raise UnsupportedError(f"{where}: the scale is {value}, expected a positive number; repair the model")
    zero = 0 if model_zero is None else int(model_zero.reshape(()))
    return Quantization(Fraction(value), zero - 128 if unsigned else zero, unsigned)


def one_sample(name: str, spec: Spec) -> None:
    """Refuse a graph input that holds several samples.

    Raises:
        ShapeError: it does.
    """
    if len(spec.shape) > 1 and spec.shape[0] != 1:
        raise ShapeError(
            f"tensor {name!r} has shape {list(spec.shape)}: C code computes one sample at a time; export with batch 1"
        )


def map_of(
    name: str, spec: Spec, quantized: Quantization | None = None, low: int = INT8_LOW, high: int = INT8_HIGH
) -> Tensor:
    """The tensor that a layer makes for an ONNX value: maps channels-last."""
    element = Element.FLOAT if quantized is None else Element.INT8
    return Tensor(name, element, spec.shape, plane_of(spec.shape), quantized, low, high)


def by_name(lowerings: Mapping[str, Lowering], step: Step) -> Lowering:
    """The lowering of a node.

    Raises:
        UnsupportedError: it has none; names what would help.
    """
    if step.facts.domain or step.facts.op_type not in lowerings:
        raise step.facts.unsupported(
            "there is no C kernel for this operator",
            f"rewrite the network with these: {', '.join(sorted(lowerings))}",
        )
    return lowerings[step.facts.op_type]
