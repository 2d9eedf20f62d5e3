"""Functions of one quantized value that differ from channel to channel: ``tables_s8``.

A bias or a factor a channel, PRelu, and a BatchNormalization that stands alone. Channels with the same parameters
share a table.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import prod

import numpy as np

from toolchain.compile.functions import Function, table
from toolchain.compile.kernels.activation import Activation, UnaryF32
from toolchain.compile.kernels.broadcast import real as broadcast
from toolchain.compile.kernels.strides import arranged, strides
from toolchain.compile.kernels.unary import TableS8, tabulated
from toolchain.compile.lowering import Fixed, Lowered, Lowering, Site
from toolchain.compile.program import Call, Constant, Layer, struct
from toolchain.compile.tensor import Tensor

MOST = 65_536
"""Channels that a 16-bit number tells apart."""


@dataclass(frozen=True)
class TablesS8(Layer):
    """One ``tables_s8``.

    Attributes:
        tables: 256 entries each, indexed by value + 128.
        which: for each channel, its table.
        repeat: elements side by side that belong to one channel.
    """

    tables: tuple[tuple[int, ...], ...]
    which: tuple[int, ...]
    repeat: int

    def call(self) -> Call:
        """Fields as in ``tables_s8.h``."""
        layer = struct(
            "tables_s8_layer",
            count=self.output.size,
            channels=len(self.which),
            repeat=self.repeat,
            which=Constant("uint16_t", np.array(self.which, dtype=np.uint16)),
            tables=Constant("int8_t", np.array(self.tables, dtype=np.int8).ravel()),
        )
        return Call("tables_s8", layer, self.inputs, self.output, distance=0)

    def absorb(self, later: Layer) -> Layer | None:
        """A table."""
        if not isinstance(later, TableS8):
            return None
        mapped = tuple(tuple(later.table[v + 128] for v in own) for own in self.tables)
        return replace(self, tables=mapped, **self.joined(later))


def axis_of(site: Site, shape: Sequence[int], x: Tensor) -> int:
    """The only axis of the input along which a constant of a shape changes.

    Raises:
        UnsupportedError: it changes along several, or makes the input larger.
    """
    own = (1,) * (len(x.shape) - len(shape)) + tuple(int(n) for n in shape)
    axes = [axis for axis, size in enumerate(own) if size != 1]
    if len(own) > len(x.shape) or len(axes) != 1 or any(own[axis] != x.shape[axis] for axis in axes):
        raise site.unsupported(
            f"a constant of shape {list(shape)} beside {list(x.shape)}",
            "there are integer kernels for one value, for one a channel, and for two tensors",
        )
    return axes[0]


def channelwise(site: Site, axis: int, keys: Sequence[Hashable], functions: Sequence[Function]) -> Lowered:
    """A function for each index of an axis; equal keys mean equal functions."""
    before, x = arranged(site, site.tensor(0))
    steps, y = strides(x), site.output
    if steps is None or len(set(keys)) > MOST:
        raise site.unsupported(f"{len(set(keys))} different channels", f"there is a kernel for {MOST}")
    rows: dict[Hashable, int] = {}
    tables: list[tuple[int, ...]] = []
    for key, function in zip(keys, functions, strict=True):
        if key not in rows:
            entries = table(function, x.quantized, y.quantized)
            clamped = tuple(min(max(v, y.low), y.high) for v in entries)
            known = next((i for i, other in enumerate(tables) if other == clamped), len(tables))
            rows[key] = known
            if known == len(tables):
                tables.append(clamped)
    which = tuple(rows[key] for key in keys)
    reached = [v for entries in tables for v in entries[x.low + 128 : x.high + 129]]
    output = replace(y, plane=x.plane, low=min(reached), high=max(reached))
    layer = TablesS8(site.step.name, site.nodes, (x,), output, tuple(tables), which, steps[axis])
    return (*before, layer)


def by_channel(site: Site, constant: Fixed, function: Callable[[Fraction], Function]) -> Lowered:
    """A function of the first input with a parameter that is one constant, or one a channel."""
    x = site.tensor(0)
    numbers = exact_values(constant)
    if len(numbers) == 1:
        if prod(site.output.shape) != x.size:
            raise site.unsupported("a constant with more axes than the tensor", "reshape it")
        return _reshaped(tabulated(site, function(numbers[0])), site.output.shape)
    axis = axis_of(site, constant.values.shape, x)
    return channelwise(site, axis, numbers, [function(number) for number in numbers])


def _reshaped(made: TableS8, shape: tuple[int, ...]) -> TableS8:
    return replace(made, output=replace(made.output, shape=shape))


def exact_values(constant: Fixed) -> list[Fraction]:
    """The real numbers of a constant, in ONNX's order."""
    flat = [Fraction(v.item()) for v in constant.values.reshape(-1)]
    if not constant.scales:
        return flat
    if len(constant.scales) == 1:
        return [v * constant.scales[0] for v in flat]
    shape = [-1 if i == constant.axis else 1 for i in range(constant.values.ndim)]
    index = np.broadcast_to(np.arange(len(constant.scales)).reshape(shape), constant.values.shape).reshape(-1)
    return [v * constant.scales[int(i)] for v, i in zip(flat, index, strict=True)]


def _slope(site: Site) -> Fixed:
    """The slopes of a PRelu, in a shape that broadcasts; version 1 has a list of channels."""
    slope, x = site.fixed(1, "slope"), site.tensor(0)
    if site.attributes.by_channel and slope.values.ndim == 1 and len(x.shape) > 1 and slope.values.size > 1:
        shape = (-1, *(1,) * (len(x.shape) - 2))
        return replace(slope, values=slope.values.reshape(shape), axis=0)
    return slope


def prelu(site: Site) -> Lowered:
    """PRelu of a quantized tensor."""

    def function(slope: Fraction) -> Function:
        return lambda x: x if x >= 0 else slope * x

    return by_channel(site, _slope(site), function)


def real_prelu(site: Site) -> Lowered:
    """PRelu of a float tensor; with one slope, LeakyRelu."""
    if not isinstance(site.inputs[1], Fixed):
        return broadcast(site)
    slope = _slope(site)
    if slope.values.size == 1:
        x = site.tensor(0)
        leaky = Activation("LEAKY", float(np.float32(slope.floats.reshape(-1)[0])))
        return UnaryF32(site.step.name, site.nodes, (x,), replace(site.output, plane=x.plane), leaky)
    return broadcast(replace(site, inputs=(site.inputs[0], slope)))


LOWERINGS = (Lowering("PRelu", prelu, real_prelu, any_order=True),)
