"""Kernels for cores that multiply two values at once: ``convdual_s8``, ``convstem_s8``, ``gemmdual_s8``.

Two output channels share weights of 16 bits, ``first + 256 second``: see ``dual_s8.h``. That is exact where the sum of
the second channel stays within 24 bits and no weight of a pair leaves 16, which is checked here; any other layer keeps
its portable kernel.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from toolchain.compile.kernels.conv import ConvS8, distance
from toolchain.compile.kernels.gemm import GemmS8
from toolchain.compile.program import Call, Constant, Layer, Struct, Symbol, Value, requantize_struct, struct
from toolchain.compile.rounding import Range, rounded
from toolchain.compile.tensor import Tensor

Integers = NDArray[np.int64]

ROW_STEP = 8
"""Words that ``dual_s8_rows`` takes at a time."""
WINDOWS = 4
"""Computed together; a pool that is built in takes as many."""
FEWEST = 4
"""Output channels of a group from which on copying the windows pays."""
STEM_CHANNELS = 4
"""Input channels up to which ``convstem_s8`` is used."""
STEM_BYTES = 4096
"""Of weights, up to which the first layer may have them in four times the space."""
SECOND = 2**23
"""The sum of a second channel stays below it."""


def dual(layer: Layer) -> Layer:
    """The layer for a core with the DSP extension; itself where that is not exact or does not pay."""
    if isinstance(layer, ConvS8):
        whole = as_gemm(layer)
        return (_gemm(whole) if whole else _stem(layer) or _conv(layer)) or layer
    if isinstance(layer, GemmS8):
        return _gemm(layer) or layer
    return layer


def as_gemm(layer: ConvS8) -> GemmS8 | None:
    """A convolution with one window, which is the whole map: a dense layer. ``None`` for any other."""
    w = layer.window
    whole = (w.in_height, w.in_width) == w.kernel and (w.out_height, w.out_width) == (1, 1)
    if not whole or w.padded or layer.groups > 1 or layer.pool is not None:
        return None
    return GemmS8(layer.name, layer.nodes, layer.inputs, layer.output, 1, layer.weights, layer.bias, layer.requantizer)


def ranges(weights: Integers, bias: Integers, x: Tensor, *, padded: bool) -> list[Range]:
    """The accumulators that can occur in each channel: ``weights`` [channels, taps], ``bias`` with zero points in."""
    zero = x.quantized.zero
    low, high = (min(x.low, zero), max(x.high, zero)) if padded else (x.low, x.high)
    products = np.stack([weights * low, weights * high])
    least = bias + products.min(axis=0).sum(axis=1)
    most = bias + products.max(axis=0).sum(axis=1)
    return list(zip(least.tolist(), most.tolist(), strict=True))


def even(value: int) -> int:
    """The next even number."""
    return value + value % 2


def words(values: Integers) -> Integers:
    """Pairs of 16-bit values along the last axis as 32-bit words, the first of each pair in the lower half."""
    halves = values.astype(np.int16).astype(np.int64)
    return np.asarray((halves[..., 0::2] & 0xFFFF) | (halves[..., 1::2] << 16), dtype=np.int64)


def padded_to(values: Integers, sizes: tuple[int, ...]) -> Integers:
    """With zeros behind each axis up to a size."""
    return np.pad(values, [(0, size - own) for size, own in zip(sizes, values.shape, strict=True)])


def paired(weights: Integers, reach: list[Range]) -> Integers | None:
    """Rows of two channels as one of 16 bits.

    Args:
        weights: [groups, channels, taps].
        reach: accumulators of all channels.

    Returns:
        [groups, pairs, taps]; ``None`` where a second channel's sum could leave 24 bits, or a pair 16.
    """
    channels = weights.shape[1]
    seconds = [r for index, r in enumerate(reach) if index % channels % 2 == 1]
    if any(least < -SECOND or most >= SECOND for least, most in seconds):
        return None
    whole = padded_to(weights, (weights.shape[0], even(channels), weights.shape[2]))
    made = whole[:, 0::2] + 256 * whole[:, 1::2]
    return None if made.min() < -(2**15) or made.max() >= 2**15 else made


def begun(bias: Integers, *, shared: bool) -> Integers:
    """Where the sums of pairs of channels begin, [..., 2 * pairs] as [..., pairs, 2].

    Args:
        bias: of all channels.
        shared: the second sum of a pair is that of both channels, the second's times 256, modulo 2^32.
    """
    pairs = bias.reshape(*bias.shape[:-1], -1, 2)
    if not shared:
        return pairs
    both = (pairs[..., 0] + 256 * pairs[..., 1] + 2**31) % 2**32 - 2**31
    return np.stack([pairs[..., 0], both], axis=-1)


@dataclass(frozen=True)
class DualLayer(Layer):
    """A layer whose structure is ready.

    Attributes:
        structure: as in the kernel's header.
        scratch: bytes.
        distance: see :class:`~toolchain.compile.program.Call`.
    """

    structure: Struct
    scratch: int
    distance: int | None

    def call(self) -> Call:
        """The kernel is the structure's."""
        kernel = self.structure.type.removesuffix("_layer")
        return Call(kernel, self.structure, self.inputs, self.output, self.scratch, self.distance)


