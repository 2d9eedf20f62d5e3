"""Drawing nodes with windows: Conv, ConvTranspose and the pools."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.graphs.hand import Hand

AUTO_PADS = ("SAME_UPPER", "SAME_LOWER", "VALID")


def conv(hand: Hand, x: str) -> str | None:
    """Any Conv that fits."""
    _, channels, *spatial = hand.sketch.shape(x)
    group = hand.divisor(channels)
    filters = group * hand.integer(1, 3)
    attributes, kernel = _windows(hand, spatial, pool=False)
    shape = (filters, channels // group, *kernel)
    inputs = [x, hand.weights(shape)]
    if hand.flip():
        inputs.append(hand.weights((filters,)))
    stated = attributes.pop("kernel_shape")
    return hand.sketch.add(
        "Conv", inputs, group=hand.maybe(group, group == 1), kernel_shape=hand.maybe(stated, True), **attributes
    )


def conv_transpose(hand: Hand, x: str) -> str | None:
    """Any ConvTranspose that fits, not too large."""
    _, channels, *spatial = hand.sketch.shape(x)
    if max(spatial) > 8:
        return None
    group = hand.divisor(channels)
    filters = group * hand.integer(1, 2)
    kernel, strides, dilations, extra, pads, wanted = [], [], [], [], ([], []), []
    mode = hand.pick(("NOTSET", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"))
    for size in spatial:
        k, s, d = hand.integer(1, 3), hand.integer(1, 3), hand.integer(1, 2)
        e = hand.integer(0, max(s, d) - 1)
        full = s * (size - 1) + e + d * (k - 1) + 1
        begin = hand.integer(0, min(2, full - 1))
        end = hand.integer(0, min(2, full - 1 - begin))
        for into, value in ((kernel, k), (strides, s), (dilations, d), (extra, e), (pads[0], begin), (pads[1], end)):
            into.append(value)
        wanted.append(hand.integer(max(1, full - 2), full))
    inputs = [x, hand.weights((channels, filters // group, *kernel))]
    if hand.flip():
        inputs.append(hand.weights((filters,)))
    shaped = hand.integer(0, 4) == 0
    return hand.sketch.add(
        "ConvTranspose",
        inputs,
        group=hand.maybe(group, group == 1),
        kernel_shape=hand.maybe(kernel, True),
        strides=strides,
        dilations=hand.maybe(dilations, max(dilations) == 1),
        output_padding=hand.maybe(extra, max(extra) == 0),
        output_shape=wanted if shaped else None,
        auto_pad=mode if mode != "NOTSET" else None,
        pads=[*pads[0], *pads[1]] if mode == "NOTSET" and not shaped else None,
    )


def _windows(hand: Hand, spatial: list[int], *, pool: bool, dilated: bool = True) -> tuple[dict[str, Any], list[int]]:
    """Attributes of windows that fit, and the kernel."""
    kernel, strides, dilations, begins, ends = [], [], [], [], []
    mode = hand.pick(("NOTSET", "NOTSET", "NOTSET", *AUTO_PADS))
    for size in spatial:
        k = hand.integer(1, min(4, size + (mode.startswith("SAME") and 1)))
        d = hand.integer(1, 3) if dilated and hand.integer(0, 2) == 0 else 1
        if mode == "VALID" or not pool:
            while d > 1 and d * (k - 1) + 1 > size:
                d -= 1
        begin, end = hand.integer(0, min(k - 1, 3)), hand.integer(0, min(k - 1, 3))
        if mode == "NOTSET" and d * (k - 1) + 1 > size + begin + end:
            d = 1
        if mode == "NOTSET" and k > size + begin + end:
            k = size
        for into, value in ((kernel, k), (strides, hand.integer(1, 3)), (dilations, d), (begins, begin), (ends, end)):
            into.append(value)
    attributes = {
        "kernel_shape": kernel,
        "strides": hand.maybe(strides, max(strides) == 1),
        "dilations": hand.maybe(dilations, max(dilations) == 1) if dilated else None,
        "pads": hand.maybe([*begins, *ends], max(begins + ends) == 0) if mode == "NOTSET" else None,
        "auto_pad": hand.maybe(mode, mode == "NOTSET"),
    }
    return attributes, kernel


def max_pool(hand: Hand, x: str) -> str | None:
    """MaxPool, perhaps with indices."""
    version = hand.sketch.version("MaxPool")
    attributes, _ = _windows(hand, list(hand.sketch.shape(x)[2:]), pool=True, dilated=version >= 10)
    outputs = 2 if version >= 8 and hand.integer(0, 3) == 0 else 1
    if version >= 10:
        attributes["ceil_mode"] = hand.bit()
    if outputs == 2:
        attributes["storage_order"] = hand.bit()
    return hand.sketch.add("MaxPool", [x], outputs, **attributes)


def average_pool(hand: Hand, x: str) -> str | None:
    """AveragePool."""
    version = hand.sketch.version("AveragePool")
    attributes, _ = _windows(hand, list(hand.sketch.shape(x)[2:]), pool=True, dilated=version >= 19)
    if version >= 10:
        attributes["ceil_mode"] = hand.bit()
    attributes["count_include_pad"] = hand.bit()
    return hand.sketch.add("AveragePool", [x], **attributes)


def lp_pool(hand: Hand, x: str) -> str | None:
    """LpPool."""
    new = hand.sketch.version("LpPool") >= 18
    attributes, _ = _windows(hand, list(hand.sketch.shape(x)[2:]), pool=True, dilated=new)
    if new:
        attributes["ceil_mode"] = hand.bit()
    return hand.sketch.add("LpPool", [x], p=hand.integer(1, 3), **attributes)


def global_pool(hand: Hand, x: str) -> str | None:
    """GlobalAveragePool, GlobalMaxPool or GlobalLpPool."""
    op = hand.pick(("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"))
    return hand.sketch.add(op, [x], p=hand.integer(1, 3) if op == "GlobalLpPool" else None)


def byte_pool(hand: Hand, x: str) -> str | None:
    """MaxPool of int8 or uint8, between the steps into and out of them."""
    if hand.sketch.opset < 12:
        return None
    dtype = hand.pick((np.int8, np.uint8))
    scale, zero = hand.scale(), hand.zero_point(dtype)
    quantized = hand.sketch.add("QuantizeLinear", [x, scale, zero])
    pooled = quantized and max_pool(hand, quantized)
    return pooled and hand.sketch.add("DequantizeLinear", [pooled, scale, zero])
