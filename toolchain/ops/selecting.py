"""Slice, Split, Gather, GatherElements, Expand, Tile: https://onnx.ai/onnx/operators/."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from toolchain.ops.attributes import integer, integers, nothing
from toolchain.ops.moving import moving
from toolchain.ops.operator import Array, Inputs, NodeFacts, Spec, optional, required
from toolchain.ops.shaping import axes_of, axis_of, broadcast, constant


def _content(inputs: Sequence[Spec | None], index: int, what: str) -> Array | None:
    spec = optional(inputs, index)
    return None if spec is None else constant(spec, what)


@dataclass(frozen=True)
class Slice:
    """Attributes of version 1; later versions take inputs."""

    starts: tuple[int, ...] | None
    ends: tuple[int, ...] | None
    axes: tuple[int, ...] | None


def _slice_parse(facts: NodeFacts) -> Slice:
    return Slice(integers(facts, "starts"), integers(facts, "ends"), integers(facts, "axes"))


def slices(node: Slice, shape: tuple[int, ...], rest: Sequence[Array | None]) -> tuple[slice, ...]:
    """One slice an axis: bounds count from the end where negative, and are clamped to the dimension.

    Args:
        node: attributes.
        shape: of the input.
        rest: starts, ends, axes and steps, as far as they are inputs.

    Raises:
        ValueError: their lengths differ, or a step is zero.
    """
    starts, ends, axes, steps = (
        default if optional(rest, i) is None else [int(v) for v in required(rest, i).reshape(-1)]
        for i, default in enumerate((node.starts, node.ends, node.axes, None))
    )
    if starts is None or ends is None:
        raise ValueError("starts or ends are missing")
    places = axes_of(range(len(starts)) if axes is None else axes, len(shape))
    strides = [1] * len(starts) if steps is None else list(steps)
    if not len(starts) == len(ends) == len(places) == len(strides):
        raise ValueError(f"{len(starts)} starts, {len(ends)} ends, {len(places)} axes, {len(strides)} steps")
    if 0 in strides:
        raise ValueError("a step is 0")
    chosen = [slice(None)] * len(shape)
    for place, start, end, step in zip(places, starts, ends, strides, strict=True):
        size = shape[place]
        begin, stop = (v + size if v < 0 else v for v in (start, end))
        if step > 0:
            chosen[place] = slice(min(max(begin, 0), size), min(max(stop, 0), size), step)
        else:
            last = min(max(stop, -1), size - 1)
            chosen[place] = slice(min(max(begin, 0), size - 1), None if last < 0 else last, step)
        if not size:
            chosen[place] = slice(0, 0)
    return tuple(chosen)


def slice_(node: Slice, inputs: Inputs) -> tuple[Array, ...]:
    """A range of indices along some axes."""
    x = required(inputs, 0)
    return (x[slices(node, x.shape, inputs[1:])],)


def _slice_infer(node: Slice, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    x = required(inputs, 0)
    rest = [_content(inputs, i, "a bound") for i in range(1, len(inputs))]
    chosen = slices(node, x.shape, rest)
    shape = tuple(len(range(*s.indices(d))) for s, d in zip(chosen, x.shape, strict=True))
    return (Spec(x.dtype, shape),)


@dataclass(frozen=True)
class Split:
    """Attributes of Split; sizes are an attribute before version 13 and an input after."""

    axis: int
    sizes: tuple[int, ...] | None
    parts: int


def _split_parse(facts: NodeFacts) -> Split:
    parts = integer(facts, "num_outputs", facts.outputs)
    if parts < 1:
        raise facts.unsupported(f"num_outputs is {parts}", "expected a positive number")
    return Split(integer(facts, "axis", 0), integers(facts, "split"), parts)


def split_sizes(node: Split, size: int, given: Array | None) -> tuple[int, ...]:
    """Sizes along the axis: as given, else equal parts rounded up with a smaller last one.

    Raises:
        ValueError: they do not add up.
    """
    stated = node.sizes if given is None else tuple(int(v) for v in given.reshape(-1))
    if not stated:
        part = -(-size // node.parts)
        stated = (*(part,) * (node.parts - 1), size - part * (node.parts - 1))
    if sum(stated) != size or min(stated) < 0:
        raise ValueError(f"cannot split a dimension of {size} into {list(stated)}")
    return stated


def split(node: Split, inputs: Inputs) -> tuple[Array, ...]:
    """Consecutive parts along an axis."""
    x = required(inputs, 0)
    axis = axis_of(node.axis, x.ndim)
    sizes = split_sizes(node, x.shape[axis], optional(inputs, 1))
    return tuple(np.split(x, np.cumsum(sizes)[:-1], axis))


def _split_infer(node: Split, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    x = required(inputs, 0)
    axis = axis_of(node.axis, len(x.shape))
    sizes = split_sizes(node, x.shape[axis], _content(inputs, 1, "the list of sizes"))
    return tuple(Spec(x.dtype, (*x.shape[:axis], size, *x.shape[axis + 1 :])) for size in sizes)


def _axis_parse(facts: NodeFacts) -> int:
    return integer(facts, "axis", 0)


def _indices(indices: Array, size: int) -> Array:
    if ((indices < -size) | (indices >= size)).any():
        raise ValueError(f"an index is outside [{-size}, {size - 1}]")
    return np.where(indices < 0, indices + size, indices)


def gather(axis: int, inputs: Inputs) -> tuple[Array, ...]:
    """Entries of an axis in the order of the indices; a negative index counts from the end."""
    x, indices = required(inputs, 0), required(inputs, 1)
    at = axis_of(axis, x.ndim)
    return (np.asarray(np.take(x, _indices(indices, x.shape[at]), axis=at)),)


def _gather_infer(axis: int, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    x, indices = required(inputs, 0), required(inputs, 1)
    at = axis_of(axis, len(x.shape))
    return (Spec(x.dtype, (*x.shape[:at], *indices.shape, *x.shape[at + 1 :])),)


def gather_elements(axis: int, inputs: Inputs) -> tuple[Array, ...]:
    """For each index the entry at that place of an axis, elsewhere at the index's own coordinates."""
    x, indices = required(inputs, 0), required(inputs, 1)
    at = axis_of(axis, x.ndim)
    window = tuple(slice(None) if i == at else slice(d) for i, d in enumerate(indices.shape))
    return (np.take_along_axis(x[window], _indices(indices, x.shape[at]), axis=at),)


