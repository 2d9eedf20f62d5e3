"""Concat: ``concat_s8``, ``concat_f32``; more than two tensors go two by two."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from toolchain.compile.functions import identity
from toolchain.compile.kernels.unary import tabulated
from toolchain.compile.lowering import Lowered, Lowering, Site
from toolchain.compile.program import Call, Layer, struct
from toolchain.compile.tensor import Element, Tensor


@dataclass(frozen=True)
class Concat(Layer):
    """One ``concat_s8`` or ``concat_f32``."""

    rows: int

    def call(self) -> Call:
        """Fields as in ``concat_s8.h``."""
        kind = "f32" if self.output.element is Element.FLOAT else "s8"
        a, b = (tensor.size // self.rows for tensor in self.inputs)
        layer = struct(f"concat_{kind}_layer", rows=self.rows, columns_a=a, columns_b=b)
        return Call(f"concat_{kind}", layer, self.inputs, self.output)


def integer(site: Site) -> Lowered:
    """Quantized tensors; those of another scale than the result's go through a table first."""
    made: list[Layer] = []
    parts = []
    for index in range(len(site.inputs)):
        x = site.tensor(index)
        inside = site.output.low <= x.low and x.high <= site.output.high
        if x.quantized != site.output.quantized or not inside:
            part = replace(site.output, name=f"{site.output.name}_{index}", shape=x.shape)
            table = tabulated(replace(site, inputs=(x,), output=part), identity)
            made.append(replace(table, name=f"{site.step.name}_{index}", nodes=()))
            x = table.output
        parts.append(x)
    return (*made, *_chain(site, parts))


def real(site: Site) -> Lowered:
    """Float tensors."""
    return _chain(site, [site.tensor(index) for index in range(len(site.inputs))])


def _chain(site: Site, parts: list[Tensor]) -> tuple[Layer, ...]:
    axis = int(site.attributes) % len(site.output.shape)
    y = site.output
    planes = {part.plane for part in parts if part.size > part.plane and len(part.shape) > 2}
    rows = prod(y.shape[:axis])
    if y.plane > 1 or len(planes) > 1:
        if axis != 1 or any(prod(part.shape[2:]) != y.plane for part in parts):
            raise site.unsupported(f"axis {axis} of maps", "there is a kernel for the channels")
        rows = y.plane
    if len(parts) < 2:
        raise site.unsupported("a single input", "take the node out")
    made: list[Layer] = []
    left = parts[0]
    for index, right in enumerate(parts[1:], 1):
        last = index == len(parts) - 1
        shape = (*y.shape[:axis], left.shape[axis] + right.shape[axis], *y.shape[axis + 1 :])
        part = y if last else replace(y, name=f"{y.name}_upto_{index}", shape=shape)
        name = site.step.name if last else f"{site.step.name}_upto_{index}"
        made.append(Concat(name, site.nodes if last else (), (left, right), part, rows))
        left = part
    return tuple(made)


LOWERINGS = (Lowering("Concat", integer, real),)
