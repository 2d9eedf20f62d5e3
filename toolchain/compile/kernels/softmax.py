"""Softmax: ``softmax_f32``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from toolchain.compile.lowering import Lowering, Site
from toolchain.compile.program import Call, Layer, struct


@dataclass(frozen=True)
class SoftmaxF32(Layer):
    """One ``softmax_f32``."""

    rows: int

    def call(self) -> Call:
        """Fields as in ``softmax_f32.h``."""
        layer = struct("softmax_f32_layer", rows=self.rows, columns=self.output.size // self.rows)
        return Call("softmax_f32", layer, self.inputs, self.output, distance=0)


def real(site: Site) -> Layer:
    """Along the axis whose elements lie side by side: the last one, or the channels of a map."""
    x, a = site.tensor(0), site.attributes
    axis = a.axis % len(x.shape)
    columns = prod(x.shape[axis:]) if a.flatten else x.shape[axis]
    beside = x.plane == 1 and prod(x.shape[axis:]) == columns
    if not beside and (a.flatten or axis != 1 or prod(x.shape[2:]) != x.plane):
        raise site.unsupported(
            f"axis {a.axis} of {list(x.shape)}", "there is a kernel for the last axis and for channels"
        )
    return SoftmaxF32(site.step.name, site.nodes, (x,), replace(site.output, plane=x.plane), x.size // columns)


LOWERINGS = (Lowering("Softmax", real=real),)
