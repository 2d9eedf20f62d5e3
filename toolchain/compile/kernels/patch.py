"""Kernels that copy four windows side by side: ``convpatch_s8`` for cores without vectors, ``convvector_s8`` and
``gemmvector_s8`` for the M-profile vector extension.
"""

from __future__ import annotations

from dataclasses import replace
from math import ceil

import numpy as np

from toolchain.compile.kernels.conv import ConvS8, distance, pool_fields, shape_fields
from toolchain.compile.kernels.dual import DualLayer, Integers, as_gemm, even, padded_to, ranges
from toolchain.compile.kernels.gemm import GemmS8
from toolchain.compile.program import Constant, Layer, Struct, Symbol, Value, requantize_struct, struct
from toolchain.compile.requantize import Kind, Requantizer
from toolchain.compile.rounding import Range, rounded

WINDOWS = 4
"""``WINDOW_S8_COUNT`` of ``window_s8.h``."""
LANES = 16
"""``CONVVECTOR_S8_LANES``."""
BEYOND = (0, 0, 0)
"""What a vector of four may read behind the last channel."""
OFFSET = 128
"""What ``convpatch_s8`` adds to a value that it copies."""
MOST_TAPS = 2**16
"""Up to which sums of values plus 128 stay within 32 bits, in any order, beside a bias."""
FEWEST = 4
"""Output channels of a group from which on copying the windows pays."""


def patch(layer: Layer) -> Layer:
    """The layer for a core without vector instructions."""
    if isinstance(layer, ConvS8):
        whole = as_gemm(layer)
        return whole or (_conv(layer) if _fits(layer) else layer)
    return layer


def vector(layer: Layer) -> Layer:
    """The layer for a core with the M-profile vector extension."""
    if isinstance(layer, ConvS8):
        whole = as_gemm(layer)
        if whole is not None:
            return _gemm(whole)
        return _conv_by_vectors(layer) if _fits(layer) else layer
    return _gemm(layer) if isinstance(layer, GemmS8) else layer


def _fits(layer: ConvS8) -> bool:
    """Whether four windows make an output, or four outputs, and enough channels share them."""
    area = layer.pool.kernel[0] * layer.pool.kernel[1] if layer.pool else WINDOWS
    return area == WINDOWS and layer.output.shape[1] // layer.groups >= FEWEST


def _windows(layer: ConvS8, output: Requantizer) -> Struct:
    pool = "NO" if layer.pool is None else "MAX" if layer.mean is None else "AVERAGE"
    mean: dict[str, Value] = {}
    if layer.mean is not None:
        mean = {"mean": requantize_struct(layer.mean), "mean_bias": layer.mean_bias}
    return struct(
        "window_s8",
        **shape_fields(layer.window, layer.pool, layer.output.shape[1], layer.groups),
        padding=layer.inputs[0].quantized.zero,
        pool=Symbol(f"WINDOW_S8_{pool}_POOL"),
        **pool_fields(layer.pool),
        output=requantize_struct(output),
        **mean,
    )


def _conv(layer: ConvS8) -> Layer:
    """``convpatch_s8``; two channels' weights side by side."""
    weights, bias, _ = _parts(layer)
    groups, taps = layer.groups, weights.shape[1]
    if taps > MOST_TAPS:
        return layer
    own = weights.reshape(groups, -1, taps)
    whole = padded_to(own, (groups, even(own.shape[1]), taps))
    pairs = np.swapaxes(whole.reshape(groups, -1, 2, taps), 2, 3)
    structure = struct(
        "convpatch_s8_layer",
        windows=_windows(layer, layer.requantizer),
        weights=Constant("int8_t", pairs.astype(np.int8).ravel()),
        bias=_per_pair(bias, groups),
        offset=_per_pair(OFFSET * weights.sum(axis=1), groups),
    )
    return _made(layer, structure, WINDOWS * taps, distance(layer.window, layer.pool, layer.output))


