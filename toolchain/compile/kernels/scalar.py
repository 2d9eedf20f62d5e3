"""Float kernels for cores without vectors: ``convscalar_f32``, ``gemmscalar_f32``, whose sums stay in registers.

Weights are ordered as the kernels read them: block after block of output channels, each with its biases before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from toolchain.compile.kernels.activation import IDLE, Activation
from toolchain.compile.kernels.conv import BLOCK, ConvF32
from toolchain.compile.kernels.gemm import GemmF32, flattened
from toolchain.compile.kernels.window import Window
from toolchain.compile.program import Call, Constant, Layer, Symbol, Value, struct

Floats = NDArray[np.float32]

WINDOWS = 4
"""``SCALAR_F32_WINDOWS`` of ``scalar_f32.h``."""
COSTS = {6: 31, 4: 23, 1: 12}
"""Output channels of a block of ``convscalar_f32``, and the instructions that it takes for a tap of four windows."""
DOZEN, QUARTET = 12, 4
"""Outputs of a block of ``gemmscalar_f32``."""


def scalar(layer: Layer) -> Layer:
    """The layer for a core that computes one float at a time; itself where no float is computed."""
    if isinstance(layer, ConvF32):
        whole = flattened(layer)
        return ConvScalarF32(**vars(layer)) if whole is None else GemmScalarF32(**vars(whole))
    return GemmScalarF32(**vars(layer)) if isinstance(layer, GemmF32) else layer


class ConvScalarF32(ConvF32):
    """One ``convscalar_f32``."""

    def call(self) -> Call:
        """Fields as in ``convscalar_f32.h``."""
        plain = super().call()
        w, channels = self.window, self.output.shape[1] // self.groups
        fields: dict[str, Value] = dict(plain.layer.fields)
        pool = "NO" if self.pool is None else "AVERAGE" if self.average else "MAX"
        fields["pool"] = Symbol(f"CONVSCALAR_F32_{pool}_POOL")
        late = self.pool is None or (not self.average and rises(self.activation))
        own = fields.pop("activation")
        for name in ("weights", "bias"):
            del fields[name]
        run, jumps = _runs(w, self.groups)
        widths = widths_of(channels)
        layer = struct(
            "convscalar_f32_layer",
            **fields,
            runs=len(jumps),
            run=run,
            jumps=_integers(jumps),
            places=_integers(_places(w, self.pool)),
            sixes=widths.count(6),
            fours=widths.count(4),
            weights=self._ordered(widths),
            each=IDLE.struct() if late else own,
            activation=own if late else IDLE.struct(),
        )
        scratch = 4 * WINDOWS * run * len(jumps) if w.padded else 0
        return replace(plain, function="convscalar_f32", layer=layer, scratch=scratch)

    def _ordered(self, widths: Sequence[int]) -> Constant:
        channels = self.output.shape[1] // self.groups
        taps, bias = (rows_of_blocks(c, self.groups, channels) for c in (self.weights, self.bias))
        return ordered(taps, bias, widths)


class GemmScalarF32(GemmF32):
    """One ``gemmscalar_f32``."""

    def call(self) -> Call:
        """Fields as in ``gemmscalar_f32.h``."""
        inputs, outputs = self.features
        dozens = outputs // DOZEN + (outputs % DOZEN > 2 * QUARTET)
        widths = [DOZEN] * dozens
        widths += [QUARTET] * -(-max(0, outputs - DOZEN * dozens) // QUARTET)
        taps, bias = (rows_of_blocks(c, 1, outputs) for c in (self.weights, self.bias))
        layer = struct(
            "gemmscalar_f32_layer",
            rows=self.rows,
            in_features=inputs,
            out_features=outputs,
            dozens=dozens,
            weights=ordered(taps, bias, widths),
            activation=self.activation.struct(),
        )
        return replace(super().call(), function="gemmscalar_f32", layer=layer)


def rises(a: Activation) -> bool:
    """Whether a larger value never gives a smaller one, so that a maximum may be taken before."""
    always = a.kind in ("NONE", "CLAMP", "TANH", "SIGMOID")
    return always or (a.kind in ("LEAKY", "ELU", "HARD_SIGMOID") and a.alpha >= 0)


def widths_of(channels: int) -> list[int]:
    """The blocks that take the fewest instructions: sixes, then fours, then ones; the last may be filled up."""
    best: tuple[int, list[int]] | None = None
    for sixes in range(-(-channels // 6) + 1):
        for fours in range(3):
            ones = max(0, channels - 6 * sixes - 4 * fours)
            widths = [6] * sixes + [4] * fours + [1] * ones
            filled = sum(widths[:-1]) < channels  # no block is empty
            cost = sum(COSTS[width] for width in widths)
            if filled and (best is None or cost < best[0]):
                best = cost, widths
    if best is None:
        raise ValueError(f"no blocks for {channels} channels")
    return best[1]


def rows_of_blocks(blocked: Constant, groups: int, channels: int) -> Floats:
    """[groups, blocks, taps, BLOCK] as [groups, channels, taps]: see :func:`toolchain.compile.kernels.conv.blocks`."""
    blocks = -(-channels // BLOCK)
    whole = blocked.data.reshape(groups, blocks, -1, BLOCK)
    return np.asarray(np.moveaxis(whole, 3, 2).reshape(groups, blocks * BLOCK, -1)[:, :channels])


def ordered(taps: Floats, bias: Floats, widths: Sequence[int]) -> Constant:
    """Weights as a kernel reads them.

    Args:
        taps: [groups, channels, taps].
        bias: [groups, channels, 1].
        widths: channels of each block; what a last one lacks is zero.

    Returns:
        [groups][blocks][1 + taps][width], flat.
    """
    rows = np.concatenate([bias, taps], axis=2)
    whole = np.pad(rows, [(0, 0), (0, sum(widths) - rows.shape[1]), (0, 0)])
    edges = np.cumsum([0, *widths])
    parts = [group[low:high].T.ravel() for group in whole for low, high in pairwise(edges)]
    return Constant("float", np.concatenate(parts).astype(np.float32, copy=False))


def _integers(values: Sequence[int]) -> Constant:
    return Constant("int32_t", np.array(values, dtype=np.int32))


def _runs(w: Window, groups: int) -> tuple[int, list[int]]:
    """Values of a run of a window's taps, and how far it is from behind each run to the next."""
    depth = w.in_channels // groups
    row, column = w.dilation[0] * w.in_width * w.in_channels, w.dilation[1] * w.in_channels
    joined = groups == 1 and (w.dilation[1] == 1 or w.kernel[1] == 1)
    run = w.kernel[1] * depth if joined else depth
    begins = [ky * row + kx * column for ky in range(w.kernel[0]) for kx in range(1 if joined else w.kernel[1])]
    return run, [*(after - before - run for before, after in pairwise(begins)), 0]


def _places(w: Window, pool: Window | None) -> list[int]:
    """How far each window of a pool, or of four in a row, lies from the first."""
    rows, columns = pool.kernel if pool else (1, WINDOWS)
    down, right = w.stride[0] * w.in_width * w.in_channels, w.stride[1] * w.in_channels
    return [y * down + x * right for y in range(rows) for x in range(columns)]
