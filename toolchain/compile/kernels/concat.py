"""Concat: ``concat_s8``, ``concat_f32``; more than two tensors go two by two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

from toolchain.compile.kernels.strides import arranged, order, requantized, same_order, split_of
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
        before, x = requantized(site, site.tensor(index), index)
        made += before
        parts.append(x)
    return _chain(site, made, parts)


def real(site: Site) -> Lowered:
    """Float tensors."""
    return _chain(site, [], [site.tensor(index) for index in range(len(site.inputs))])


def _border(parts: Sequence[Tensor]) -> int:
    """The first axis of the plane, for all parts: theirs where they agree, else that of maps."""
    rank = len(parts[0].shape)
    splits = {split_of(part.shape, part.plane) for part in parts if not same_order(part, 1)}
    split = splits.pop() if len(splits) == 1 else None
    if split is not None:
        return split
    return 2 if splits and rank in (3, 4) else rank


def _chain(site: Site, made: list[Layer], parts: list[Tensor]) -> Lowered:
    axis = int(site.attributes) % len(site.output.shape)
    split = _border(parts)
    for index, part in enumerate(parts):
        before, parts[index] = arranged(site, part, prod(part.shape[split:]))
        made += before
    y = replace(site.output, plane=prod(site.output.shape[split:]))
    places = order(y) if y.plane > 1 else tuple(range(len(y.shape)))
    rows = prod(y.shape[place] for place in places[: places.index(axis)])
    if len(parts) < 2:
        return (*made, replace(parts[0], name=y.name, buffer=parts[0].memory))
    left = parts[0]
    for index, right in enumerate(parts[1:], 1):
        last = index == len(parts) - 1
        shape = (*y.shape[:axis], left.shape[axis] + right.shape[axis], *y.shape[axis + 1 :])
        part = replace(y, name=y.name if last else site.fresh(f"upto_{index}"), shape=shape, plane=prod(shape[split:]))
        name = site.step.name if last else f"{site.step.name}_upto_{index}"
        made.append(Concat(name, site.nodes if last else (), (left, right), part, rows))
        left = part
    return tuple(made)


LOWERINGS = (Lowering("Concat", integer, real, any_order=True),)
