"""Functions of one element: ``table_s8``, ``unary_f32``."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from toolchain.compile.functions import Function, clip, of_operator, table
from toolchain.compile.kernels.activation import real
from toolchain.compile.kernels.bounds import bounds
from toolchain.compile.lowering import Lowered, Lowering, Site
from toolchain.compile.program import Call, Constant, Layer, struct

UNARY = ("Relu", "Tanh", "Sigmoid", "LeakyRelu", "Elu", "HardSigmoid", "HardSwish")


@dataclass(frozen=True)
class TableS8(Layer):
    """One ``table_s8``: 256 entries, indexed by value + 128."""

    table: tuple[int, ...]

    def call(self) -> Call:
        """Fields as in ``table_s8.h``."""
        entries = Constant("int8_t", np.array(self.table, dtype=np.int8))
        layer = struct("table_s8_layer", count=self.output.size, table=entries)
        return Call("table_s8", layer, self.inputs, self.output, distance=0)

    def absorb(self, later: Layer) -> Layer | None:
        """Another table."""
        if not isinstance(later, TableS8):
            return None
        return replace(self, table=tuple(later.table[v + 128] for v in self.table), **self.joined(later))


def tabulated(site: Site, function: Function) -> TableS8:
    """A function of the only computed input, saturated at the output's clamps."""
    x, y = site.tensor(0), site.output
    entries = tuple(min(max(v, y.low), y.high) for v in table(function, x.quantized, y.quantized))
    reached = entries[x.low + 128 : x.high + 129]
    output = replace(y, plane=x.plane, low=min(reached), high=max(reached))
    return TableS8(site.step.name, site.nodes, (x,), output, entries)


def integer(site: Site) -> Lowered:
    """A node of :data:`UNARY`."""
    function = of_operator(site.step.facts.op_type, site.attributes)
    if function is None:
        raise site.unsupported("there is no table for this operator", "leave it in float (--exclude)")
    return tabulated(site, function)


def integer_clip(site: Site) -> Lowered:
    """Clip."""
    return tabulated(site, clip(*bounds(site)))


LOWERINGS = (
    *(Lowering(op_type, integer, real, any_order=True) for op_type in UNARY),
    Lowering("Clip", integer_clip, real, any_order=True),
)
