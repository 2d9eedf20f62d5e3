"""ConvTranspose: ``convtranspose_s8``, ``convtranspose_f32``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from toolchain.compile.accumulators import int8_weights, integer_bias, output_requantizer, scales_of
from toolchain.compile.kernels.activation import IDLE, Activation, UnaryF32
from toolchain.compile.kernels.conv import real_bias
from toolchain.compile.kernels.unary import TableS8
from toolchain.compile.lowering import Fixed, Lowering, Site, finite
from toolchain.compile.program import Call, Constant, Layer, Value, requantize_struct, struct
from toolchain.compile.requantize import INT32_HIGH, INT32_LOW, Requantizer
from toolchain.compile.tensor import Tensor


@dataclass(frozen=True)
class Landing:
    """Where the taps of a kernel land: two spatial axes, a map with one has height 1.

    Attributes:
        size: of the input.
        output: of the output.
        kernel, stride, dilation: rows, columns.
        crop: rows and columns of the full output before the first that is kept.
        groups: of channels.
    """

    size: tuple[int, int]
    output: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    crop: tuple[int, int]
    groups: int

    def fields(self, inputs: int, outputs: int) -> dict[str, Value]:
        """As both kernels' structures begin."""
        return {
            "in_height": self.size[0],
            "in_width": self.size[1],
            "in_channels": inputs,
            "out_height": self.output[0],
            "out_width": self.output[1],
            "out_channels": outputs,
            "kernel_height": self.kernel[0],
            "kernel_width": self.kernel[1],
            "stride_y": self.stride[0],
            "stride_x": self.stride[1],
            "dilation_y": self.dilation[0],
            "dilation_x": self.dilation[1],
            "crop_top": self.crop[0],
            "crop_left": self.crop[1],
            "groups": self.groups,
        }


def landing(site: Site, x: Tensor, kernel: tuple[int, ...]) -> Landing:
    """Fix the attributes of a node for its input.

    ONNX gives the output's size with the padding, or the padding with the output's size; the latter is what shape
    inference has settled.

    Raises:
        UnsupportedError: other than one or two spatial axes.
    """
    spatial, node = x.shape[2:], site.attributes
    rank = len(spatial)
    if rank not in (1, 2) or x.shape[0] != 1:
        raise site.unsupported(f"an input of shape {list(x.shape)}", "kernels exist for one and two spatial axes")
    w = node.windows
    strides, dilations = w.strides or (1,) * rank, w.dilations or (1,) * rank
    output = site.output.shape[2:]
    if node.output_shape is None and not w.auto_pad.startswith("SAME"):
        crop = tuple(w.pads[:rank]) if w.pads and w.auto_pad == "NOTSET" else (0,) * rank
    else:
        extra = node.output_padding or (0,) * rank
        crop = tuple(
            _begin(s * (n - 1) + e + d * (k - 1) + 1 - o, w.auto_pad)
            for s, n, e, d, k, o in zip(strides, spatial, extra, dilations, kernel, output, strict=True)
        )

    def two(values: Any, missing: int) -> tuple[int, int]:
        return (missing, int(values[0])) if len(values) == 1 else (int(values[0]), int(values[1]))

    return Landing(
        two(spatial, 1), two(output, 1), two(kernel, 1), two(strides, 1), two(dilations, 1), two(crop, 0), node.group
    )


def _begin(total: int, auto_pad: str) -> int:
    """The part of the padding that comes first; the odd one goes to the end under SAME_UPPER."""
    total = max(total, 0)
    return total // 2 if auto_pad == "SAME_UPPER" else total - total // 2


