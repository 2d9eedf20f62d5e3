"""Float layers for processors with vector units, on ``vector_f32.h``.

Microcontrollers keep ``conv_f32`` and its like, which need less memory.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from toolchain.compile.kernels.conv import BLOCK, ConvF32
from toolchain.compile.kernels.gemm import GemmF32, flattened
from toolchain.compile.kernels.lrn import LrnF32
from toolchain.compile.kernels.pools import MaxPoolF32
from toolchain.compile.kernels.window import Window
from toolchain.compile.program import Call, Constant, Layer, Struct, Symbol, struct

STRIP = 256 * 1024
"""Bytes of input that stay in a second-level cache beside the weights of some channels."""
SHARE = 4
"""A strip may be as large as the weights over this, so that they are not read too often."""
SLICE = 16
"""Input channels: floats of a cache line."""
LEAST_CHANNELS = 4
"""Output channels of a group that are worth a vector."""
ROW_CHANNELS = 32
"""Most output channels of a layer with one input map that is computed along rows."""
ROW_OUTPUTS = 32
"""Outputs of a row that ``convrow_f32`` may compute together, on the widest vectors."""
WIDEST = 16
"""Floats of the widest vector."""
THREE_QUARTERS = 0.75
"""The exponent of AlexNet's normalisation, made of two square roots."""


def widened(layer: Layer) -> Layer:
    """The layer with a kernel for vectors, where there is one for its shape."""
    if isinstance(layer, ConvF32):
        whole = flattened(layer)
        if whole is not None:
            return GemmWideF32(**vars(whole))
        if _is_row(layer):
            return ConvRowF32(**vars(layer))
        if layer.bias.data.size and layer.output.shape[1] // layer.groups >= LEAST_CHANNELS:
            return ConvWideF32(**vars(layer))
    if isinstance(layer, GemmF32):
        return GemmWideF32(**vars(layer))
    if isinstance(layer, MaxPoolF32) and layer.window.in_channels >= WIDEST:
        return MaxPoolWideF32(**vars(layer))
    if isinstance(layer, LrnF32) and layer.numbers[1] == THREE_QUARTERS:
        return LrnWideF32(**vars(layer))
    return layer


def _is_row(layer: ConvF32) -> bool:
    """Whether vectors along rows of the one input map serve better than over channels."""
    w = layer.window
    plain = w.in_channels == 1 and w.stride[1] == 1 and w.dilation == (1, 1) and w.out_width >= ROW_OUTPUTS // 4
    return plain and layer.output.shape[1] <= ROW_CHANNELS and (layer.pool is None or layer.pool.kernel == (2, 2))


class GemmWideF32(GemmF32):
    """One ``gemmwide_f32``."""

    def call(self) -> Call:
        """Fields as in ``gemmwide_f32.h``."""
        plain = super().call()
        return replace(plain, function="gemmwide_f32", layer=Struct("gemmwide_f32_layer", plain.layer.fields))


