"""Operators that take every element of their result from one place of their input: ``move_s8``, ``move_f32``.

Transpose, Slice, Pad, Expand, Tile, Gather, DepthToSpace and SpaceToDepth differ in where an index along an axis reads.
The places along all axes add up, so that a list of offsets an axis says everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import prod

import numpy as np

from toolchain.compile.kernels.strides import Layers, arranged, order, requantized, split_of, strides
from toolchain.compile.lowering import Fixed, Lowered, Lowering, Site
from toolchain.compile.program import Call, Constant, Layer, Value, struct
from toolchain.compile.tensor import INT8_HIGH, INT8_LOW, Element, Tensor, plane_of

OUTSIDE = -1
"""``MOVE_OUTSIDE`` of the headers: nothing is read, the fill value is written."""
AXES = 5
Places = tuple[int, ...]


@dataclass(frozen=True)
class Move(Layer):
    """One ``move_s8`` or ``move_f32``.

    Attributes:
        axes: offsets of each axis of the result in memory's order; :data:`OUTSIDE` for the fill value.
        run: elements that lie side by side in input and output.
        fill: as stored.
    """

    axes: tuple[Places, ...]
    run: int
    fill: float = 0

    def call(self) -> Call:
        """Fields as in ``move_s8.h``."""
        kind = "f32" if self.output.element is Element.FLOAT else "s8"
        padded = ((0,),) * (AXES - len(self.axes)) + self.axes
        fields: dict[str, Value] = {f"size_{i}": len(places) for i, places in enumerate(padded)}
        fields |= {
            f"offsets_{i}": Constant("int32_t", np.array(places, dtype=np.int32)) for i, places in enumerate(padded)
        }
        fill = float(self.fill) if kind == "f32" else int(self.fill)
        layer = struct(f"move_{kind}_layer", **fields, run=self.run, fill=fill)
        return Call(f"move_{kind}", layer, self.inputs, self.output)


def merged(axes: Sequence[Places]) -> tuple[tuple[Places, ...], int]:
    """Axes joined where one continues the next one, and how many elements at the end lie side by side."""
    found: list[Places] = []
    base = 0
    for places in axes:
        first = 0 if OUTSIDE in places else min(places)
        base += first
        steady = tuple(place - first for place in places)
        if steady == (0,):
            continue
        found.append(places if OUTSIDE in places else steady)
        while len(found) > 1 and (joint := _joined(found[-2], found[-1])) is not None:
            found[-2:] = [joint]
    run = 1
    if found and found[-1] == tuple(range(len(found[-1]))):
        run = len(found.pop())
    if base and found and OUTSIDE not in found[0]:
        found[0] = tuple(place + base for place in found[0])
    elif base:
        found.insert(0, (base,))
    return tuple(found), run


def _joined(outer: Places, inner: Places) -> Places | None:
    """Two axes as one, where both advance steadily and the outer one by a whole turn of the inner one."""
    step = inner[1] - inner[0] if len(inner) > 1 else 0
    steady = step > 0 and inner == tuple(range(0, step * len(inner), step))
    if not steady or outer != tuple(range(outer[0], outer[0] + step * len(inner) * len(outer), step * len(inner))):
        return None
    return tuple(a + b for a in outer for b in inner) if OUTSIDE not in outer else None


def moved(site: Site, x: Tensor, places: Sequence[Places], fill: float = 0) -> Lowered:
    """The layer, once each axis of ``site.output`` knows its offsets into ``x``."""
    y = site.output
    axes, run = merged([places[index] for index in order(y)])
    if len(axes) > AXES:
        raise site.unsupported(f"{len(axes)} axes that move apart", f"there is a kernel for {AXES}")
    if not axes and run == y.size == x.size:
        return replace(x, name=y.name, shape=y.shape, plane=y.plane, buffer=x.memory)
    if x.element is Element.INT8:
        outside = any(OUTSIDE in axis for axis in axes)
        y = replace(
            y, low=min(x.low, int(fill)) if outside else x.low, high=max(x.high, int(fill)) if outside else x.high
        )
    return Move(site.step.name, site.nodes, (x,), y, axes, run, fill)


def source(site: Site) -> tuple[Layers, Tensor, tuple[int, ...]]:
    """The first input at the scale of the result and in an order that has strides, with these."""
    x = site.tensor(0)
    made: Layers = ()
    if x.element is Element.INT8:
        made, x = requantized(site, x)
    before, x = arranged(site, x)
    found = strides(x)
    if found is None:
        raise ArithmeticError(f"{site.step.name}: {x.name} has no strides")
    return (*made, *before), x, found


def after(layers: Layers, made: Lowered) -> Lowered:
    """A result with layers in front of it."""
    return made if not layers else (*layers, *(made if isinstance(made, tuple) else (made,)))


def selected(site: Site, indices: Sequence[Sequence[int]], fill: float = 0) -> Lowered:
    """Every axis of the result reads the same axis of the input at the given indices."""
    layers, x, steps = source(site)
    places = [
        tuple(OUTSIDE if i == OUTSIDE else i * step for i in axis) for axis, step in zip(indices, steps, strict=True)
    ]
    return after(layers, moved(placed(site, x), x, places, fill))


def placed(site: Site, x: Tensor) -> Site:
    """The site with a result that keeps the border between plane and channels of its input, if it has one there."""
    split = split_of(x.shape, x.plane)
    y = site.output
    if x.plane == 1 or split is None or len(x.shape) != len(y.shape):
        plane = plane_of(y.shape) if len(y.shape) in (3, 4) else 1
    else:
        plane = prod(y.shape[split:])
    return replace(site, output=replace(y, plane=plane))


def integers(site: Site, index: int, what: str) -> list[int] | None:
    """A constant list; ``None`` where it is left out."""
    given = site.optional(index, what)
    return None if given is None else [int(v) for v in given.values.reshape(-1)]


def transpose(site: Site) -> Lowered:
    """Transpose."""
    layers, x, steps = source(site)
    rank = len(x.shape)
    perm = tuple(reversed(range(rank))) if site.attributes is None else tuple(site.attributes)
    shape = tuple(x.shape[axis] for axis in perm)
    split = split_of(x.shape, x.plane)
    y = replace(site.output, plane=plane_of(shape) if rank in (3, 4) else 1)
    if split is not None and x.plane > 1 and rank > 4 and tuple(perm[split:]) == tuple(range(split, rank)):
        y = replace(y, plane=x.plane)
    places = [tuple(i * steps[axis] for i in range(x.shape[axis])) for axis in perm]
    return after(layers, moved(replace(site, output=y), x, places))


def slice_(site: Site) -> Lowered:
    """Slice with constant bounds."""
    x, node = site.tensor(0), site.attributes
    rank = len(x.shape)
    starts, ends = integers(site, 1, "starts") or node.starts or [], integers(site, 2, "ends") or node.ends or []
    axes = integers(site, 3, "axes") or node.axes or range(len(starts))
    steps = integers(site, 4, "steps") or [1] * len(starts)
    indices: list[Sequence[int]] = [range(size) for size in x.shape]
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        indices[axis % rank] = range(x.shape[axis % rank])[start:end:step]
    return selected(site, indices)


def pad(site: Site) -> Lowered:
    """Pad with constant widths, in all four modes."""
    x, y, node = site.tensor(0), site.output, site.attributes
    rank = len(x.shape)
    widths = integers(site, 1, "pads") or list(node.pads or ())
    axes = [a % rank for a in integers(site, 3, "axes") or range(rank)]
    before, behind = [0] * rank, [0] * rank
    for place, axis in enumerate(axes):
        before[axis], behind[axis] = widths[place], widths[len(axes) + place]
    indices = [
        [_padded(i, size, node.mode) for i in range(-begin, size + end)]
        for size, begin, end in zip(x.shape, before, behind, strict=True)
    ]
    given = site.optional(2, "value")
    value = float(node.value) if given is None else float(given.floats.reshape(-1)[0])
    if y.element is Element.FLOAT:
        return selected(site, indices, value)
    q = y.quantized
    exact = Fixed("", np.array(node.value)) if given is None else given
    scale = exact.scales[0] if exact.scales else Fraction(1)
    stored = round(Fraction(exact.values.reshape(-1)[0].item()) * scale / q.scale) + q.zero
    clamped = min(max(stored, INT8_LOW), INT8_HIGH)
    return selected(site, indices, min(max(clamped, y.low), y.high))


def _padded(index: int, size: int, mode: str) -> int:
    """Which element of an axis stands at a place that may lie outside it."""
    if 0 <= index < size:
        return index
    if mode == "constant":
        return OUTSIDE
    if mode == "edge":
        return 0 if index < 0 else size - 1
    if mode == "wrap":
        return index % size
    while not 0 <= index < size:
        index = -index if index < 0 else 2 * (size - 1) - index
        if size == 1:
            return 0
    return index


def expand(site: Site) -> Lowered:
    """Expand: dimensions of 1 are repeated, new ones go in front."""
    layers, x, steps = source(site)
    y = site.output
    missing = len(y.shape) - len(x.shape)
    sizes, own = (1,) * missing + x.shape, (0,) * missing + steps
    places = [
        tuple(0 if size == 1 else i * step for i in range(wide))
        for wide, size, step in zip(y.shape, sizes, own, strict=True)
    ]
    return after(layers, moved(placed(site, x), x, places))


def tile(site: Site) -> Lowered:
    """Tile: every axis again and again."""
    x = site.tensor(0)
    return selected(
        site, [[i % size for i in range(wide)] for wide, size in zip(site.output.shape, x.shape, strict=True)]
    )


def gather(site: Site) -> Lowered:
    """Gather with constant indices: a single one takes its axis away, a list replaces it."""
    layers, x, steps = source(site)
    axis = int(site.attributes) % len(x.shape)
    given = site.fixed(1, "list of indices").values
    if given.ndim > 1:
        raise site.unsupported(f"indices of {given.ndim} axes", "there is a kernel for one index and for a list")
    chosen = [int(i) % x.shape[axis] for i in given.reshape(-1)]
    places = [tuple(i * step for i in range(size)) for size, step in zip(x.shape, steps, strict=True)]
    places[axis] = tuple(i * steps[axis] for i in chosen)
    if given.ndim == 1:
        return after(layers, moved(placed(site, x), x, places))
    wide = replace(site.output, shape=(*x.shape[:axis], 1, *x.shape[axis + 1 :]))
    made = moved(placed(replace(site, output=wide), x), x, places)
    return after(layers, _reshaped(made, site.output.shape))


def _reshaped(made: Lowered, shape: tuple[int, ...]) -> Lowered:
    if isinstance(made, tuple):
        raise TypeError("expected one layer or one view")
    return (
        replace(made, shape=shape)
        if isinstance(made, Tensor)
        else replace(made, output=replace(made.output, shape=shape))
    )


def depth_to_space(site: Site) -> Lowered:
    """DepthToSpace: a pixel's place within its block comes from the channel."""
    layers, x, (_, c, h, w) = source(site)
    y, b = site.output, site.attributes.size
    channels = y.shape[1]
    deep = site.attributes.column_row_depth
    row, column, own = (b * c, c, b * b * c) if deep else (b * channels * c, channels * c, c)
    places: list[Places] = [
        (0,),
        tuple(i * own for i in range(channels)),
        tuple(i // b * h + i % b * row for i in range(y.shape[2])),
        tuple(i // b * w + i % b * column for i in range(y.shape[3])),
    ]
    return after(layers, moved(placed(site, x), x, places))


def space_to_depth(site: Site) -> Lowered:
    """SpaceToDepth: the inverse."""
    layers, x, (_, c, h, w) = source(site)
    y, b = site.output, site.attributes.size
    if site.attributes.column_row_depth:
        channel = [i // (b * b) * c + i // b % b * h + i % b * w for i in range(y.shape[1])]
    else:
        deep = x.shape[1]
        channel = [i % deep * c + i // (b * deep) * h + i // deep % b * w for i in range(y.shape[1])]
    places = [
        (0,),
        tuple(channel),
        tuple(i * b * h for i in range(y.shape[2])),
        tuple(i * b * w for i in range(y.shape[3])),
    ]
    return after(layers, moved(placed(site, x), x, places))


_RULES = {
    "Transpose": transpose,
    "Slice": slice_,
    "Pad": pad,
    "Expand": expand,
    "Tile": tile,
    "Gather": gather,
    "DepthToSpace": depth_to_space,
    "SpaceToDepth": space_to_depth,
}
LOWERINGS = tuple(Lowering(op_type, rule, rule, any_order=True) for op_type, rule in _RULES.items())
