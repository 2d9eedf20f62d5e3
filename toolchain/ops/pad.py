"""Pad: https://onnx.ai/onnx/operators/onnx__Pad.html. Widths are attributes before version 11, inputs after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from toolchain.ops.attributes import choice, integers, number
from toolchain.ops.moving import moving
from toolchain.ops.operator import Array, Inputs, NodeFacts, Spec, optional, required
from toolchain.ops.shaping import axes_of, constant

MODES = ("constant", "reflect", "edge", "wrap")


@dataclass(frozen=True)
class Pad:
    """Attributes.

    Attributes:
        mode: what stands in the padding.
        pads: all begins, then all ends; ``None`` where they are an input.
        value: of the constant mode, where it is an attribute.
    """

    mode: str
    pads: tuple[int, ...] | None
    value: float


def parse(facts: NodeFacts) -> Pad:
    """Read the attributes; version 1 calls the widths ``paddings``."""
    pads = integers(facts, "paddings" if facts.version < 2 else "pads")
    return Pad(choice(facts, "mode", "constant", MODES), pads, number(facts, "value", 0.0))


def widths(node: Pad, shape: tuple[int, ...], pads: Array | None, axes: Array | None) -> tuple[tuple[int, int], ...]:
    """Begin and end along every axis; a negative width crops.

    Raises:
        ValueError: the lengths do not fit, or more is cropped than is there.
    """
    rank = len(shape)
    stated = node.pads if pads is None else tuple(int(v) for v in pads.reshape(-1))
    if stated is None:
        raise ValueError("pads are missing")
    places = axes_of(range(rank) if axes is None else (int(a) for a in axes.reshape(-1)), rank)
    if len(stated) != 2 * len(places):
        raise ValueError(f"pads has {len(stated)} values; expected {2 * len(places)} for {len(places)} axes")
    found = [(0, 0)] * rank
    for i, place in enumerate(places):
        found[place] = (stated[i], stated[len(places) + i])
    if any(d + b + e < 0 for d, (b, e) in zip(shape, found, strict=True)):
        raise ValueError(f"pads {list(stated)} crop more than shape {list(shape)} has")
    return tuple(found)


def _sources(node: Pad, size: int, begin: int, end: int) -> Array:
    """Where each output place of an axis reads; negative for the constant."""
    place = np.arange(-begin, size + end)
    inside = (place >= 0) & (place < size)
    if node.mode == "constant":
        return np.where(inside, place, -1)
    if size == 0:
        if place.size:
            raise ValueError(f"mode {node.mode} has nothing to repeat along an empty axis")
        return place
    if node.mode == "edge":
        return np.clip(place, 0, size - 1)
    if node.mode == "wrap":
        return np.mod(place, size)
    period = max(2 * (size - 1), 1)
    folded = np.mod(place, period)
    return np.where(folded < size, folded, period - folded)


def evaluate(node: Pad, inputs: Inputs) -> tuple[Array, ...]:
    """The input with a border: a constant, its mirror image without the edge, its edge, or itself again."""
    x = required(inputs, 0)
    found = widths(node, x.shape, optional(inputs, 1), optional(inputs, 3))
    value: Any = optional(inputs, 2)
    fill = np.asarray(node.value if value is None else value.reshape(())).astype(x.dtype)
    for axis, (begin, end) in enumerate(found):
        if not begin and not end:
            continue
        source = _sources(node, x.shape[axis], begin, end)
        outside = (source < 0).reshape(-1, *(1,) * (x.ndim - axis - 1))
        if x.shape[axis] == 0:
            x = np.broadcast_to(fill, (*x.shape[:axis], source.size, *x.shape[axis + 1 :]))
        else:
            x = np.where(outside, fill, np.take(x, np.maximum(source, 0), axis=axis))
    return (x,)


def infer(node: Pad, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    """Every dimension grows by its two widths."""
    x, pads, axes = required(inputs, 0), optional(inputs, 1), optional(inputs, 3)
    found = widths(
        node,
        x.shape,
        None if pads is None else constant(pads, "the list of pads"),
        None if axes is None else constant(axes, "the list of axes"),
    )
    return (Spec(x.dtype, tuple(d + b + e for d, (b, e) in zip(x.shape, found, strict=True))),)


OPERATORS = (moving("Pad", {1, 2, 11, 13, 18, 19, 21, 23, 24, 25}, parse, evaluate, infer),)