def _gather_elements_infer(axis: int, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    return (Spec(required(inputs, 0).dtype, required(inputs, 1).shape),)


def expand(node: None, inputs: Inputs) -> tuple[Array, ...]:
    """The input broadcast with a shape."""
    x = required(inputs, 0)
    shape = broadcast(x.shape, tuple(int(d) for d in required(inputs, 1)))
    return (np.broadcast_to(x, shape),)


def _expand_infer(node: None, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    x = required(inputs, 0)
    wanted = constant(required(inputs, 1), "the shape")
    return (Spec(x.dtype, broadcast(x.shape, tuple(int(d) for d in wanted))),)


def _tile_parse(facts: NodeFacts) -> bool:
    """Whether this is version 1: one axis, given as the third input."""
    return facts.version < 6


def _repeats(along_axis: bool, rank: int, rest: Sequence[Array | None]) -> tuple[int, ...]:
    counts = [int(v) for v in required(rest, 0).reshape(-1)]
    if along_axis:
        at = axis_of(int(required(rest, 1).reshape(())), rank)
        counts = [counts[0] if i == at else 1 for i in range(rank)]
    if len(counts) != rank or any(c < 0 for c in counts):
        raise ValueError(f"repeats are {counts}; expected {rank} numbers, none negative")
    return tuple(counts)


def tile(along_axis: bool, inputs: Inputs) -> tuple[Array, ...]:
    """The input repeated along each axis."""
    x = required(inputs, 0)
    return (np.tile(x, _repeats(along_axis, x.ndim, inputs[1:])),)


def _tile_infer(along_axis: bool, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    x = required(inputs, 0)
    rest = [_content(inputs, i, "the number of repeats") for i in range(1, len(inputs))]
    counts = _repeats(along_axis, len(x.shape), rest)
    return (Spec(x.dtype, tuple(d * c for d, c in zip(x.shape, counts, strict=True))),)


OPERATORS = (
    moving("Slice", {1, 10, 11, 13}, _slice_parse, slice_, _slice_infer),
    moving("Split", {1, 2, 11, 13, 18}, _split_parse, split, _split_infer),
    moving("Gather", {1, 11, 13}, _axis_parse, gather, _gather_infer),
    moving("GatherElements", {11, 13}, _axis_parse, gather_elements, _gather_elements_infer),
    moving("Expand", {8, 13}, nothing, expand, _expand_infer),
    moving("Tile", {1, 6, 13}, _tile_parse, tile, _tile_infer),
)
