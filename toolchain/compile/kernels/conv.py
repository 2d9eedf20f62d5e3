"""Conv: ``conv_s8`` and ``conv_f32``, with activation and pool built in."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from toolchain.compile.accumulators import folded, int8_weights, integer_bias, output_requantizer, rises, scales_of
from toolchain.compile.kernels.activation import IDLE, Activation, UnaryF32
from toolchain.compile.kernels.pools import AveragePoolF32, AveragePoolS8, MaxPoolF32, MaxPoolS8
from toolchain.compile.kernels.unary import TableS8
from toolchain.compile.kernels.window import Window, window
from toolchain.compile.lowering import Fixed, Lowering, Site, finite
from toolchain.compile.program import Call, Constant, Layer, Symbol, Value, requantize_struct, struct
from toolchain.compile.requantize import Requantizer
from toolchain.compile.tensor import Tensor

POOL_AREA = 16
"""``CONV_S8_POOL_AREA`` of ``conv_s8.h``, ``CONV_F32_POOL_AREA`` of ``conv_f32.h``."""
BLOCK = 16
"""``CONV_F32_BLOCK``, ``GEMM_F32_BLOCK``."""


def shape_fields(w: Window, pool: Window | None, channels: int, groups: int) -> dict[str, Value]:
    """The fields that ``conv_s8_layer`` and ``conv_f32_layer`` begin with."""
    return {
        "in_height": w.in_height,
        "in_width": w.in_width,
        "in_channels": w.in_channels,
        "out_height": (pool or w).out_height,
        "out_width": (pool or w).out_width,
        "out_channels": channels,
        "kernel_height": w.kernel[0],
        "kernel_width": w.kernel[1],
        "stride_y": w.stride[0],
        "stride_x": w.stride[1],
        "dilation_y": w.dilation[0],
        "dilation_x": w.dilation[1],
        "pad_top": w.top,
        "pad_left": w.left,
        "groups": groups,
    }


def pool_fields(pool: Window | None) -> dict[str, Value]:
    """The size of the pool behind the convolution."""
    rows, columns = pool.kernel if pool else (1, 1)
    return {"pool_height": rows, "pool_width": columns}


def patches(w: Window, pool: Window | None, groups: int) -> int:
    """Elements of the windows that are gathered."""
    if not w.padded and w.dilation == (1, 1) and groups == 1:
        return 0
    area = pool.kernel[0] * pool.kernel[1] if pool else 4
    return area * w.kernel[0] * w.kernel[1] * (w.in_channels // groups)


def distance(w: Window, pool: Window | None, output: Tensor) -> int:
    """How far the input has to lie above the output: bytes."""
    element = output.element.bytes
    return w.distance((pool or w).out_width * output.shape[1] * element, element, pool.kernel[0] if pool else 1)


def poolable(pool: Window) -> bool:
    """Whether the kernels can build a pool in: one of single positions is none to them."""
    return pool.apart and 1 < pool.kernel[0] * pool.kernel[1] <= POOL_AREA


@dataclass(frozen=True)
class ConvS8(Layer):
    """One ``conv_s8``.

    Attributes:
        window: of the convolution itself.
        groups: of channels.
        weights: int8 [out_channels, kernel_height, kernel_width, in_channels / groups].
        bias: int32 [out_channels], less zero point times sum of weights.
        requantizer: of each convolution output.
        pool: behind it, ``None`` without.
        mean: of an average pool's sum.
    """

    window: Window
    groups: int
    weights: Constant
    bias: Constant
    requantizer: Requantizer
    pool: Window | None = None
    mean: Requantizer | None = None
    mean_bias: int = 0

    def call(self) -> Call:
        """Fields as in ``conv_s8.h``."""
        x = self.inputs[0]
        mean: dict[str, Value] = {}
        if self.mean is not None:
            mean = {"mean": requantize_struct(self.mean), "mean_bias": self.mean_bias}
        layer = struct(
            "conv_s8_layer",
            **shape_fields(self.window, self.pool, self.output.shape[1], self.groups),
            padding=x.quantized.zero,
            pool=Symbol(f"CONV_S8_{'NO' if self.pool is None else 'MAX' if self.mean is None else 'AVERAGE'}_POOL"),
            **pool_fields(self.pool),
            weights=self.weights,
            bias=self.bias,
            output=requantize_struct(self.requantizer),
            **mean,
        )
        scratch = patches(self.window, self.pool, self.groups)
        return Call("conv_s8", layer, self.inputs, self.output, scratch, distance(self.window, self.pool, self.output))

    def absorb(self, later: Layer) -> Layer | None:
        """A table; a pool whose windows do not overlap, and a table behind it."""
        if isinstance(later, TableS8):
            if self.mean is not None:
                return replace(self, mean=self.mean.mapped(later.table), **self.joined(later))
            if self.pool is None or rises(later.table, -128, 127):
                return replace(self, requantizer=self.requantizer.mapped(later.table), **self.joined(later))
            return None
        if self.pool is not None or not isinstance(later, MaxPoolS8 | AveragePoolS8):
            return None
        pool = later.window
        if not poolable(pool):
            return None
        if isinstance(later, MaxPoolS8):
            made = self.requantizer
            if not rises(made.table, made.low, made.high):
                return None
            joined = replace(self, pool=pool, **self.joined(later))
            return joined if later.table is None else replace(joined, requantizer=made.mapped(later.table))
        area = pool.kernel[0] * pool.kernel[1]
        bias = -area * later.inputs[0].quantized.zero
        return replace(self, pool=pool, mean=later.requantizers[0], mean_bias=bias, **self.joined(later))


def integer(site: Site) -> Layer:
    """Conv of quantized maps and weights."""
    x, weights = site.tensor(0), site.fixed(1, "weight")
    w = window(site, site.attributes.windows, x, tuple(weights.values.shape[2:]))
    values = int8_weights(weights, site)
    channels = values.shape[0]
    scales = scales_of(weights, 0, channels, site)
    taps = np.moveaxis(values, 1, -1).reshape(channels, -1)
    bias, ranges = folded(taps, integer_bias(site.optional(2, "bias"), x, scales, site), x, site, padded=w.padded)
    return ConvS8(
        name=site.step.name,
        nodes=site.nodes,
        inputs=(x,),
        output=site.output,
        window=w,
        groups=site.attributes.group,
        weights=Constant("int8_t", taps.astype(np.int8).ravel()),
        bias=Constant("int32_t", bias.astype(np.int32)),
        requantizer=output_requantizer(x, scales, ranges, site.output),
    )


@dataclass(frozen=True)
class ConvF32(Layer):
    """One ``conv_f32``.

    Attributes:
        window: of the convolution itself.
        groups: of channels.
        weights, bias: in blocks of output channels.
        activation: of each convolution output.
        pool: behind it, ``None`` without.
        average: the pool takes the mean.
    """

    window: Window
    groups: int
    weights: Constant
    bias: Constant
    activation: Activation = IDLE
    pool: Window | None = None
    average: bool = False

    def call(self) -> Call:
        """Fields as in ``conv_f32.h``."""
        layer = struct(
            "conv_f32_layer",
            **shape_fields(self.window, self.pool, self.output.shape[1], self.groups),
            pool=Symbol(f"CONV_F32_{'NO' if self.pool is None else 'AVERAGE' if self.average else 'MAX'}_POOL"),
            **pool_fields(self.pool),
            weights=self.weights,
            bias=self.bias,
            activation=self.activation.struct(),
        )
        scratch = patches(self.window, self.pool, self.groups) * self.output.element.bytes
        return Call("conv_f32", layer, self.inputs, self.output, scratch, distance(self.window, self.pool, self.output))

    def absorb(self, later: Layer) -> Layer | None:
        """An activation; a pool whose windows do not overlap."""
        if self.pool is not None:
            return None
        if isinstance(later, UnaryF32) and self.activation.idle:
            return replace(self, activation=later.activation, **self.joined(later))
        if isinstance(later, MaxPoolF32 | AveragePoolF32) and poolable(later.window) and later.activation.idle:
            average = isinstance(later, AveragePoolF32)
            return replace(self, pool=later.window, average=average, **self.joined(later))
        return None


def blocks(values: NDArray[np.float32], groups: int) -> NDArray[np.float32]:
    """[groups * channels, rest...] as [groups, blocks, rest..., BLOCK]; what is missing in a last block is zero."""
    own = values.reshape(groups, values.shape[0] // groups, *values.shape[1:])
    padding = [(0, 0), (0, -own.shape[1] % BLOCK), *[(0, 0)] * (own.ndim - 2)]
    padded = np.pad(own, padding) if own.shape[1] % BLOCK else own
    split = padded.reshape(groups, padded.shape[1] // BLOCK, BLOCK, *own.shape[2:])
    return np.ascontiguousarray(np.moveaxis(split, 2, -1))


def real_bias(addend: Fixed | None, channels: int, site: Site) -> NDArray[np.float32]:
    """[channels], zeros where the node has none."""
    if addend is None:
        return np.zeros(channels, dtype=np.float32)
    values = finite(addend.floats, site, "bias").astype(np.float32)
    return np.broadcast_to(values.reshape(-1), (channels,)).copy()


def real(site: Site) -> Layer:
    """Conv of float maps with constant weights."""
    x, weights = site.tensor(0), site.fixed(1, "weight")
    w = window(site, site.attributes.windows, x, tuple(weights.values.shape[2:]))
    values = finite(weights.floats, site, "weight").astype(np.float32)
    groups, channels = site.attributes.group, values.shape[0]
    bias = real_bias(site.optional(2, "bias"), channels, site)
    return ConvF32(
        name=site.step.name,
        nodes=site.nodes,
        inputs=(x,),
        output=site.output,
        window=w,
        groups=groups,
        weights=Constant("float", blocks(np.moveaxis(values, 1, -1), groups).ravel()),
        bias=Constant("float", blocks(bias, groups).ravel()),
    )


LOWERINGS = (Lowering("Conv", integer, real),)