def ordered(weights: np.ndarray, groups: int) -> np.ndarray:
    """[C, M / group, kernel...] as [M, kernel..., C / group]."""
    split = weights.reshape(groups, weights.shape[0] // groups, *weights.shape[1:])
    turned = np.moveaxis(split, 1, -1)
    return np.ascontiguousarray(turned.reshape(groups * weights.shape[1], *turned.shape[2:]))


@dataclass(frozen=True)
class ConvTransposeS8(Layer):
    """One ``convtranspose_s8``.

    Attributes:
        landing: of the taps.
        weights: int8 [out_channels, kernel_height, kernel_width, in_channels / groups].
        bias: int32 [out_channels].
        requantizer: of the sums.
    """

    landing: Landing
    weights: Constant
    bias: Constant
    requantizer: Requantizer

    def call(self) -> Call:
        """Fields as in ``convtranspose_s8.h``."""
        x = self.inputs[0]
        layer = struct(
            "convtranspose_s8_layer",
            **self.landing.fields(x.shape[1], self.output.shape[1]),
            zero=x.quantized.zero,
            weights=self.weights,
            bias=self.bias,
            output=requantize_struct(self.requantizer),
        )
        return Call("convtranspose_s8", layer, self.inputs, self.output)

    def absorb(self, later: Layer) -> Layer | None:
        """A table."""
        if not isinstance(later, TableS8):
            return None
        return replace(self, requantizer=self.requantizer.mapped(later.table), **self.joined(later))


def integer(site: Site) -> Layer:
    """ConvTranspose of quantized maps and weights."""
    x, weights = site.tensor(0), site.fixed(1, "weight")
    groups, channels = site.attributes.group, site.output.shape[1]
    values = ordered(int8_weights(weights, site), groups)
    scales = _scales(weights, channels, groups, site)
    bias = integer_bias(site.optional(2, "bias"), x, scales, site)
    low, high = x.low - x.quantized.zero, x.high - x.quantized.zero
    taps = values.reshape(channels, -1).astype(np.int64)
    # A window at the border misses taps, and each tap that is there may have either end of the range.
    most = bias + np.maximum(np.maximum(taps * low, taps * high), 0).sum(axis=1)
    least = bias + np.minimum(np.minimum(taps * low, taps * high), 0).sum(axis=1)
    if most.max() > INT32_HIGH or least.min() < INT32_LOW:
        channel = int(np.argmax(np.maximum(most, -least)))
        raise site.unsupported(
            f"the accumulator of output channel {channel} can reach {int(most[channel])} or {int(least[channel])}, "
            "beyond 32 bits",
            "give the layer fewer inputs, or quantize its weights with fewer bits (--reduce-range)",
        )
    return ConvTransposeS8(
        name=site.step.name,
        nodes=site.nodes,
        inputs=(x,),
        output=site.output,
        landing=landing(site, x, tuple(weights.values.shape[2:])),
        weights=Constant("int8_t", values.astype(np.int8).ravel()),
        bias=Constant("int32_t", bias.astype(np.int32)),
        requantizer=output_requantizer(x, scales, list(zip(least.tolist(), most.tolist(), strict=True)), site.output),
    )


def _scales(weights: Fixed, channels: int, groups: int, site: Site) -> tuple[Any, ...]:
    """One scale for every output channel; the stored ones go along the second axis, the channels of a group."""
    return scales_of(weights, 1, channels // groups, site) * groups


@dataclass(frozen=True)
class ConvTransposeF32(Layer):
    """One ``convtranspose_f32``; as :class:`ConvTransposeS8`."""

    landing: Landing
    weights: Constant
    bias: Constant
    activation: Activation = IDLE

    def call(self) -> Call:
        """Fields as in ``convtranspose_f32.h``."""
        layer = struct(
            "convtranspose_f32_layer",
            **self.landing.fields(self.inputs[0].shape[1], self.output.shape[1]),
            weights=self.weights,
            bias=self.bias,
            activation=self.activation.struct(),
        )
        return Call("convtranspose_f32", layer, self.inputs, self.output)

    def absorb(self, later: Layer) -> Layer | None:
        """An activation."""
        if not isinstance(later, UnaryF32) or not self.activation.idle:
            return None
        return replace(self, activation=later.activation, **self.joined(later))


def real(site: Site) -> Layer:
    """ConvTranspose of float maps with constant weights."""
    x, weights = site.tensor(0), site.fixed(1, "weight")
    values = ordered(finite(weights.floats, site, "weight").astype(np.float32), site.attributes.group)
    bias = real_bias(site.optional(2, "bias"), site.output.shape[1], site)
    return ConvTransposeF32(
        name=site.step.name,
        nodes=site.nodes,
        inputs=(x,),
        output=site.output,
        landing=landing(site, x, tuple(weights.values.shape[2:])),
        weights=Constant("float", values.ravel()),
        bias=Constant("float", bias),
    )


LOWERINGS = (Lowering("ConvTranspose", integer, real),)
