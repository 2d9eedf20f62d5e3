"""MaxPool, AveragePool and their global forms, in int8 and float."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from toolchain.compile.accumulators import rises
from toolchain.compile.functions import identity, table
from toolchain.compile.kernels.activation import IDLE, Activation, UnaryF32
from toolchain.compile.kernels.unary import TableS8
from toolchain.compile.kernels.window import Window, window
from toolchain.compile.lowering import Lowering, Site
from toolchain.compile.program import Call, Constant, Layer, StructArray, Value, requantize_struct, struct
from toolchain.compile.requantize import Requantizer, Target, requantizer
from toolchain.compile.tensor import Tensor
from toolchain.ops.windows import Windows


def _fields(w: Window) -> dict[str, Value]:
    """The fields that all pools begin with."""
    return {
        "in_height": w.in_height,
        "in_width": w.in_width,
        "channels": w.in_channels,
        "out_height": w.out_height,
        "out_width": w.out_width,
        "kernel_height": w.kernel[0],
        "kernel_width": w.kernel[1],
        "stride_y": w.stride[0],
        "stride_x": w.stride[1],
        "dilation_y": w.dilation[0],
        "dilation_x": w.dilation[1],
        "pad_top": w.top,
        "pad_left": w.left,
    }


@dataclass(frozen=True)
class MaxPoolS8(Layer):
    """One ``maxpool_s8``, with a table behind it where scales differ or a function was built in."""

    window: Window
    table: tuple[int, ...] | None

    def call(self) -> Call:
        """Fields as in ``maxpool_s8.h``."""
        w = self.window
        layer = struct(
            "maxpool_s8_layer",
            **_fields(w),
            table=None if self.table is None else Constant("int8_t", np.array(self.table, dtype=np.int8)),
        )
        distance = w.distance(w.out_width * w.in_channels, 1)
        return Call("maxpool_s8", layer, self.inputs, self.output, distance=distance)

    def absorb(self, later: Layer) -> Layer | None:
        """A table."""
        if not isinstance(later, TableS8):
            return None
        own = range(-128, 128) if self.table is None else self.table
        return replace(self, table=tuple(later.table[v + 128] for v in own), **self.joined(later))


@dataclass(frozen=True)
class AveragePoolS8(Layer):
    """One ``averagepool_s8``.

    Attributes:
        window: of the pool.
        requantizers: one a different number of elements that a window divides by.
        divisors: for each output position which of them.
    """

    window: Window
    requantizers: tuple[Requantizer, ...]
    divisors: tuple[int, ...]

    def call(self) -> Call:
        """Fields as in ``averagepool_s8.h``."""
        w, x = self.window, self.inputs[0]
        layer = struct(
            "averagepool_s8_layer",
            **_fields(w),
            zero=x.quantized.zero,
            divisors=Constant("uint8_t", np.array(self.divisors, dtype=np.uint8)),
            outputs=StructArray(tuple(requantize_struct(made) for made in self.requantizers)),
        )
        distance = w.distance(w.out_width * w.in_channels, 1)
        return Call("averagepool_s8", layer, self.inputs, self.output, distance=distance)

    def absorb(self, later: Layer) -> Layer | None:
        """A table."""
        if not isinstance(later, TableS8):
            return None
        mapped = tuple(made.mapped(later.table) for made in self.requantizers)
        return replace(self, requantizers=mapped, **self.joined(later))


def maxpool(site: Site) -> Layer:
    """MaxPool of quantized maps, without indices."""
    _no_indices(site)
    return _maxpool(site, window(site, site.attributes.windows, site.tensor(0)))


def _no_indices(site: Site) -> None:
    if site.attributes.indices:
        raise site.unsupported("the indices of the largest values are wanted", "there is no kernel for them")


def global_maxpool(site: Site) -> Layer:
    """GlobalMaxPool of quantized maps."""
    return _maxpool(site, window(site, _whole(site.tensor(0)), site.tensor(0)))


def _maxpool(site: Site, w: Window) -> Layer:
    x, y = site.tensor(0), site.output
    entries = tuple(min(max(v, y.low), y.high) for v in table(identity, x.quantized, y.quantized))
    same = entries[x.low + 128 : x.high + 129] == tuple(range(x.low, x.high + 1))
    if not rises(entries, -128, 127):
        raise ArithmeticError(f"{site.step.name}: requantizing does not rise")
    low, high = entries[x.low + 128], entries[x.high + 128]
    return MaxPoolS8(site.step.name, site.nodes, (x,), replace(y, low=low, high=high), w, None if same else entries)


def averagepool(site: Site) -> Layer:
    """AveragePool of quantized maps: an exact sum, rounded once."""
    x = site.tensor(0)
    windows = site.attributes.windows
    w = window(site, windows, x)
    counts = windows.resolve(x.shape[2:]).counts(site.attributes.count_include_pad)
    return _average(site, w, np.asarray(counts).reshape(-1))


def global_averagepool(site: Site) -> Layer:
    """GlobalAveragePool of quantized maps."""
    x = site.tensor(0)
    w = window(site, _whole(x), x)
    return _average(site, w, np.array([w.in_height * w.in_width]))


def _average(site: Site, w: Window, counts: np.ndarray) -> Layer:
    x, y = site.tensor(0), site.output
    sizes = sorted(set(counts.tolist()))
    if len(sizes) > 256 or w.kernel[0] * w.kernel[1] > 1 << 22:
        raise site.unsupported("windows of too many sizes", "use a smaller pool")
    made = []
    taps = w.kernel[0] * w.kernel[1]
    zero = x.quantized.zero
    for size in sizes:
        ratio = x.quantized.scale / (size * y.quantized.scale)
        # Taps in the padding add nothing, so that fewer than all may count.
        least, most = (
            (taps * min(0, x.low - zero), taps * max(0, x.high - zero))
            if w.padded
            else (
                taps * (x.low - zero),
                taps * (x.high - zero),
            )
        )
        made.append(requantizer([Target(Fraction(ratio), least, most)], y.quantized.zero, y.low, y.high))
    divisors = tuple(sizes.index(count) for count in counts.tolist())
    return AveragePoolS8(site.step.name, site.nodes, (x,), y, w, tuple(made), divisors)


def _whole(x: Tensor) -> Windows:
    return Windows(x.shape[2:], None, None, None)


@dataclass(frozen=True)
class MaxPoolF32(Layer):
    """One ``maxpool_f32``."""

    window: Window
    activation: Activation = IDLE

    def call(self) -> Call:
        """Fields as in ``maxpool_f32.h``."""
        w = self.window
        layer = struct("maxpool_f32_layer", **_fields(w), activation=self.activation.struct())
        return Call(
            "maxpool_f32", layer, self.inputs, self.output, distance=w.distance(w.out_width * w.in_channels * 4, 4)
        )

    def absorb(self, later: Layer) -> Layer | None:
        """An activation."""
        if not isinstance(later, UnaryF32) or not self.activation.idle:
            return None
        return replace(self, activation=later.activation, **self.joined(later))


@dataclass(frozen=True)
class AveragePoolF32(Layer):
    """One ``averagepool_f32``: for each output position how many elements count."""

    window: Window
    divisors: tuple[int, ...]
    activation: Activation = IDLE

    def call(self) -> Call:
        """Fields as in ``averagepool_f32.h``."""
        w = self.window
        layer = struct(
            "averagepool_f32_layer",
            **_fields(w),
            divisors=Constant("int32_t", np.array(self.divisors, dtype=np.int32)),
            activation=self.activation.struct(),
        )
        distance = w.distance(w.out_width * w.in_channels * 4, 4)
        return Call("averagepool_f32", layer, self.inputs, self.output, distance=distance)

    def absorb(self, later: Layer) -> Layer | None:
        """An activation."""
        if not isinstance(later, UnaryF32) or not self.activation.idle:
            return None
        return replace(self, activation=later.activation, **self.joined(later))


def real_maxpool(site: Site) -> Layer:
    """MaxPool of float maps, without indices."""
    _no_indices(site)
    w = window(site, site.attributes.windows, site.tensor(0))
    return MaxPoolF32(site.step.name, site.nodes, (site.tensor(0),), site.output, w)


def real_global_maxpool(site: Site) -> Layer:
    """GlobalMaxPool of float maps."""
    x = site.tensor(0)
    return MaxPoolF32(site.step.name, site.nodes, (x,), site.output, window(site, _whole(x), x))


def real_averagepool(site: Site) -> Layer:
    """AveragePool of float maps."""
    x, windows = site.tensor(0), site.attributes.windows
    counts = np.asarray(windows.resolve(x.shape[2:]).counts(site.attributes.count_include_pad)).reshape(-1)
    w = window(site, windows, x)
    return AveragePoolF32(site.step.name, site.nodes, (x,), site.output, w, tuple(counts.tolist()))


def real_global_averagepool(site: Site) -> Layer:
    """GlobalAveragePool of float maps."""
    x = site.tensor(0)
    w = window(site, _whole(x), x)
    return AveragePoolF32(site.step.name, site.nodes, (x,), site.output, w, (w.in_height * w.in_width,))


LOWERINGS = (
    Lowering("MaxPool", maxpool, real_maxpool),
    Lowering("GlobalMaxPool", global_maxpool, real_global_maxpool),
    Lowering("AveragePool", averagepool, real_averagepool),
    Lowering("GlobalAveragePool", global_averagepool, real_global_averagepool),
)
