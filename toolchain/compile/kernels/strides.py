"""Where the elements of a tensor lie in memory, axis by axis, and how a kernel gets the order that it needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

from toolchain.compile.functions import identity
from toolchain.compile.kernels.reorder import Reorder
from toolchain.compile.kernels.unary import tabulated
from toolchain.compile.lowering import Site
from toolchain.compile.program import Layer
from toolchain.compile.tensor import Tensor

Layers = tuple[Layer, ...]


def split_of(shape: Sequence[int], plane: int) -> int | None:
    """The first of the axes that make up the plane; ``None`` where the plane's border lies within an axis."""
    if plane == 1:
        return len(shape)
    size = 1
    for index in range(len(shape) - 1, -1, -1):
        size *= shape[index]
        if size == plane:
            return index
    return None


def strides(x: Tensor) -> tuple[int, ...] | None:
    """Elements from one index to the next along each axis; ``None`` where the layout gives an axis no single stride."""
    split = split_of(x.shape, x.plane)
    if split is None:
        return None
    inside = [prod(x.shape[i + 1 :]) * x.channels for i in range(split, len(x.shape))]
    return (*(prod(x.shape[i + 1 : split]) for i in range(split)), *inside)


def order(x: Tensor) -> tuple[int, ...]:
    """The axes from the outermost in memory to the innermost: those of the plane, then the channels.

    Raises:
        ValueError: the layout cuts an axis.
    """
    split = split_of(x.shape, x.plane)
    if split is None:
        raise ValueError(f"tensor {x.name!r}: plane {x.plane} cuts an axis of {x.shape}")
    return (*range(split, len(x.shape)), *range(split))


def same_order(x: Tensor, plane: int) -> bool:
    """Whether another plane means the same places in memory."""
    return x.plane == plane or {x.plane, plane} <= {1, x.size}


def arranged(site: Site, x: Tensor, plane: int | None = None) -> tuple[Layers, Tensor]:
    """A tensor in the order that a kernel takes.

    Args:
        site: gives names.
        x: the tensor.
        plane: what is wanted; ``None`` for any order that gives every axis a stride.

    Returns:
        Layers that bring it there, none where it is; the tensor.
    """
    if plane is None:
        return ((), x) if strides(x) is not None else arranged(site, x, 1)
    if same_order(x, plane):
        return (), replace(x, plane=plane, buffer=x.memory)
    made: list[Layer] = []
    for step, target in enumerate(target for target in (1, plane) if target != x.plane):
        y = replace(x, name=site.fresh(f"of_{x.name}_{step}"), plane=target, buffer="")
        made.append(Reorder(f"{site.step.name}_order_{step}_{x.name}", (), (x,), y))
        x = y
        if target == plane:
            break
    return tuple(made), x


def requantized(site: Site, x: Tensor, index: int = 0) -> tuple[Layers, Tensor]:
    """A quantized tensor at the scale of the node's result, within its clamps: through a table where it is not yet."""
    y = site.output
    if x.quantized == y.quantized and y.low <= x.low and x.high <= y.high:
        return (), x
    scaled = replace(y, name=site.fresh(f"scaled_{index}"), shape=x.shape)
    table = tabulated(replace(site, inputs=(x,), output=scaled), identity)
    made = replace(table, name=f"{site.step.name}_scaled_{index}", nodes=())
    return (made,), made.output


@dataclass(frozen=True)
class Axis:
    """One axis of a result, in memory's order.

    Attributes:
        size: indices.
        strides: of each operand: elements from one index to the next, 0 where it is repeated.
    """

    size: int
    strides: tuple[int, ...]


def broadcast_axes(y: Tensor, operands: Sequence[tuple[tuple[int, ...], tuple[int, ...]]]) -> tuple[Axis, ...]:
    """The axes over which a kernel runs, as few as possible.

    Args:
        y: the result; its order in memory is the order of the axes.
        operands: shape and strides of each, broadcast from the right.
    """
    aligned = []
    for shape, own in operands:
        missing = len(y.shape) - len(shape)
        sizes, steps = (1,) * missing + tuple(shape), (0,) * missing + tuple(own)
        aligned.append(tuple(0 if size == 1 else step for size, step in zip(sizes, steps, strict=True)))
    found: list[Axis] = []
    for index in order(y):
        axis = Axis(y.shape[index], tuple(own[index] for own in aligned))
        if axis.size == 1:
            continue
        outer = found[-1] if found else None
        if outer is not None and outer.strides == tuple(axis.size * step for step in axis.strides):
            found[-1] = Axis(outer.size * axis.size, axis.strides)
        else:
            found.append(axis)
    return tuple(found)
