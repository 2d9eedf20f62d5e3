"""Drawing a node between steps into and out of int8, as a quantizer writes it."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.graphs import layered, values, windowed
from tests.graphs.hand import Hand

COMMON = ("Relu", "Sigmoid", "Conv", "Conv", "MaxPool", "AveragePool", "Add", "Mul", "MatMul", "Gemm", "moved",
          "GlobalAveragePool", "Concat")  # fmt: skip


def pair(hand: Hand, x: str, dtype: Any) -> str | None:
    """QuantizeLinear and DequantizeLinear."""
    scale, zero = hand.scale(), hand.zero_point(dtype)
    quantized = hand.sketch.add("QuantizeLinear", [x, scale, zero])
    return quantized and hand.sketch.add("DequantizeLinear", [quantized, scale, zero])


def bracketed(hand: Hand, x: str) -> str | None:
    """A node that computes, its inputs and output in 8 bits."""
    if hand.sketch.opset < 10:
        return None
    dtype = hand.pick((np.uint8, np.int8))
    inside = pair(hand, x, dtype)
    if inside is None:
        return None
    rank = len(hand.sketch.shape(x))
    spatial = ("Conv", "MaxPool", "AveragePool", "GlobalAveragePool")
    options = [op for op in COMMON if (rank >= 3 or op not in spatial) and (op != "Gemm" or rank == 2)]
    options = [op for op in options if rank >= 2 or op != "MatMul"]
    y = _compute(hand, inside, hand.pick(options), dtype)
    return y and pair(hand, y, dtype)


def _compute(hand: Hand, x: str, op: str, dtype: Any) -> str | None:
    shape = hand.sketch.shape(x)
    if op == "Conv":
        return _conv(hand, x)
    if op == "MaxPool":
        return windowed.max_pool(hand, x)
    if op == "AveragePool":
        return windowed.average_pool(hand, x)
    if op == "moved":
        return layered.reshaping(hand, x)
    if op in ("Add", "Mul"):
        return hand.sketch.add(op, [x, _weight(hand, hand.pick((shape, (shape[-1],))), dtype)[0]])
    if op == "Concat":
        return hand.sketch.add(op, [x, x], axis=hand.integer(0, len(shape) - 1))
    if op in ("MatMul", "Gemm"):
        columns = hand.integer(1, 4)
        weight, scale = _weight(hand, (shape[-1], columns), np.int8)
        # C is optional since version 11.
        bias = [_bias(hand, x, scale, columns)] if op == "Gemm" and (hand.sketch.opset < 11 or hand.flip()) else []
        return hand.sketch.add(op, [x, weight, *bias])
    return hand.sketch.add(op, [x])


def _weight(hand: Hand, shape: tuple[int, ...], dtype: Any) -> tuple[str | None, np.float32]:
    """A dequantized constant, and its scale."""
    number = hand.sketch.constant(values.integers(dtype, shape, hand.generator))
    scale = hand.scale()
    zero = hand.sketch.constant(0, dtype)
    return hand.sketch.add("DequantizeLinear", [number, scale, zero]), hand.sketch.constants[scale]


def _bias(hand: Hand, x: str, weight_scale: np.float32, count: int) -> str | None:
    """A dequantized int32 constant at the product of the scales."""
    node = next(n for n in hand.sketch.nodes if x in n.output)
    scale = np.float32(hand.sketch.constants[node.input[1]] * weight_scale)
    number = values.integers(np.int32, (count,), hand.generator) // 1024
    inputs = [hand.sketch.constant(number.astype(np.int32)), hand.sketch.constant(scale)]
    return hand.sketch.add("DequantizeLinear", [*inputs, hand.sketch.constant(0, np.int32)])


def _conv(hand: Hand, x: str) -> str | None:
    """Conv with int8 weights and an int32 bias at the product of the scales."""
    shape = hand.sketch.shape(x)
    filters = hand.integer(1, 4)
    kernel = [min(hand.integer(1, 3), size) for size in shape[2:]]
    weight, weight_scale = _weight(hand, (filters, shape[1], *kernel), np.int8)
    inputs = [x, weight]
    if hand.flip():
        inputs.append(_bias(hand, x, weight_scale, filters))
    pads = [hand.integer(0, 1) if k > 1 else 0 for k in (*kernel, *kernel)]
    return hand.sketch.add("Conv", inputs, pads=pads, strides=[hand.integer(1, 2) for _ in kernel])