def _per_pair(values: Integers, groups: int) -> Constant:
    """[channels] as [groups, pairs, 2]."""
    own = values.reshape(groups, -1)
    return Constant("int32_t", padded_to(own, (groups, even(own.shape[1]))).astype(np.int32).ravel())


def _parts(layer: ConvS8 | GemmS8) -> tuple[Integers, Integers, list[Range]]:
    """Weights [channels, taps], bias, accumulators."""
    bias = layer.bias.data.astype(np.int64)
    weights = layer.weights.data.astype(np.int64).reshape(len(bias), -1)
    padded = isinstance(layer, ConvS8) and layer.window.padded
    return weights, bias, ranges(weights, bias, layer.inputs[0], padded=padded)


def _made(layer: Layer, structure: Struct, scratch: int, far: int | None) -> Layer:
    return DualLayer(layer.name, layer.nodes, layer.inputs, layer.output, structure, scratch, far)


def _overlong(made: Requantizer) -> Requantizer:
    """With the multipliers that a last vector of four reads beyond the channels."""
    if made.kind not in (Kind.HIGH, Kind.ROUND):
        return made
    return replace(made, multipliers=(*made.multipliers, *BEYOND))


def _biases(bias: Constant) -> Constant:
    return Constant(bias.type, np.append(bias.data, np.array(BEYOND, dtype=bias.data.dtype)))


def _places(layer: ConvS8, vectors: int) -> dict[str, Value]:
    """Where the taps of a window lie, by vectors; ``None`` where one spans more than a byte can say."""
    w, depth = layer.window, layer.window.in_channels // layer.groups
    rows = np.arange(w.kernel[0]) * w.dilation[0] * w.in_width * w.in_channels
    columns = np.arange(w.kernel[1]) * w.dilation[1] * w.in_channels
    taps = (rows[:, None, None] + columns[:, None] + np.arange(depth)).ravel()
    filled = np.pad(taps, (0, vectors * LANES - len(taps)), mode="edge").reshape(vectors, LANES)
    offsets = filled - filled[:, :1]
    if offsets.max() > 255:
        return {"starts": None, "offsets": None}
    return {
        "starts": Constant("int32_t", filled[:, 0].astype(np.int32)),
        "offsets": Constant("uint8_t", offsets.astype(np.uint8).ravel()),
    }


def _conv_by_vectors(layer: ConvS8) -> Layer:
    """``convvector_s8``."""
    weights, _, reach = _parts(layer)
    vectors = ceil(weights.shape[1] / LANES)
    structure = struct(
        "convvector_s8_layer",
        windows=_windows(layer, _overlong(rounded(layer.requantizer, reach))),
        vectors=vectors,
        **_places(layer, vectors),
        weights=Constant("int8_t", padded_to(weights, (len(weights), vectors * LANES)).astype(np.int8).ravel()),
        bias=_biases(layer.bias),
    )
    far = distance(layer.window, layer.pool, layer.output)
    return _made(layer, structure, WINDOWS * vectors * LANES, far)


def _gemm(layer: GemmS8) -> Layer:
    """``gemmvector_s8``."""
    weights, _, reach = _parts(layer)
    vectors, blocks = ceil(weights.shape[1] / LANES), ceil(len(weights) / WINDOWS)
    whole = padded_to(weights, (WINDOWS * blocks, vectors * LANES)).reshape(blocks, WINDOWS, vectors, LANES)
    structure = struct(
        "gemmvector_s8_layer",
        rows=layer.rows,
        in_features=weights.shape[1],
        out_features=len(weights),
        vectors=vectors,
        weights=Constant("int8_t", np.swapaxes(whole, 1, 2).astype(np.int8).ravel()),
        bias=_biases(layer.bias),
        output=requantize_struct(_overlong(rounded(layer.requantizer, reach))),
    )
    return _made(layer, structure, vectors * LANES, None)