class ConvWideF32(ConvF32):
    """One ``convwide_f32``."""

    def call(self) -> Call:
        """Fields as in ``convwide_f32.h``."""
        plain = super().call()
        strip = strip_rows(self.window, self.pool, self.weights.data.nbytes)
        depth = self.window.in_channels // self.groups
        part = slice_of(depth)
        fields = dict(plain.layer.fields)
        del fields["weights"]
        bias, activation = fields.pop("bias"), fields.pop("activation")
        fields["pool"] = Symbol(
            f"CONVWIDE_F32_{'NO' if self.pool is None else 'AVERAGE' if self.average else 'MAX'}_POOL"
        )
        layer = struct(
            "convwide_f32_layer",
            **fields,
            strip=strip,
            slice=part,
            weights=self._sliced(part),
            bias=bias,
            activation=activation,
        )
        as_it_is = not self.window.padded and part == self.window.in_channels
        scratch = 0 if as_it_is else 4 * strip_size(self.window, self.pool, strip)
        return replace(plain, function="convwide_f32", layer=layer, scratch=scratch, distance=None)

    def _sliced(self, part: int) -> Constant:
        """Weights [groups, blocks, kernel, depth, BLOCK] as [groups, blocks, slices, kernel, slice, BLOCK]."""
        rows, columns = self.window.kernel
        depth = self.window.in_channels // self.groups
        whole = self.weights.data.reshape(-1, rows * columns, depth // part, part, BLOCK)
        return Constant("float", np.ascontiguousarray(whole.transpose(0, 2, 1, 3, 4)).ravel())


class ConvRowF32(ConvF32):
    """One ``convrow_f32``."""

    def call(self) -> Call:
        """Fields as in ``convrow_f32.h``."""
        plain = super().call()
        w, channels = self.window, self.output.shape[1]
        shrink = 1 if self.pool is None else 2
        out_height, out_width = (self.pool or w).out_height, (self.pool or w).out_width
        pitch = -(-out_width * shrink // ROW_OUTPUTS) * ROW_OUTPUTS + w.kernel[1] - 1
        together = 6 if channels % 6 == 0 else 4
        layer = struct(
            "convrow_f32_layer",
            in_height=w.in_height,
            in_width=w.in_width,
            out_height=out_height,
            out_width=out_width,
            out_channels=channels,
            kernel_height=w.kernel[0],
            kernel_width=w.kernel[1],
            stride_y=w.stride[0],
            pad_top=w.top,
            pad_left=w.left,
            pitch=pitch,
            together=together,
            pool=Symbol(f"CONVROW_F32_{'NO' if self.pool is None else 'AVERAGE' if self.average else 'MAX'}_POOL"),
            weights=self._regrouped(self.weights, together),
            bias=self._regrouped(self.bias, together),
            activation=self.activation.struct(),
        )
        rows = (out_height * shrink - 1) * w.stride[0] + w.kernel[0]
        return replace(plain, function="convrow_f32", layer=layer, scratch=4 * rows * pitch, distance=None)

    def _regrouped(self, constant: Constant, together: int) -> Constant:
        """[blocks, taps, BLOCK] as [channels / together, taps, together]."""
        channels = self.output.shape[1]
        taps = constant.data.size // (-(-channels // BLOCK) * BLOCK)
        rows = constant.data.reshape(-1, taps, BLOCK).transpose(0, 2, 1).reshape(-1, taps)[:channels]
        padded = np.pad(rows, [(0, -channels % together), (0, 0)])
        return Constant("float", np.ascontiguousarray(padded.reshape(-1, together, taps).transpose(0, 2, 1)).ravel())


def slice_of(depth: int) -> int:
    """Input channels that lie side by side: 16 if that divides them, else a number near it, or all."""
    if depth <= 2 * SLICE:
        return depth if depth < 2 * SLICE else SLICE
    near = sorted(range(SLICE // 2, 2 * SLICE + 1), key=lambda n: (abs(n - SLICE), n))
    return next((n for n in near if depth % n == 0), depth)


class MaxPoolWideF32(MaxPoolF32):
    """One ``maxpoolwide_f32``."""

    def call(self) -> Call:
        """Fields as in ``maxpoolwide_f32.h``."""
        plain = super().call()
        layer = Struct("maxpoolwide_f32_layer", plain.layer.fields)
        return replace(plain, function="maxpoolwide_f32", layer=layer, distance=None)


class LrnWideF32(LrnF32):
    """One ``lrnwide_f32``."""

    def call(self) -> Call:
        """Fields as in ``lrnwide_f32.h``."""
        plain = super().call()
        fields = tuple((name, value) for name, value in plain.layer.fields if name != "beta")
        scratch = 4 * (self.output.channels + self.size - 1 + WIDEST)
        return replace(plain, function="lrnwide_f32", layer=Struct("lrnwide_f32_layer", fields), scratch=scratch)


def strip_size(w: Window, pool: Window | None, rows: int) -> int:
    """Values of the input that the windows of ``rows`` output rows span, with the padding."""
    tall, wide = pool.kernel if pool else (1, 1)
    height = (rows * tall - 1) * w.stride[0] + (w.kernel[0] - 1) * w.dilation[0] + 1
    width = ((pool or w).out_width * wide - 1) * w.stride[1] + (w.kernel[1] - 1) * w.dilation[1] + 1
    return height * width * w.in_channels


def strip_rows(w: Window, pool: Window | None, weights: int) -> int:
    """Output rows that are made from one strip of input: near-equal strips, as large as the caches allow.

    Args:
        w: of the convolution.
        pool: behind it.
        weights: bytes.
    """
    height = (pool or w).out_height
    limit = max(STRIP, weights // SHARE)
    most = next((rows for rows in range(height, 1, -1) if 4 * strip_size(w, pool, rows) <= limit), 1)
    return -(-height // -(-height // most))
