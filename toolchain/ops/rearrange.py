"""Concat, Flatten, Reshape, Transpose, Squeeze, Unsqueeze, Identity, DepthToSpace, SpaceToDepth.

https://onnx.ai/onnx/operators/. Shapes and axes are attributes in old versions and inputs in new ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from toolchain.ops.attributes import choice, integer, integers, nothing
from toolchain.ops.moving import moving
from toolchain.ops.operator import Array, Inputs, NodeFacts, Spec, optional, required
from toolchain.ops.shaping import axes_of, axis_of, constant, like_first

SINCE_21 = {21, 23, 24, 25}


def identity(node: None, inputs: Inputs) -> tuple[Array, ...]:
    """The input."""
    return (required(inputs, 0),)


def _concat_parse(facts: NodeFacts) -> int:
    if "axis" not in facts.attributes and facts.version >= 4:
        raise facts.unsupported("axis is missing", "repair the model")
    return integer(facts, "axis", 1)


def concat(axis: int, inputs: Inputs) -> tuple[Array, ...]:
    """Inputs one after the other along an axis."""
    arrays = [required(inputs, i) for i in range(len(inputs))]
    return (np.concatenate(arrays, axis_of(axis, arrays[0].ndim)),)


def _concat_infer(axis: int, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    specs = [required(inputs, i) for i in range(len(inputs))]
    first = specs[0]
    at = axis_of(axis, len(first.shape))
    for spec in specs:
        if len(spec.shape) != len(first.shape) or any(
            i != at and a != b for i, (a, b) in enumerate(zip(spec.shape, first.shape, strict=True))
        ):
            raise ValueError(f"shapes {[list(s.shape) for s in specs]} differ besides axis {at}")
    shape = (*first.shape[:at], sum(s.shape[at] for s in specs), *first.shape[at + 1 :])
    return (Spec(first.dtype, shape),)


def flat_shape(axis: int, shape: tuple[int, ...]) -> tuple[int, int]:
    """The two dimensions of Flatten; ``axis`` may be the rank."""
    at = axis if axis == len(shape) else axis_of(axis, max(len(shape), 1))
    return int(np.prod(shape[:at], dtype=np.int64)), int(np.prod(shape[at:], dtype=np.int64))


def flatten(axis: int, inputs: Inputs) -> tuple[Array, ...]:
    """Two dimensions: the product of those before an axis, and of the rest."""
    x = required(inputs, 0)
    return (x.reshape(flat_shape(axis, x.shape)),)


def _flatten_infer(axis: int, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    x = required(inputs, 0)
    return (Spec(x.dtype, flat_shape(axis, x.shape)),)


@dataclass(frozen=True)
class Reshape:
    """Attributes: the shape itself (version 1 only), and whether 0 means an empty dimension."""

    shape: tuple[int, ...] | None
    allow_zero: bool


def _reshape_parse(facts: NodeFacts) -> Reshape:
    return Reshape(integers(facts, "shape"), bool(integer(facts, "allowzero", 0)))


def target_shape(node: Reshape, shape: tuple[int, ...], wanted: Sequence[int]) -> tuple[int, ...]:
    """Resolve 0 (copy the dimension) and -1 (whatever is left).

    Raises:
        ValueError: the numbers of elements differ, or the request is ambiguous.
    """
    dims = [int(d) for d in wanted]
    text = f"cannot reshape {list(shape)} to {dims}"
    if any(d < -1 for d in dims) or dims.count(-1) > 1:
        raise ValueError(f"{text}: at most one -1 and no other negative number")
    if node.allow_zero and 0 in dims and -1 in dims:
        raise ValueError(f"{text}: 0 and -1 exclude each other under allowzero")
    if not node.allow_zero:
        if any(d == 0 and i >= len(shape) for i, d in enumerate(dims)):
            raise ValueError(f"{text}: 0 copies a dimension that the input lacks")
        dims = [shape[i] if d == 0 else d for i, d in enumerate(dims)]
    size, known = int(np.prod(shape, dtype=object)), int(np.prod([d for d in dims if d != -1], dtype=object))
    if -1 in dims:
        if known == 0 or size % known:
            raise ValueError(f"{text}: {size} elements do not divide by {known}")
        dims[dims.index(-1)] = size // known
    elif size != known:
        raise ValueError(f"{text}: {size} elements are not {known}")
    return tuple(dims)


def reshape(node: Reshape, inputs: Inputs) -> tuple[Array, ...]:
    """The same elements in row-major order under another shape."""
    x = required(inputs, 0)
    wanted = required(inputs, 1) if node.shape is None else node.shape
    return (x.reshape(target_shape(node, x.shape, np.asarray(wanted).tolist())),)


def _reshape_infer(node: Reshape, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    x = required(inputs, 0)
    wanted = constant(required(inputs, 1), "the shape") if node.shape is None else np.asarray(node.shape)
    return (Spec(x.dtype, target_shape(node, x.shape, wanted.tolist())),)


def _transpose_parse(facts: NodeFacts) -> tuple[int, ...] | None:
    return integers(facts, "perm")


def permutation(perm: tuple[int, ...] | None, rank: int) -> tuple[int, ...]:
    """The order of axes; reversed by default.

    Raises:
        ValueError: not a permutation of the axes.
    """
    order = tuple(reversed(range(rank))) if perm is None else perm
    if sorted(order) != list(range(rank)):
        raise ValueError(f"perm {list(order)} is no order of {rank} axes")
    return order


def transpose(perm: tuple[int, ...] | None, inputs: Inputs) -> tuple[Array, ...]:
    """Axes in another order."""
    x = required(inputs, 0)
    return (x.transpose(permutation(perm, x.ndim)),)


def _transpose_infer(perm: tuple[int, ...] | None, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    x = required(inputs, 0)
    return (Spec(x.dtype, tuple(x.shape[i] for i in permutation(perm, len(x.shape)))),)


def _axes_parse(facts: NodeFacts) -> tuple[int, ...] | None:
    return integers(facts, "axes")


def squeezed(shape: tuple[int, ...], axes: Sequence[int] | None) -> tuple[int, ...]:
    """Shape without the given dimensions of 1, or without all of them.

    Raises:
        ValueError: a given dimension is not 1.
    """
    chosen = tuple(i for i, d in enumerate(shape) if d == 1) if axes is None else axes_of(axes, len(shape))
    if any(shape[i] != 1 for i in chosen):
        raise ValueError(f"cannot squeeze axes {list(chosen)} of shape {list(shape)}: not all are 1")
    return tuple(d for i, d in enumerate(shape) if i not in chosen)


def unsqueezed(shape: tuple[int, ...], axes: Sequence[int]) -> tuple[int, ...]:
    """Shape with dimensions of 1 at the given places of the output."""
    places = axes_of(axes, len(shape) + len(axes))
    rest = iter(shape)
    return tuple(1 if i in places else next(rest) for i in range(len(shape) + len(places)))


def _axes(node: tuple[int, ...] | None, inputs: Inputs) -> list[int] | None:
    given = optional(inputs, 1)
    if given is not None:
        return [int(a) for a in given.reshape(-1)]
    return None if node is None else list(node)


def _axes_of_specs(node: tuple[int, ...] | None, inputs: Sequence[Spec | None]) -> list[int] | None:
    given = optional(inputs, 1)
    return _axes(node, [None, None if given is None else constant(given, "the list of axes")])


def squeeze(node: tuple[int, ...] | None, inputs: Inputs) -> tuple[Array, ...]:
    """Without dimensions of 1."""
    x = required(inputs, 0)
    return (x.reshape(squeezed(x.shape, _axes(node, inputs))),)


def _squeeze_infer(node: tuple[int, ...] | None, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    x = required(inputs, 0)
    return (Spec(x.dtype, squeezed(x.shape, _axes_of_specs(node, inputs))),)


def unsqueeze(node: tuple[int, ...] | None, inputs: Inputs) -> tuple[Array, ...]:
    """With further dimensions of 1.

    Raises:
        ValueError: no axes are given.
    """
    x, axes = required(inputs, 0), _axes(node, inputs)
    if axes is None:
        raise ValueError("axes are missing")
    return (x.reshape(unsqueezed(x.shape, axes)),)


def _unsqueeze_infer(node: tuple[int, ...] | None, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    x, axes = required(inputs, 0), _axes_of_specs(node, inputs)
    if axes is None:
        raise ValueError("axes are missing")
    return (Spec(x.dtype, unsqueezed(x.shape, axes)),)


@dataclass(frozen=True)
class Blocks:
    """Attributes of DepthToSpace and SpaceToDepth."""

    size: int
    column_row_depth: bool


def _blocks_parse(facts: NodeFacts) -> Blocks:
    size = integer(facts, "blocksize", 0)
    if size < 1:
        raise facts.unsupported(f"blocksize is {size}", "expected a positive number")
    return Blocks(size, choice(facts, "mode", "DCR", ("DCR", "CRD")) == "CRD")


def _depth_shape(node: Blocks, shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(shape) != 4 or shape[1] % node.size**2:
        raise ValueError(f"input has shape {list(shape)}; expected [N, C, H, W] with C a multiple of {node.size**2}")
    n, c, h, w = shape
    return (n, c // node.size**2, h * node.size, w * node.size)


def _space_shape(node: Blocks, shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(shape) != 4 or shape[2] % node.size or shape[3] % node.size:
        raise ValueError(f"input has shape {list(shape)}; expected [N, C, H, W] with H and W multiples of {node.size}")
    n, c, h, w = shape
    return (n, c * node.size**2, h // node.size, w // node.size)


def depth_to_space(node: Blocks, inputs: Inputs) -> tuple[Array, ...]:
    """Channels into squares of pixels."""
    x = required(inputs, 0)
    shape, b = _depth_shape(node, x.shape), node.size
    n, c, h, w = x.shape
    if node.column_row_depth:
        return (x.reshape(n, c // b**2, b, b, h, w).transpose(0, 1, 4, 2, 5, 3).reshape(shape),)
    return (x.reshape(n, b, b, c // b**2, h, w).transpose(0, 3, 4, 1, 5, 2).reshape(shape),)


def space_to_depth(node: Blocks, inputs: Inputs) -> tuple[Array, ...]:
    """Squares of pixels into channels: the inverse of :func:`depth_to_space`."""
    x = required(inputs, 0)
    shape, b = _space_shape(node, x.shape), node.size
    n, c, h, w = x.shape
    cells = x.reshape(n, c, h // b, b, w // b, b)
    order = (0, 1, 3, 5, 2, 4) if node.column_row_depth else (0, 3, 5, 1, 2, 4)
    return (cells.transpose(order).reshape(shape),)


def _depth_infer(node: Blocks, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    x = required(inputs, 0)
    return (Spec(x.dtype, _depth_shape(node, x.shape)),)


def _space_infer(node: Blocks, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    x = required(inputs, 0)
    return (Spec(x.dtype, _space_shape(node, x.shape)),)


def _flatten_parse(facts: NodeFacts) -> int:
    return integer(facts, "axis", 1)


OPERATORS = (
    moving("Identity", {1, 13, 14, 16, 19} | SINCE_21, nothing, identity, like_first),
    moving("Concat", {1, 4, 11, 13}, _concat_parse, concat, _concat_infer),
    moving("Flatten", {1, 9, 11, 13} | SINCE_21, _flatten_parse, flatten, _flatten_infer),
    moving("Reshape", {1, 5, 13, 14, 19} | SINCE_21, _reshape_parse, reshape, _reshape_infer),
    moving("Transpose", {1, 13} | SINCE_21, _transpose_parse, transpose, _transpose_infer),
    moving("Squeeze", {1, 11, 13} | SINCE_21, _axes_parse, squeeze, _squeeze_infer),
    moving("Unsqueeze", {1, 11, 13} | SINCE_21, _axes_parse, unsqueeze, _unsqueeze_infer),
    moving("DepthToSpace", {1, 11, 13, 28}, _blocks_parse, depth_to_space, _depth_infer),
    moving("SpaceToDepth", {1, 13, 28}, _blocks_parse, space_to_depth, _space_infer),
)
