"""Channels in another order, and tensors read in another layout than they were written in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.power.faults.weights import PRODUCTS
from benchmarks.power.wrong import Place, Wrong

Array = NDArray[Any]


def faults(place: Place, _: np.random.Generator) -> Iterator[Wrong]:
    """Of any region whose tensor has channels."""
    shape = place.subject.tensors[place.region.tensor].shape
    if len(shape) > 1 and shape[1] > 1:
        yield from _outputs(place, shape[1])
    if place.find(*PRODUCTS) is not None:
        yield from _inputs(place)
    if len(shape) == 4:
        yield from _layouts(place, shape)
    flat = place.find("Flatten", "Reshape")
    if flat is not None and len(place.subject.tensors[place.region.inputs[0]].shape) == 4:
        yield place.before("layout", "flattened as N, H, W, C", flat, "Transpose", perm=(0, 2, 3, 1))


def _order(name: str, count: int) -> Array:
    """Two channels swapped, all in reverse, or all one further."""
    order = np.arange(count)
    if name == "swapped":
        order[[0, count // 2]] = order[[count // 2, 0]]
        return order
    return order[::-1].copy() if name == "reversed" else np.roll(order, 1)


def _outputs(place: Place, count: int) -> Iterator[Wrong]:
    for name in ("swapped", "reversed", "rotated"):
        order = _order(name, count).astype(np.int64)
        yield place.behind("channel order", f"output channels {name}", "Gather", order, axis=1)


def _inputs(place: Place) -> Iterator[Wrong]:
    tensor = place.subject.tensors.get(str(place.region.inputs[0]))
    if len(place.region.inputs) != 1 or tensor is None or tensor.ndim < 2 or tensor.shape[1] < 2:
        return
    reader = next(i for i, step in enumerate(place.steps) if place.region.inputs[0] in step.inputs)
    for name in ("swapped", "reversed"):
        order = _order(name, tensor.shape[1]).astype(np.int64)
        yield place.before("channel order", f"input channels {name}", reader, "Gather", order, axis=1)


def _layouts(place: Place, shape: tuple[int, ...]) -> Iterator[Wrong]:
    """The output written as N, H, W, C and read as N, C, H, W; written by columns where it is square."""
    _, c, h, w = shape
    if c > 1 and h * w > 1:
        last = place.behind("layout", "written as N, H, W, C", "Transpose", perm=(0, 2, 3, 1))
        yield _read_as(place, last, shape)
    if h == w > 1:
        yield place.behind("layout", "rows and columns of the output swapped", "Transpose", perm=(0, 1, 3, 2))


def _read_as(place: Place, wrong: Wrong, shape: tuple[int, ...]) -> Wrong:
    """A Reshape behind the last node."""
    target = place.region.tensor
    inner, name = f"{target}.written", f"{target}.shape"
    steps = (*wrong.steps[:-1], replace(wrong.steps[-1], outputs=(inner,)))
    added = place.node("Reshape", (inner, name), (target,), {})
    constants = {**wrong.constants, name: np.array(shape, dtype=np.int64)}
    return replace(wrong, steps=(*steps, added), constants=constants)
