"""What sums of 8-bit products lose in 16 bits on x86 with AVX2 and without VNNI.

ONNX Runtime multiplies uint8 activations (int8 ones with 128 added) by int8 weights with VPMADDUBSW there: two products
at a time are added in 16 bits and saturate at -32,768 and 32,767; the pair sums are then added in 32 bits. The pairs
follow the depth of the matrix product: for a convolution kernel row, kernel column, input channel of a group
(the last alone where their number is odd), for a matrix product its rows. Weights of uint8 are multiplied without loss.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from toolchain.nodes import Step
from toolchain.ops import conv
from toolchain.ops.arrays import Array
from toolchain.verify.reach import computing
from toolchain.verify.regions import Region

LOW, HIGH = -(2**15), 2**15 - 1
LARGEST_BYTE = 255


def lost(columns: Array, weights: Array) -> Array:
    """What saturating sums of pairs miss: [..., depth] by [filters, depth] to [..., filters].

    Args:
        columns: activations as the kernel sees them, 0 to 255.
        weights: -128 to 127.

    Returns:
        Saturated sums less true sums; 0 where no pair saturates.
    """
    total = np.zeros((*columns.shape[:-1], len(weights)), np.int64)
    w = weights.astype(np.int32)
    for k in range(0, columns.shape[-1] - 1, 2):
        pair = w[:, k : k + 2]
        most = LARGEST_BYTE * np.maximum(np.maximum(pair, 0).sum(1), -np.minimum(pair, 0).sum(1))
        able = np.flatnonzero(most > HIGH)
        if able.size:
            first, second = columns[..., k, None].astype(np.int32), columns[..., k + 1, None].astype(np.int32)
            sums = first * pair[able, 0] + second * pair[able, 1]
            total[..., able] += np.clip(sums, LOW, HIGH) - sums
    return total


def deficit(region: Region, constants: Mapping[str, Array], tensors: Mapping[str, Array]) -> Array | None:
    """What each accumulator of the region's product misses, in the layout of its output.

    Returns:
        ``None`` where the region has no product of 8-bit activations by constant int8 weights.
    """
    makers = {name: step for step in region.steps for name in step.outputs if name}
    products = [s for s in computing(region) if s.operator.name in ("Conv", "Gemm", "MatMul")]
    if len(products) != 1:
        return None
    step = products[0]
    sources = [makers[name] for name in step.inputs[:2] if name in makers]
    if [s.operator.name for s in sources] != ["DequantizeLinear", "DequantizeLinear"]:
        return None
    x, w = (_content(s, constants, tensors) for s in sources)
    if x is None or w is None or w.dtype != np.int8 or x.dtype not in (np.int8, np.uint8):
        return None
    shift = 128 if x.dtype == np.int8 else 0
    raw = x.astype(np.int32) + shift
    if step.operator.name == "Conv":
        zero = _content_of(sources[0].inputs[2] if len(sources[0].inputs) > 2 else None, constants, tensors)
        return _of_conv(step, raw, w, shift + (0 if zero is None else int(zero.reshape(-1)[0])))
    if step.operator.name == "Gemm":
        left = raw.T if step.attributes.transpose_a else raw
        return lost(left, w if step.attributes.transpose_b else w.T)
    return lost(raw, w.T) if w.ndim == 2 else None


def _of_conv(step: Step, raw: Array, w: Array, zero: int) -> Array | None:
    if w.shape[1] == 1 and step.attributes.group == w.shape[0]:
        return None  # depthwise kernels widen each product
    g = conv.geometry(step.attributes, raw.shape, w.shape)
    rank, groups = len(g.kernel), step.attributes.group
    windows = g.view(g.padded(raw, zero))
    order = (0, *range(2, 2 + 2 * rank), 1)
    parts = []
    for part, filters in zip(np.split(windows, groups, axis=1), np.split(w, groups, axis=0), strict=True):
        columns = part.transpose(order).reshape(len(raw), *g.output, -1)
        weights = np.moveaxis(filters, 1, -1).reshape(len(filters), -1)
        parts.append(np.moveaxis(lost(columns, weights), -1, 1))
    return np.concatenate(parts, axis=1)


def _content(step: Step, constants: Mapping[str, Array], tensors: Mapping[str, Array]) -> Array | None:
    return _content_of(step.inputs[0], constants, tensors)


def _content_of(name: str | None, constants: Mapping[str, Array], tensors: Mapping[str, Array]) -> Array | None:
    if name is None:
        return None
    return constants[name] if name in constants else tensors.get(name)
