"""Where an output place of Resize reads, and with what weight: one axis at a time.

All interpolations of https://onnx.ai/onnx/operators/onnx__Resize.html are products over the axes, so an axis is a
matrix from its input to its output places. A weight is a kernel of the distance between the coordinate and an
input place; places beyond the edge repeat the edge, or are left out under ``exclude_outside`` and the rest is
normalised. Antialiasing stretches the kernel by the inverse scale and normalises; at the edge it repeats too, as
ONNX Runtime does (PyTorch always leaves out what lies beyond: that is ``exclude_outside = 1`` here).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from toolchain.ops.operator import Array

COORDINATES = (
    "half_pixel",
    "half_pixel_symmetric",
    "pytorch_half_pixel",
    "align_corners",
    "asymmetric",
    "tf_half_pixel_for_nn",
    "tf_crop_and_resize",
)
NEAREST = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
COORDINATE_ROUNDINGS = 4.0
"""Roundings on the way to a coordinate: a shift, a division, a shift, and the scale itself."""


@dataclass(frozen=True)
class Axis:
    """One axis to resample.

    Attributes:
        size: input places.
        length: output places.
        scale: output over input, as given or computed.
        begin: of the region, in units of the input; only tf_crop_and_resize uses it.
        end: likewise.
    """

    size: int
    length: int
    scale: float
    begin: float = 0.0
    end: float = 1.0

    def coordinates(self, mode: str) -> Array:
        """The input coordinate of every output place."""
        place = np.arange(self.length, dtype=np.float64)
        last = self.size - 1
        if mode == "align_corners":
            return place * (last / (self.length - 1)) if self.length > 1 else np.zeros(self.length)
        if mode == "asymmetric":
            return place / self.scale
        if mode == "tf_half_pixel_for_nn":
            return (place + 0.5) / self.scale
        if mode == "tf_crop_and_resize":
            if self.length > 1:
                return self.begin * last + place * ((self.end - self.begin) * last / (self.length - 1))
            return np.full(self.length, 0.5 * (self.begin + self.end) * last)
        if mode == "pytorch_half_pixel" and self.length <= 1:
            return np.zeros(self.length)
        x = (place + 0.5) / self.scale - 0.5
        if mode == "half_pixel_symmetric":
            x += self.size / 2 * (1 - self.length / (self.scale * self.size))
        return x

    def uncertainty(self, mode: str, roundoff: float) -> Array:
        """How far a coordinate computed in floating point may be off."""
        reach = np.abs(self.coordinates(mode)) + 1.0 + (self.size if mode == "tf_crop_and_resize" else 0)
        return np.asarray(COORDINATE_ROUNDINGS * roundoff * reach)


def nearest(x: Array, mode: str, size: int) -> Array:
    """The input place that stands for a coordinate, inside the input."""
    rounded = {
        "round_prefer_floor": lambda: np.ceil(x - 0.5),
        "round_prefer_ceil": lambda: np.floor(x + 0.5),
        "floor": lambda: np.floor(x),
        "ceil": lambda: np.ceil(x),
    }[mode]()
    return np.clip(rounded, 0, size - 1).astype(np.int64)


def triangle(distance: Array) -> Array:
    """Linear interpolation."""
    return np.maximum(1.0 - np.abs(distance), 0.0)


def keys(distance: Array, a: float) -> Array:
    """Cubic convolution: R. Keys, IEEE Trans. ASSP 29 (1981), equation 4 generalised to the parameter ``a``."""
    d = np.abs(distance)
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))


@dataclass(frozen=True)
class Kernel:
    """How neighbours are weighed.

    Attributes:
        cubic: Keys' kernel instead of the triangle.
        a: its parameter.
        antialias: stretch it when the axis shrinks.
        exclude_outside: leave out places beyond the edge.
    """

    cubic: bool
    a: float
    antialias: bool
    exclude_outside: bool

    @property
    def slope(self) -> float:
        """No smaller than the kernel's steepest slope."""
        return 2.0 + 2.0 * abs(self.a) if self.cubic else 1.0

    def stretch(self, axis: Axis) -> float:
        """Factor on distances; below 1 where antialiasing widens the kernel."""
        return min(axis.scale, 1.0) if self.antialias else 1.0

    def _taps(self, axis: Axis, x: Array) -> tuple[Array, Array]:
        """Input places around each coordinate, unclipped, and their weights: [length, taps]."""
        factor = self.stretch(axis)
        reach = int(np.ceil((2.0 if self.cubic else 1.0) / factor))
        place = np.floor(x)[:, None] + np.arange(-reach, reach + 2)
        distance = (place - x[:, None]) * factor
        weight = keys(distance, self.a) if self.cubic else triangle(distance)
        if self.exclude_outside:
            weight = np.where((place < 0) | (place >= axis.size), 0.0, weight)
        if self.exclude_outside or self.antialias:
            weight = weight / weight.sum(axis=1, keepdims=True)
        return np.clip(place, 0, axis.size - 1).astype(np.int64), weight

    def matrix(self, axis: Axis, coordinate: str) -> Array:
        """Weights [length, size]."""
        place, weight = self._taps(axis, axis.coordinates(coordinate))
        w = np.zeros((axis.length, axis.size))
        np.add.at(w, (np.arange(axis.length)[:, None], place), weight)
        return w

    def sensitivity(self, axis: Axis, coordinate: str, roundoff: float) -> Array:
        """How far each weight may be off because its coordinate is: [length, size]."""
        x = axis.coordinates(coordinate)
        place, _ = self._taps(axis, x)
        error = self.slope * axis.uncertainty(coordinate, roundoff)[:, None]
        renormalised = 4.0 if self.antialias or self.exclude_outside else 1.0
        w = np.zeros((axis.length, axis.size))
        np.maximum.at(w, (np.arange(axis.length)[:, None], place), renormalised * error)
        return w


def apply(matrix: Array, x: Array, axis: int) -> Array:
    """A matrix [length, size] on one axis of a tensor."""
    return np.moveaxis(np.tensordot(x, matrix, axes=([axis], [1])), -1, axis)
