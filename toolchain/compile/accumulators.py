"""Sums of products of int8 values in int32: which can occur, and whether one could overflow."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from toolchain.compile.lowering import Fixed, Site
from toolchain.compile.requantize import INT32_HIGH, INT32_LOW, Requantizer, Target, requantizer
from toolchain.compile.tensor import Tensor

Integers = NDArray[np.int64]


def int8_weights(weights: Fixed, site: Site) -> NDArray[np.int8]:
    """Quantized weights less their zero point.

    Raises:
        UnsupportedError: they are not quantized, or do not fit int8.
    """
    if not weights.scales:
        raise site.unsupported("the weights are not quantized", "quantize the model with `onnx-edge quantize`")
    values = np.asarray(weights.values)
    if "float" in values.dtype.name:
        raise site.unsupported("the weights are no integers", "quantize them to int8")
    if values.min(initial=0) < -128 or values.max(initial=0) > 127:
        raise site.unsupported(
            "weights less their zero point do not fit 8 bits", "quantize weights symmetrically (--weights int8)"
        )
    return values.astype(np.int8)


def scales_of(weights: Fixed, axis: int, channels: int, site: Site) -> tuple[Fraction, ...]:
    """One scale for every output channel.

    Raises:
        UnsupportedError: they go along another axis, or one is no positive number.
    """
    if len(weights.scales) > 1 and weights.axis % weights.values.ndim != axis:
        raise site.unsupported(f"weight scales along axis {weights.axis}", "quantize per output channel or per tensor")
    scales = weights.scales if len(weights.scales) > 1 else weights.scales * channels
    if any(scale <= 0 for scale in scales):
        raise site.unsupported("a weight scale is not positive", "repair the model")
    return scales


def integer_bias(bias: Fixed | None, x: Tensor, scales: Sequence[Fraction], site: Site) -> Integers:
    """The bias as an integer at the accumulator's scale.

    Raises:
        UnsupportedError: it is not quantized at the float32 nearest to input scale times weight scale.
    """
    if bias is None:
        return np.zeros(len(scales), dtype=np.int64)
    values = np.asarray(bias.values, dtype=np.float64 if not bias.scales else np.int64).reshape(-1)
    if not bias.scales and not values.any():
        return np.zeros(len(scales), dtype=np.int64)
    own = bias.scales * len(scales) if len(bias.scales) == 1 else bias.scales
    meant = [np.float32(float(x.quantized.scale * scale)) for scale in scales]
    if len(own) != len(scales) or any(np.float32(float(o)) != m for o, m in zip(own, meant, strict=True)):
        raise site.unsupported(
            "the bias is not quantized at the float32 nearest to input scale times weight scale: no sum is exact",
            "quantize the model with `onnx-edge quantize`",
        )
    return values.astype(np.int64) * np.ones(len(scales), dtype=np.int64)


def folded(
    weights: NDArray[np.int8], bias: Integers, x: Tensor, site: Site, *, padded: bool
) -> tuple[Integers, list[tuple[int, int]]]:
    """Bias with the input's zero point folded in, and the accumulators that can occur.

    Args:
        weights: [channels, taps].
        bias: [channels], for inputs less their zero point.
        x: the input.
        site: for messages.
        padded: taps can lie in the padding, which holds the zero point.

    Returns:
        int64 [channels]; the least and the greatest sum of each channel.

    Raises:
        UnsupportedError: some order of summing could leave int32.
    """
    zero = x.quantized.zero
    above = np.maximum(weights, 0).sum(axis=1, dtype=np.int64)
    below = np.minimum(weights, 0).sum(axis=1, dtype=np.int64)
    start = bias - zero * (above + below)
    low, high = (min(x.low, zero), max(x.high, zero)) if padded else (x.low, x.high)
    least, most = above * low + below * high, above * high + below * low
    # Of products that are summed in any order, only those above zero, or only those below.
    reach = np.maximum(start, 0) + above * max(high, 0) + below * min(low, 0)
    depth = np.minimum(start, 0) + above * min(low, 0) + below * max(high, 0)
    if reach.max() > INT32_HIGH or depth.min() < INT32_LOW:
        channel = int(np.argmax(np.maximum(reach - INT32_HIGH, INT32_LOW - depth)))
        raise site.unsupported(
            f"the accumulator of output channel {channel} can reach {int(reach[channel])} or {int(depth[channel])}, "
            "beyond 32 bits",
            "give the layer fewer inputs, or quantize its weights with fewer bits (--reduce-range)",
        )
    return start, list(zip((start + least).tolist(), (start + most).tolist(), strict=True))


def output_requantizer(
    x: Tensor, scales: Sequence[Fraction], ranges: Sequence[tuple[int, int]], output: Tensor
) -> Requantizer:
    """For sums at scale ``sx * sw`` of each channel."""
    y = output.quantized
    targets = [
        Target(x.quantized.scale * scale / y.scale, least, most)
        for scale, (least, most) in zip(scales, ranges, strict=True)
    ]
    return requantizer(targets, y.zero, output.low, output.high)


def rises(table: Sequence[int] | None, low: int, high: int) -> bool:
    """Whether a table never falls between two values."""
    if table is None:
        return True
    part = table[low + 128 : high + 129]
    return all(a <= b for a, b in pairwise(part))
