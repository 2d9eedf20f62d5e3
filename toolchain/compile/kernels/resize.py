"""Resize and Upsample: nearest through ``move_s8``, ``move_f32``; linear and cubic, float: ``interpolate_f32``.

Which elements an output reads, and with what weight, is computed here from the specification
(https://onnx.ai/onnx/operators/onnx__Resize.html), in rational numbers where a rounding decides.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from toolchain.compile.kernels.activation import IDLE, Activation, UnaryF32
from toolchain.compile.kernels.move import selected
from toolchain.compile.kernels.strides import arranged
from toolchain.compile.lowering import Lowered, Lowering, Site
from toolchain.compile.program import Call, Constant, Layer, struct
from toolchain.compile.tensor import plane_of


@dataclass(frozen=True)
class Ratio:
    """One axis: its two lengths, and the scale between them."""

    size: int
    length: int
    scale: Fraction

    def coordinate(self, place: int, mode: str) -> Fraction:
        """Where an output place lies in the input."""
        if mode == "align_corners":
            return Fraction(place * (self.size - 1), self.length - 1) if self.length > 1 else Fraction(0)
        if mode == "asymmetric":
            return place / self.scale
        if mode == "tf_half_pixel_for_nn":
            return (place + Fraction(1, 2)) / self.scale
        if mode == "pytorch_half_pixel" and self.length == 1:
            return Fraction(0)
        at = (place + Fraction(1, 2)) / self.scale - Fraction(1, 2)
        if mode == "half_pixel_symmetric":
            at += Fraction(self.size, 2) * (1 - self.length / (self.scale * self.size))
        return at

    def nearly(self, place: int, mode: str) -> float:
        """The same in float64, as runtimes and the reference compute it, in float32 or float64."""
        scale = float(self.scale)
        if mode == "align_corners":
            return place * ((self.size - 1) / (self.length - 1)) if self.length > 1 else 0.0
        if mode == "asymmetric":
            return place / scale
        if mode == "tf_half_pixel_for_nn":
            return (place + 0.5) / scale
        if mode == "pytorch_half_pixel" and self.length == 1:
            return 0.0
        moved = self.size / 2 * (1 - self.length / (scale * self.size)) if mode == "half_pixel_symmetric" else 0.0
        return (place + 0.5) / scale - 0.5 + moved


ROUNDINGS: dict[str, Callable[[Fraction | float], int]] = {
    "round_prefer_floor": lambda x: math.ceil(x - 0.5 if isinstance(x, float) else x - Fraction(1, 2)),
    "round_prefer_ceil": lambda x: math.floor(x + 0.5 if isinstance(x, float) else x + Fraction(1, 2)),
    "floor": math.floor,
    "ceil": math.ceil,
}


def ratios(site: Site) -> dict[int, Ratio]:
    """The axes that change, or are resampled at a scale of their own.

    Raises:
        UnsupportedError: it crops a region.
    """
    x, y, node = site.tensor(0), site.output, site.attributes
    if node.coordinate == "tf_crop_and_resize":
        raise site.unsupported("it crops a region (tf_crop_and_resize)", "crop with Slice before")
    rank = len(x.shape)
    axes = [axis % rank for axis in (range(rank) if node.axes is None else node.axes)]
    _, place, _ = node.places
    given = site.optional(place, "scales") if place < len(site.inputs) else None
    stated: Sequence[float] = node.scales or ([] if given is None else given.floats.reshape(-1).tolist())
    scales = dict(zip(axes, stated, strict=False))
    found = {}
    for axis, (size, length) in enumerate(zip(x.shape, y.shape, strict=True)):
        scale = Fraction(scales[axis]) if axis in scales else Fraction(length, size)
        if length != size or scale != 1:
            found[axis] = Ratio(size, length, scale)
    return found


def nearest(site: Site) -> Lowered:
    """Every output reads one element."""
    node = site.attributes
    rounding = ROUNDINGS[node.rounding]
    indices: list[Sequence[int]] = [range(size) for size in site.tensor(0).shape]
    for axis, ratio in ratios(site).items():
        places = [rounding(ratio.coordinate(i, node.coordinate)) for i in range(ratio.length)]
        indices[axis] = [min(max(place, 0), ratio.size - 1) for place in places]
        floats = [rounding(ratio.nearly(i, node.coordinate)) for i in range(ratio.length)]
        clipped = [min(max(place, 0), ratio.size - 1) for place in floats]
        if site.output.quantization is not None and clipped != indices[axis]:
            raise site.unsupported(
                f"along axis {axis} an output lies exactly between two inputs, where float arithmetic decides",
                "use sizes that divide, or nearest_mode round_prefer_floor with scales that are powers of two",
            )
    return selected(site, indices)


def integer(site: Site) -> Lowered:
    """Quantized: nearest alone, since the specification does not round interpolated integers."""
    if site.attributes.mode != "nearest":
        raise site.unsupported(
            f"mode {site.attributes.mode} of integers", "use nearest, or leave the node in float (--exclude)"
        )
    return nearest(site)


@dataclass(frozen=True)
class Taps:
    """For each output place of an axis the elements that it reads, and their weights; as many for every place."""

    indices: tuple[tuple[int, ...], ...]
    weights: tuple[tuple[float, ...], ...]


WHOLE = Taps(((0,),), ((1.0,),))


@dataclass(frozen=True)
class InterpolateF32(Layer):
    """One ``interpolate_f32``: rows, then columns."""

    rows: Taps
    columns: Taps
    activation: Activation = IDLE

    def call(self) -> Call:
        """Fields as in ``interpolate_f32.h``."""
        x = self.inputs[0]
        layer = struct(
            "interpolate_f32_layer",
            in_width=x.shape[3] if len(x.shape) == 4 else x.shape[2],
            channels=x.shape[1],
            out_height=len(self.rows.indices),
            out_width=len(self.columns.indices),
            row_taps=len(self.rows.indices[0]),
            column_taps=len(self.columns.indices[0]),
            rows=_integers(self.rows),
            row_weights=_weights(self.rows),
            columns=_integers(self.columns),
            column_weights=_weights(self.columns),
            activation=self.activation.struct(),
        )
        return Call("interpolate_f32", layer, self.inputs, self.output)

    def absorb(self, later: Layer) -> Layer | None:
        """An activation."""
        if not isinstance(later, UnaryF32) or not self.activation.idle:
            return None
        return replace(self, activation=later.activation, **self.joined(later))


def _integers(taps: Taps) -> Constant:
    return Constant("int32_t", np.array(taps.indices, dtype=np.int32).ravel())


def _weights(taps: Taps) -> Constant:
    return Constant("float", np.array(taps.weights, dtype=np.float32).ravel())


def triangle(distance: Fraction) -> Fraction:
    """Linear interpolation."""
    return max(1 - abs(distance), Fraction(0))


def keys(distance: Fraction, a: Fraction) -> Fraction:
    """Cubic convolution: R. Keys, IEEE Trans. ASSP 29 (1981), equation 4, with a parameter."""
    d = abs(distance)
    if d <= 1:
        return ((a + 2) * d - (a + 3)) * d * d + 1
    return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a if d < 2 else Fraction(0)


def taps(ratio: Ratio, site: Site) -> Taps:
    """Of one axis."""
    node, kernel = site.attributes, site.attributes.kernel
    factor = min(ratio.scale, Fraction(1)) if kernel.antialias else Fraction(1)
    reach = math.ceil((2 if kernel.cubic else 1) / factor)
    a = Fraction(kernel.a)
    indices, weights = [], []
    for place in range(ratio.length):
        at = ratio.coordinate(place, node.coordinate)
        around = range(math.floor(at) - reach + 1, math.floor(at) + reach + 1)
        own = [keys((i - at) * factor, a) if kernel.cubic else triangle((i - at) * factor) for i in around]
        if kernel.exclude_outside:
            own = [w if 0 <= i < ratio.size else Fraction(0) for i, w in zip(around, own, strict=True)]
        if kernel.exclude_outside or kernel.antialias:
            total = sum(own)
            own = [w / total for w in own]
        indices.append(tuple(min(max(i, 0), ratio.size - 1) for i in around))
        weights.append(tuple(float(w) for w in own))
    return Taps(tuple(indices), tuple(weights))


def real(site: Site) -> Lowered:
    """Float maps."""
    if site.attributes.mode == "nearest":
        return nearest(site)
    x, y = site.tensor(0), site.output
    found = ratios(site)
    if len(x.shape) not in (3, 4) or x.shape[0] != 1 or any(axis < 2 for axis in found):
        raise site.unsupported(f"interpolation along axes {sorted(found)}", "there is a kernel for height and width")
    before, x = arranged(site, x, plane_of(x.shape))
    spatial = [
        taps(found[axis], site) if axis in found else Taps(tuple((i,) for i in range(n)), ((1.0,),) * n)
        for axis, n in enumerate(x.shape)
    ][2:]
    rows, columns = spatial if len(spatial) == 2 else (WHOLE, spatial[0])
    layer = InterpolateF32(site.step.name, site.nodes, (x,), replace(y, plane=plane_of(y.shape)), rows, columns)
    return (*before, layer)


LOWERINGS = tuple(Lowering(op_type, integer, real, any_order=True) for op_type in ("Resize", "Upsample"))
