"""ReduceMean, ReduceSum, ReduceMax and ReduceMin: ``reduce_f32``; int8 maps are pooled as a whole."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from toolchain.compile.kernels.activation import IDLE, Activation, UnaryF32
from toolchain.compile.kernels.pools import global_averagepool, global_maxpool
from toolchain.compile.kernels.softmax import rows_first
from toolchain.compile.kernels.strides import arranged
from toolchain.compile.lowering import Lowered, Lowering, Site
from toolchain.compile.program import Call, Layer, Symbol, struct
from toolchain.compile.tensor import plane_of

KINDS = {"ReduceMean": "MEAN", "ReduceSum": "SUM", "ReduceMax": "MAX", "ReduceMin": "MIN"}


@dataclass(frozen=True)
class ReduceF32(Layer):
    """One ``reduce_f32``."""

    kind: str
    rows: int
    activation: Activation = IDLE

    def call(self) -> Call:
        """Fields as in ``reduce_f32.h``."""
        layer = struct(
            "reduce_f32_layer",
            kind=Symbol(f"REDUCE_{self.kind}"),
            rows=self.rows,
            columns=self.inputs[0].size // self.rows,
            activation=self.activation.struct(),
        )
        return Call("reduce_f32", layer, self.inputs, self.output)

    def absorb(self, later: Layer) -> Layer | None:
        """An activation."""
        if not isinstance(later, UnaryF32) or not self.activation.idle:
            return None
        return replace(self, activation=later.activation, **self.joined(later))


def axes_of(site: Site) -> tuple[int, ...]:
    """The axes to reduce, all where none are given."""
    rank = len(site.tensor(0).shape)
    given = site.optional(1, "list of axes")
    stated = site.attributes.axes if given is None else tuple(int(a) for a in given.values.reshape(-1))
    if not stated:
        return () if site.attributes.noop else tuple(range(rank))
    return tuple(sorted(axis % rank for axis in stated))


def real(site: Site) -> Lowered:
    """Float tensors, along any axes."""
    axes = axes_of(site)
    given = site.tensor(0)
    layers, x, turned = rows_first(site, given, axes)
    rows = x.size // prod([given.shape[axis] for axis in axes])
    # What is left lies in the input's order without the reduced axes: its plane is what remains of the plane.
    y = site.output
    plane = 1 if turned else _plane(x.shape, x.plane, axes)
    layer = ReduceF32(site.step.name, site.nodes, (x,), replace(y, plane=plane), KINDS[site.step.facts.op_type], rows)
    return (*layers, layer)


def _plane(shape: tuple[int, ...], plane: int, axes: tuple[int, ...]) -> int:
    """Positions that are left of a plane when some of its axes are gone."""
    left = plane
    for axis in axes:
        if prod(shape[axis:]) <= plane:
            left //= shape[axis]
    return left


def integer(site: Site) -> Lowered:
    """Quantized maps, along all spatial axes.

    Raises:
        UnsupportedError: along others.
    """
    x = site.tensor(0)
    rank = len(x.shape)
    if axes_of(site) != tuple(range(2, rank)) or rank not in (3, 4):
        raise site.unsupported(
            f"axes {list(axes_of(site))} of {list(x.shape)}", "there is an integer kernel for all spatial axes of maps"
        )
    op_type = site.step.facts.op_type
    if op_type not in ("ReduceMean", "ReduceMax"):
        raise site.unsupported("there is no integer kernel for it", "leave it in float (--exclude)")
    before, x = arranged(site, x, plane_of(x.shape))
    wide = (*x.shape[:2], *(1,) * (rank - 2))
    pool = global_averagepool if op_type == "ReduceMean" else global_maxpool
    made = pool(replace(site, inputs=(x,), output=replace(site.output, shape=wide)))
    return (*before, replace(made, output=replace(made.output, shape=site.output.shape)))


LOWERINGS = tuple(
    Lowering(op_type, integer if op_type in ("ReduceMean", "ReduceMax") else None, real, any_order=True)
    for op_type in KINDS
)
