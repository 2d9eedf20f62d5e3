"""Resize and Upsample: https://onnx.ai/onnx/operators/onnx__Resize.html.

An output size is ``floor(size * scale)`` with the product rounded to float32, the type of the scales: the exact
product of 10 and the float32 nearest to 0.7 lies below 7, and no implementation answers 6.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from toolchain.ops.attributes import choice, integer, integers, number
from toolchain.ops.bounds import EXACT, Bound, accumulated
from toolchain.ops.operator import Array, Inputs, NodeFacts, Operator, Spec, optional, required
from toolchain.ops.resampling import COORDINATES, NEAREST, Axis, Kernel, apply, nearest
from toolchain.ops.shaping import axes_of, constant, folding
from toolchain.ops.spreads import Errors

POLICIES = ("stretch", "not_larger", "not_smaller")


@dataclass(frozen=True)
class Resize:
    """Attributes, and where the inputs stand.

    Attributes:
        mode: nearest, linear or cubic.
        coordinate: how an output place becomes an input coordinate.
        rounding: of the coordinate, for nearest.
        kernel: of the other modes.
        axes: which the inputs talk of; all by default.
        policy: what ``sizes`` means for the aspect ratio.
        extrapolation: value outside the input, for tf_crop_and_resize.
        scales: where they are attributes (Upsample before version 9).
        places: input numbers of roi, scales and sizes.
    """

    mode: str
    coordinate: str
    rounding: str
    kernel: Kernel
    axes: tuple[int, ...] | None
    policy: str
    extrapolation: float
    scales: tuple[float, ...] | None
    places: tuple[int, int, int]


_NEVER = 9


def parse(facts: NodeFacts) -> Resize:
    """Read the attributes. Version 10 means asymmetric coordinates, rounded down."""
    old = facts.version < 11
    mode = choice(facts, "mode", "nearest", ("nearest", "linear", "cubic"))
    kernel = Kernel(
        cubic=mode == "cubic",
        a=number(facts, "cubic_coeff_a", -0.75),
        antialias=bool(integer(facts, "antialias", 0)),
        exclude_outside=bool(integer(facts, "exclude_outside", 0)),
    )
    return Resize(
        mode=mode,
        coordinate="asymmetric" if old else choice(facts, "coordinate_transformation_mode", "half_pixel", COORDINATES),
        rounding="floor" if old else choice(facts, "nearest_mode", "round_prefer_floor", NEAREST),
        kernel=kernel,
        axes=integers(facts, "axes"),
        policy=choice(facts, "keep_aspect_ratio_policy", "stretch", POLICIES),
        extrapolation=number(facts, "extrapolation_value", 0.0),
        scales=None,
        places=(_NEVER, 1, _NEVER) if old else (1, 2, 3),
    )


def parse_upsample(facts: NodeFacts) -> Resize:
    """Upsample is Resize with asymmetric coordinates, rounded down; version 1 has two scales and "bilinear"."""
    mode = choice(facts, "mode", "nearest", ("nearest", "linear", "bilinear"))
    scales: tuple[float, ...] | None = None
    if facts.version < 7:
        scales = (1.0, 1.0, number(facts, "height_scale", 1.0), number(facts, "width_scale", 1.0))
    elif facts.version < 9:
        scales = tuple(float(s) for s in facts.attributes["scales"])
    kernel = Kernel(cubic=False, a=0.0, antialias=False, exclude_outside=False)
    mode = "linear" if mode == "bilinear" else mode
    return Resize(mode, "asymmetric", "floor", kernel, None, "stretch", 0.0, scales, (_NEVER, 1, _NEVER))


def _floats(inputs: Inputs, index: int) -> list[float] | None:
    value = optional(inputs, index)
    return None if value is None or not value.size else [float(v) for v in value.reshape(-1)]


def resolve(node: Resize, shape: tuple[int, ...], inputs: Inputs) -> dict[int, Axis]:
    """The axes to resample, by number.

    Raises:
        ValueError: scales and sizes are both given or both missing, or their lengths do not fit.
    """
    rank = len(shape)
    places = axes_of(range(rank) if node.axes is None else node.axes, rank)
    roi, scales, sizes = (_floats(inputs, index) for index in node.places)
    scales = list(node.scales) if node.scales is not None else scales
    if (scales is None) == (sizes is None):
        raise ValueError("expected exactly one of scales and sizes")
    given = scales if sizes is None else sizes
    if given is None or len(given) != len(places):
        raise ValueError(f"{0 if given is None else len(given)} scales or sizes for {len(places)} axes")
    crops = node.coordinate == "tf_crop_and_resize"
    if crops and (roi is None or len(roi) != 2 * len(places)):
        raise ValueError(f"tf_crop_and_resize needs a roi of {2 * len(places)} values")
    if scales is None and node.policy != "stretch":
        ratios = [size / shape[place] for size, place in zip(given, places, strict=True)]
        ratio = min(ratios) if node.policy == "not_larger" else max(ratios)
        given = [float(np.floor(ratio * shape[place] + 0.5)) for place in places]
    found: dict[int, Axis] = {}
    for i, (place, value) in enumerate(zip(places, given, strict=True)):
        begin, end = (roi[i], roi[len(places) + i]) if crops and roi is not None else (0.0, 1.0)
        axis = _axis(shape[place], value, begin, end, scaled=scales is not None)
        if crops or axis.length != axis.size or axis.scale != 1.0:
            found[place] = axis
    return found


def _axis(size: int, value: float, begin: float, end: float, *, scaled: bool) -> Axis:
    if not value > 0 and not (value == 0 and not scaled):
        raise ValueError(f"a scale or size is {value}; expected a positive number")
    if not scaled:
        return Axis(size, int(value), value / size if size else 1.0, begin, end)
    return Axis(size, int(np.floor(np.float32(size * (end - begin) * value))), value, begin, end)


def evaluate(node: Resize, inputs: Inputs) -> tuple[Array, ...]:
    """The input resampled along its axes.

    Raises:
        ValueError: interpolation of integers, whose rounding the specification leaves open.
    """
    x = required(inputs, 0)
    axes = resolve(node, x.shape, inputs)
    if node.mode != "nearest" and x.dtype.kind != "f" and axes:
        raise ValueError(f"interpolation of {x.dtype}: the specification does not say how to round")
    y = x
    for place, axis in axes.items():
        if node.mode == "nearest":
            y = np.take(y, nearest(axis.coordinates(node.coordinate), node.rounding, axis.size), axis=place)
        else:
            y = apply(node.kernel.matrix(axis, node.coordinate), y, place)
    return (_extrapolated(node, axes, y),)


def _extrapolated(node: Resize, axes: dict[int, Axis], y: Array) -> Array:
    """tf_crop_and_resize: a fixed value where a coordinate lies outside the input."""
    if node.coordinate != "tf_crop_and_resize":
        return y
    for place, axis in axes.items():
        x = axis.coordinates(node.coordinate)
        outside = ((x < 0) | (x > axis.size - 1)).reshape(-1, *(1,) * (y.ndim - place - 1))
        y = np.where(outside, np.asarray(node.extrapolation).astype(y.dtype), y)
    return y


def infer(node: Resize, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    """Every resampled axis has its new length."""
    x = required(inputs, 0)
    arrays: list[Array | None] = [None] * len(inputs)
    for index in node.places:
        spec = optional(inputs, index)
        if spec is not None and spec.size:
            arrays[index] = constant(spec, "a scale or size")
    axes = resolve(node, x.shape, arrays)
    return (Spec(x.dtype, tuple(axes[i].length if i in axes else d for i, d in enumerate(x.shape))),)


def bound(node: Resize, inputs: Inputs, exact: Sequence[Array], roundoff: float) -> tuple[Bound, ...]:
    """Rounding of sums, plus what a coordinate that is off by its own rounding moves.

    Nearest selects, and is exact but where a coordinate lies so close to a border between two places that its
    rounding decides: there the bound reaches to the neighbour's value.
    """
    x = required(inputs, 0)
    axes = resolve(node, x.shape, inputs)
    if node.mode == "nearest":
        return (_nearest_bound(node, x, axes, exact[0], roundoff),)
    size, moved, terms = np.abs(x), np.zeros(()), 1
    matrices = {p: np.abs(node.kernel.matrix(a, node.coordinate)) for p, a in axes.items()}
    for place, axis in axes.items():
        part = size
        for other in axes:
            same = other == place
            part = apply(
                node.kernel.sensitivity(axis, node.coordinate, roundoff) if same else matrices[other],
                part,
                other,
            )
        moved = moved + part
    for place, matrix in matrices.items():
        size = apply(matrix, size, place)
        terms += int(max((matrix > 0).sum(axis=1), default=1)) + 4
    sums = accumulated(size, terms, roundoff)
    limit = Bound(sums.sound + moved, sums.probable + moved)
    return (_free_at_the_edge(node, axes, limit, roundoff),)


def _free_at_the_edge(node: Resize, axes: dict[int, Axis], limit: Bound, roundoff: float) -> Bound:
    """tf_crop_and_resize: rounding may decide whether a coordinate on the edge is outside."""
    if node.coordinate != "tf_crop_and_resize":
        return limit
    sound, probable = limit.sound, limit.probable
    for place, axis in axes.items():
        x, error = axis.coordinates(node.coordinate), axis.uncertainty(node.coordinate, roundoff)
        open_ = (np.minimum(np.abs(x), np.abs(x - (axis.size - 1))) <= error) & (x != 0)
        shaped = open_.reshape(-1, *(1,) * (sound.ndim - place - 1))
        sound, probable = np.where(shaped, np.inf, sound), np.where(shaped, np.inf, probable)
    return replace(limit, sound=sound, probable=probable)


def _nearest_bound(node: Resize, x: Array, axes: dict[int, Axis], exact: Array, roundoff: float) -> Bound:
    choices: dict[int, list[Array]] = {}
    for place, axis in axes.items():
        at, error = axis.coordinates(node.coordinate), axis.uncertainty(node.coordinate, roundoff)
        found = [nearest(at + sign * error, node.rounding, axis.size) for sign in (-1.0, 1.0)]
        choices[place] = found[:1] if (found[0] == found[1]).all() else found
    if all(len(found) == 1 for found in choices.values()) and node.coordinate != "tf_crop_and_resize":
        return EXACT
    limit = np.zeros(exact.shape)
    for combination in itertools.product(*choices.values()):
        y = x
        for place, source in zip(choices, combination, strict=True):
            y = np.take(y, source, axis=place)
        other, chosen = _extrapolated(node, axes, y).astype(np.float64), exact.astype(np.float64)
        same = (other == chosen) | (np.isnan(other) & np.isnan(chosen))
        with np.errstate(invalid="ignore"):
            difference = np.where(same, 0.0, np.abs(other - chosen))
        # One of two neighbours that is no number: whichever a rounded coordinate picks, no distance can say it.
        limit = np.maximum(limit, np.where(np.isnan(difference), np.inf, difference))
    return _free_at_the_edge(node, axes, Bound(limit, limit), roundoff)


def spread(operator: Operator, node: Resize, inputs: Inputs, errors: Errors, roundoff: float) -> tuple[Array, ...]:
    """Errors of the input are weighed like its values, by magnitude.

    Raises:
        ValueError: another input carries errors.
    """
    if any(error is not None for error in errors[1:]):
        raise ValueError("how errors of a scale or region spread is not derived")
    x = required(inputs, 0)
    y = np.broadcast_to(np.asarray(0.0 if errors[0] is None else errors[0]), x.shape)
    for place, axis in resolve(node, x.shape, inputs).items():
        if node.mode == "nearest":
            y = np.take(y, nearest(axis.coordinates(node.coordinate), node.rounding, axis.size), axis=place)
        else:
            y = apply(np.abs(node.kernel.matrix(axis, node.coordinate)), y, place)
    return (y,)


OPERATORS = (
    Operator(
        "Resize", frozenset({10, 11, 13, 18, 19}), parse, evaluate, folding(infer, evaluate), bound, spread=spread
    ),
    Operator(
        "Upsample", frozenset({1, 7, 9, 10}), parse_upsample, evaluate, folding(infer, evaluate), bound, spread=spread
    ),
)