def _made(layer: Layer, structure: Struct, scratch: int, distance_: int | None = None) -> DualLayer:
    return DualLayer(layer.name, layer.nodes, layer.inputs, layer.output, structure, scratch, distance_)


def _taps(layer: ConvS8) -> tuple[Integers, Integers, list[Range]]:
    """Weights [channels, height, width, depth], bias, accumulators."""
    w, channels = layer.window, layer.output.shape[1]
    bias = layer.bias.data.astype(np.int64)
    flat = layer.weights.data.astype(np.int64).reshape(channels, -1)
    reach = ranges(flat, bias, layer.inputs[0], padded=w.padded)
    return flat.reshape(channels, *w.kernel, w.in_channels // layer.groups), bias, reach


def _pool_area(layer: ConvS8) -> int:
    return layer.pool.kernel[0] * layer.pool.kernel[1] if layer.pool else WINDOWS


def _lines(layer: ConvS8, longest: int) -> tuple[dict[str, Value], int, int]:
    """The map as lines that reach at least to value ``longest``; how many a row of outputs takes, and their bytes."""
    w = layer.window
    row, left = w.in_width * w.in_channels, w.left * w.in_channels
    length = even(max(left + row, longest))
    rows = layer.pool.kernel[0] if layer.pool else 1
    count = (rows - 1) * w.stride[0] + w.dilation[0] * (w.kernel[0] - 1) + 1
    padding = layer.inputs[0].quantized.zero
    fields = struct("lines_s8_map", height=w.in_height, row=row, left=left, length=length, padding=padding)
    return {"map": fields}, count, 2 * count * length


def _finish(layer: ConvS8, reach: list[Range], *, shared: bool) -> Struct:
    pool = "NONE" if layer.pool is None else "MAX" if layer.mean is None else "AVERAGE"
    rows, columns = layer.pool.kernel if layer.pool else (1, 1)
    mean: dict[str, Value] = {}
    if layer.mean is not None:
        mean = {"mean": requantize_struct(layer.mean), "mean_bias": layer.mean_bias}
    output = requantize_struct(rounded(layer.requantizer, reach))
    fields: dict[str, Value] = {"pool": Symbol(f"DUAL_POOL_S8_{pool}"), "height": rows, "width": columns}
    return struct("dual_pool_s8", **fields, shared=int(shared), output=output, **mean)


def _sizes(layer: ConvS8) -> dict[str, Value]:
    outer = layer.pool or layer.window
    return {"out_height": outer.out_height, "out_width": outer.out_width, "out_channels": layer.output.shape[1]}


def _conv(layer: ConvS8) -> Layer | None:
    """``convdual_s8``."""
    taps, bias, reach = _taps(layer)
    w, groups = layer.window, layer.groups
    channels, depth = taps.shape[0] // groups, taps.shape[3]
    if channels < FEWEST or _pool_area(layer) != WINDOWS:
        return None
    split = groups > 1 or w.dilation[1] > 1
    columns, run = (w.kernel[1], depth) if split else (1, w.kernel[1] * depth)
    column_step = w.dilation[1] * w.in_channels
    run_words = ceil(run / 2)
    total = w.kernel[0] * columns * run_words
    runs = padded_to(taps.reshape(-1, w.kernel[0] * columns, run), (len(taps), w.kernel[0] * columns, 2 * run_words))
    made = paired(runs.reshape(groups, channels, -1), reach)
    if made is None:
        return None
    starts = padded_to(bias.reshape(groups, channels), (groups, 2 * made.shape[1]))
    weights = np.concatenate([begun(starts, shared=True), words(made)], axis=2)
    used = layer.pool.out_width * layer.pool.kernel[1] if layer.pool else w.out_width
    longest = (used - 1) * w.stride[1] * w.in_channels + (columns - 1) * column_step + (groups - 1) * depth
    fields, count, held = _lines(layer, longest + 2 * run_words)
    structure = struct(
        "convdual_s8_layer",
        **fields,
        in_channels=w.in_channels,
        **_sizes(layer),
        lines=count,
        kernel_height=w.kernel[0],
        kernel_columns=columns,
        run_words=run_words,
        column_step=column_step,
        stride_y=w.stride[0],
        stride_x=w.stride[1],
        dilation_y=w.dilation[0],
        pad_top=w.top,
        groups=groups,
        words=total,
        weights=Constant("int32_t", weights.astype(np.int32).ravel()),
        finish=_finish(layer, reach, shared=True),
    )
    return _made(layer, structure, 4 * WINDOWS * total + held, distance(w, layer.pool, layer.output))


def _stem(layer: ConvS8) -> Layer | None:
    """``convstem_s8``."""
    w, pool = layer.window, layer.pool
    square = pool is not None and pool.kernel == (2, 2)
    if pool is None or not square or layer.groups > 1 or w.dilation[1] > 1 or w.in_channels > STEM_CHANNELS:
        return None
    taps, bias, reach = _taps(layer)
    channels, run, shift = len(taps), w.kernel[1] * w.in_channels, w.stride[1] * w.in_channels
    span, pairs = ceil((run + shift) / 2), ceil(len(taps) / 2)
    total = w.kernel[0] * span
    if 16 * pairs * total > STEM_BYTES:
        return None
    placed = np.zeros((2, 2 * pairs, w.kernel[0], 2 * span), dtype=np.int64)
    for window in (0, 1):
        placed[window, :channels, :, window * shift : window * shift + run] = taps.reshape(channels, w.kernel[0], run)
    starts = begun(padded_to(bias, (2 * pairs,)), shared=False)
    split = words(placed).reshape(2, pairs, 2, w.kernel[0], span)  # window, pair, channel of the pair, row, word
    weights = np.concatenate([starts, np.transpose(split, (1, 4, 3, 0, 2)).reshape(pairs, 4 * total)], axis=1)
    columns = (pool.out_width - 1) * shift + span
    fields, count, held = _lines(layer, 2 * columns)
    structure = struct(
        "convstem_s8_layer",
        **fields,
        **_sizes(layer),
        lines=count,
        kernel_height=w.kernel[0],
        columns=columns,
        step=shift,
        stride_y=w.stride[0],
        dilation_y=w.dilation[0],
        pad_top=w.top,
        words=total,
        weights=Constant("int32_t", weights.astype(np.int32).ravel()),
        finish=_finish(layer, reach, shared=False),
    )
    return _made(layer, structure, 8 * columns * w.kernel[0] + held, distance(w, pool, layer.output))


def _gemm(layer: GemmS8) -> Layer | None:
    """``gemmdual_s8``."""
    bias = layer.bias.data.astype(np.int64)
    weights = layer.weights.data.astype(np.int64).reshape(len(bias), -1)
    outputs, inputs = weights.shape
    reach = ranges(weights, bias, layer.inputs[0], padded=False)
    total = ceil(inputs / (2 * ROW_STEP)) * ROW_STEP
    made = paired(padded_to(weights, (outputs, 2 * total))[None], reach)
    if made is None:
        return None
    blocks = ceil(outputs / 4)
    pairs = padded_to(words(made[0]), (2 * blocks, total)).reshape(blocks, 2, total)
    structure = struct(
        "gemmdual_s8_layer",
        rows=layer.rows,
        in_features=inputs,
        out_features=outputs,
        words=total,
        weights=Constant("int32_t", np.transpose(pairs, (0, 2, 1)).astype(np.int32).ravel()),
        bias=Constant("int32_t", padded_to(bias, (4 * blocks,)).astype(np.int32)),
        output=requantize_struct(rounded(layer.requantizer, reach)),
    )
    return _made(layer, structure, 4 * total)
