"""Operators on two tensors whose shapes are broadcast: ``broadcast_f32``, ``broadcast_constant_f32``, ``mul_s8``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

import numpy as np

from toolchain.compile.kernels.activation import IDLE, Activation, UnaryF32
from toolchain.compile.kernels.strides import Axis, Layers, arranged, broadcast_axes, split_of, strides
from toolchain.compile.kernels.unary import TableS8
from toolchain.compile.lowering import Fixed, Lowered, Site, finite
from toolchain.compile.program import Call, Constant, Layer, Struct, Symbol, Value, requantize_struct, struct
from toolchain.compile.requantize import Requantizer, Target, requantizer
from toolchain.compile.tensor import Tensor, plane_of

AXES = 4
KINDS = {
    "Add": "ADD", "Sum": "ADD", "Sub": "SUB", "Mul": "MUL", "Div": "DIV", "Min": "MIN", "Max": "MAX", "Pow": "POW",
    "PRelu": "PRELU",
}  # fmt: skip


def shape_struct(axes: tuple[Axis, ...]) -> Struct:
    """The ``broadcast_shape`` of ``broadcast.h``."""
    padded = (Axis(1, (0, 0)),) * (AXES - len(axes)) + axes
    fields: dict[str, Value] = {}
    for prefix, values in (
        ("size", [axis.size for axis in padded]),
        ("a", [axis.strides[0] for axis in padded]),
        ("b", [axis.strides[1] for axis in padded]),
    ):
        fields |= {f"{prefix}_{i}": value for i, value in enumerate(values)}
    return struct("broadcast_shape", **fields)


@dataclass(frozen=True)
class Operands:
    """Two operands in orders of memory that fit.

    Attributes:
        layers: that bring them there.
        tensors: the computed ones.
        output: the result, in the order of the larger operand.
        axes: over which the kernel runs.
    """

    layers: Layers
    tensors: tuple[Tensor, ...]
    output: Tensor
    axes: tuple[Axis, ...]

    @property
    def distance(self) -> int | None:
        """Zero where the result may take the place of the first operand, element by element."""
        behind = 1
        for axis in reversed(self.axes):
            if axis.strides[0] != behind:
                return None
            behind *= axis.size
        return 0 if behind == self.output.size == self.tensors[0].size else None


def operands(site: Site) -> Operands:
    """Bring the inputs into orders that one walk through memory serves."""
    layers: list[Layer] = []
    tensors: dict[int, Tensor] = {}
    for index, value in enumerate(site.inputs[:2]):
        if isinstance(value, Tensor):
            before, tensors[index] = arranged(site, value)
            layers += before
    wide = max(tensors.values(), key=lambda x: (len(x.shape) == len(site.output.shape), x.size, x.plane))
    output = replace(site.output, plane=_plane(wide, site.output))
    forms = []
    for index in range(2):
        value = site.inputs[index]
        if isinstance(value, Fixed):
            shape = tuple(int(n) for n in value.values.shape)
            forms.append((shape, tuple(prod(shape[i + 1 :]) for i in range(len(shape)))))
        else:
            found = strides(tensors[index])
            forms.append((tensors[index].shape, () if found is None else found))
    axes = broadcast_axes(output, forms)
    if len(axes) > AXES:
        raise site.unsupported(f"shapes {[list(shape) for shape, _ in forms]} that repeat along many axes",
                               f"there is a kernel for {AXES} axes")  # fmt: skip
    return Operands(tuple(layers), tuple(tensors.values()), output, axes)


def _plane(x: Tensor, y: Tensor) -> int:
    """Of the result: its border between plane and channels is where the larger operand has it."""
    split = split_of(x.shape, x.plane)
    if x.shape == y.shape:
        return x.plane
    if x.plane == 1 or split is None:
        return plane_of(y.shape) if len(y.shape) in (3, 4) else 1
    return prod(y.shape[len(y.shape) - (len(x.shape) - split) :])


@dataclass(frozen=True)
class BroadcastF32(Layer):
    """One ``broadcast_f32``."""

    kind: str
    axes: tuple[Axis, ...]
    distance: int | None
    activation: Activation = IDLE

    def fields(self) -> Struct:
        """The ``broadcast_f32_layer``."""
        return struct(
            "broadcast_f32_layer",
            shape=shape_struct(self.axes),
            kind=Symbol(f"BROADCAST_{self.kind}"),
            activation=self.activation.struct(),
        )

    def call(self) -> Call:
        """Fields as in ``broadcast_f32.h``."""
        return Call("broadcast_f32", self.fields(), self.inputs, self.output, distance=self.distance)

    def absorb(self, later: Layer) -> Layer | None:
        """An activation."""
        if not isinstance(later, UnaryF32) or not self.activation.idle:
            return None
        return replace(self, activation=later.activation, **self.joined(later))


@dataclass(frozen=True)
class BroadcastConstantF32(BroadcastF32):
    """One ``broadcast_constant_f32``.

    Attributes:
        values: of the constant operand.
        first: it is the left one.
    """

    values: Constant | None = None
    first: bool = False

    def call(self) -> Call:
        """Fields as in ``broadcast_constant_f32.h``."""
        layer = struct(
            "broadcast_constant_f32_layer", operation=self.fields(), values=self.values, first=int(self.first)
        )
        return Call("broadcast_constant_f32", layer, self.inputs, self.output, distance=self.distance)


def real(site: Site) -> Lowered:
    """Two float tensors, or one and a constant, of any shapes that broadcast."""
    made = operands(site)
    kind = KINDS[site.step.facts.op_type]
    name, nodes = site.step.name, site.nodes
    if len(made.tensors) == 2:
        layer: Layer = BroadcastF32(name, nodes, made.tensors, made.output, kind, made.axes, made.distance)
        return (*made.layers, layer)
    first = isinstance(site.inputs[0], Fixed)
    constant = site.fixed(0 if first else 1, "other operand")
    values = Constant("float", finite(constant.floats, site, "constant").astype(np.float32).ravel())
    apart = None if first else made.distance
    layer = BroadcastConstantF32(
        name, nodes, made.tensors, made.output, kind, made.axes, apart, values=values, first=first
    )
    return (*made.layers, layer)


@dataclass(frozen=True)
class MulS8(Layer):
    """One ``mul_s8``: an exact product of two values less their zero points, rounded once."""

    axes: tuple[Axis, ...]
    zeros: tuple[int, int]
    requantizer: Requantizer
    distance: int | None

    def call(self) -> Call:
        """Fields as in ``mul_s8.h``."""
        layer = struct(
            "mul_s8_layer",
            shape=shape_struct(self.axes),
            zero_a=self.zeros[0],
            zero_b=self.zeros[1],
            output=requantize_struct(self.requantizer),
        )
        return Call("mul_s8", layer, self.inputs, self.output, distance=self.distance)

    def absorb(self, later: Layer) -> Layer | None:
        """A table."""
        if not isinstance(later, TableS8):
            return None
        return replace(self, requantizer=self.requantizer.mapped(later.table), **self.joined(later))


def product(site: Site) -> Lowered:
    """Mul of two quantized tensors."""
    made = operands(site)
    a, b = made.tensors
    y = made.output
    corners = [(v - a.quantized.zero) * (w - b.quantized.zero) for v in (a.low, a.high) for w in (b.low, b.high)]
    ratio = a.quantized.scale * b.quantized.scale / y.quantized.scale
    rounding = requantizer([Target(ratio, min(corners), max(corners))], y.quantized.zero, y.low, y.high)
    zeros = a.quantized.zero, b.quantized.zero
    layer = MulS8(site.step.name, site.nodes, (a, b), y, made.axes, zeros, rounding, made.distance)
    return (*made.layers, layer)
