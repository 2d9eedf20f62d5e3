"""Padding, strides, dilations and the rules of pools."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from benchmarks.power.wrong import Edit, Place, Wrong

POOLS = ("MaxPool", "AveragePool")
WINDOWED = ("Conv", *POOLS)


def faults(place: Place, _: np.random.Generator) -> Iterator[Wrong]:
    """Of a convolution or a pool over two axes."""
    at = place.find(*WINDOWED)
    if at is None:
        return
    attributes = place.steps[at].facts.attributes
    size = (*map(int, attributes.get("kernel_shape") or _kernel(place, at)),)
    if len(size) != 2:
        return
    pads = tuple(map(int, attributes.get("pads") or (0, 0, 0, 0)))
    strides = tuple(map(int, attributes.get("strides") or (1, 1)))
    dilations = tuple(map(int, attributes.get("dilations") or (1, 1)))
    yield from _pads(place, at, pads, size)
    output = _output(place)
    for kind, changed in (
        ("stride", _strided(strides, pads, output)),
        ("dilation", _dilated(dilations, pads, size)),
    ):
        for detail, new in changed:
            written = _runs(place, at, size, new.get("pads", pads))
            yield place.change(kind, detail, Edit(at, new), written=written)
    if place.steps[at].operator.name in POOLS:
        flag = int(attributes.get("ceil_mode", 0))
        yield place.change("ceil_mode", f"ceil_mode={1 - flag}", Edit(at, {"ceil_mode": 1 - flag}))
    if place.steps[at].operator.name == "AveragePool":
        flag = int(attributes.get("count_include_pad", 0))
        name = "count_include_pad"
        yield place.change(name, f"{name}={1 - flag}", Edit(at, {name: 1 - flag}))


def _runs(place: Place, at: int, size: tuple[int, ...], pads: tuple[int, ...]) -> bool:
    """Whether ONNX Runtime takes it: a pool's padding has to be smaller than its window."""
    return place.steps[at].operator.name == "Conv" or all(p < k for p, k in zip(pads, (*size, *size), strict=True))


def _kernel(place: Place, at: int) -> tuple[int, ...]:
    where = place.stored(at, 1)
    return () if where is None else place.constant(where).shape[2:]


def _output(place: Place) -> tuple[int, ...]:
    return place.subject.tensors[place.region.tensor].shape[2:]


def _pads(place: Place, at: int, pads: tuple[int, ...], size: tuple[int, ...]) -> Iterator[Wrong]:
    """Top, left, bottom, right: all on one side, none, one row and column more."""
    top, left, bottom, right = pads
    variants = {
        "all in front": (top + bottom, left + right, 0, 0),
        "all behind": (0, 0, top + bottom, left + right),
        "none": (0, 0, 0, 0),
        "one more in front": (top + 1, left + 1, bottom, right),
        "rows one lower": (top + 1, left, bottom - 1, right) if bottom else (top + 1, left, bottom, right),
        "one more around": (top + 1, left + 1, bottom + 1, right + 1),
    }
    for detail, changed in variants.items():
        if changed != pads:
            edit = Edit(at, {"pads": changed, "auto_pad": None})
            written = _runs(place, at, size, changed)
            yield place.change("pad", f"{detail}: pads={list(changed)}", edit, written=written)


def _strided(
    strides: tuple[int, ...], pads: tuple[int, ...], output: tuple[int, ...]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """One more along both axes, and along rows alone; with the shape that follows, and reading on beyond the end."""
    for detail, step in (("both axes", (1, 1)), ("rows", (1, 0))):
        new = tuple(s + d for s, d in zip(strides, step, strict=True))
        yield f"{detail}: strides={list(new)}", {"strides": new}
        beyond = tuple((n - 1) * d for n, d in zip(output, step, strict=True))
        if any(beyond):
            ends = (*pads[:2], *(p + b for p, b in zip(pads[2:], beyond, strict=True)))
            yield f"{detail}, same shape: strides={list(new)}", {"strides": new, "pads": ends, "auto_pad": None}


def _dilated(
    dilations: tuple[int, ...], pads: tuple[int, ...], size: tuple[int, ...]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """One more along both axes; with the shape that follows, and padded so that the shape stays."""
    if max(size) < 2:
        return
    new = tuple(d + 1 for d in dilations)
    yield f"dilations={list(new)}", {"dilations": new}
    grown = [k - 1 for k in size]
    around = (
        *(p + g // 2 for p, g in zip(pads[:2], grown, strict=True)),
        *(p + g - g // 2 for p, g in zip(pads[2:], grown, strict=True)),
    )
    yield f"same shape: dilations={list(new)}", {"dilations": new, "pads": around, "auto_pad": None}
