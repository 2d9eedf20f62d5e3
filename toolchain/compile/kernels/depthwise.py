"""Depthwise convolutions over channels: ``depthwise_s8``, and ``depthwise_f32`` on processors with vector units.

The smallest arena has ``conv_s8``, which gathers single windows. Integers have the same bytes in both.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from toolchain.compile.kernels.blocks import filled_up
from toolchain.compile.kernels.conv import BLOCK, ConvF32, ConvS8
from toolchain.compile.program import Call, Constant, Layer, Struct, Value, requantize_struct

MOST_TAPS = 81
"""``DEPTHWISE_S8_TAPS``, ``DEPTHWISE_F32_TAPS``."""


def depthwise(layer: Layer) -> Layer | None:
    """The layer with a kernel over channels, if each of its channels has a kernel of its own and no pool follows."""
    if not isinstance(layer, ConvS8 | ConvF32) or not _applies(layer):
        return None
    return DepthwiseS8(**vars(layer)) if isinstance(layer, ConvS8) else DepthwiseF32(**vars(layer))


def depthwise_integers(layer: Layer) -> Layer | None:
    """The same, of int8 layers only."""
    return depthwise(layer) if isinstance(layer, ConvS8) else None


def _applies(layer: ConvS8 | ConvF32) -> bool:
    w = layer.window
    own = 1 < layer.groups == w.in_channels == layer.output.shape[1]
    return own and layer.pool is None and w.kernel[0] * w.kernel[1] <= MOST_TAPS


class DepthwiseS8(ConvS8):
    """One ``depthwise_s8``."""

    def call(self) -> Call:
        """Fields as in ``depthwise_s8.h``."""
        plain = super().call()
        taps = self.weights.data.reshape(self.groups, -1)
        even = np.pad(taps, [(0, 0), (0, taps.shape[1] % 2)])
        pairs = even.reshape(self.groups, -1, 2).transpose(1, 0, 2)
        fields: dict[str, Value] = {
            **_without_pool(plain),
            "weights": Constant("int16_t", np.ascontiguousarray(pairs, dtype=np.int16).ravel()),
            "output": requantize_struct(filled_up(self.requantizer, 1)),
        }
        layer = Struct("depthwise_s8_layer", tuple(fields.items()))
        return replace(plain, function="depthwise_s8", layer=layer, scratch=self.groups)


class DepthwiseF32(ConvF32):
    """One ``depthwise_f32``."""

    def call(self) -> Call:
        """Fields as in ``depthwise_f32.h``."""
        plain = super().call()
        taps = self.weights.data.reshape(self.groups, -1, BLOCK)[:, :, 0].T
        fields: dict[str, Value] = {
            **_without_pool(plain),
            "weights": Constant("float", np.ascontiguousarray(taps).ravel()),
            "bias": Constant("float", self.bias.data.reshape(-1, BLOCK)[:, 0].copy()),
        }
        layer = Struct("depthwise_f32_layer", tuple(fields.items()))
        return replace(plain, function="depthwise_f32", layer=layer, scratch=self.output.element.bytes * self.groups)


def _without_pool(call: Call) -> dict[str, Value]:
    return {name: value for name, value in call.layer.fields if not name.startswith("pool")}
