"""Layers for processors with vector units: ``convwide_s8``, ``gemmwide_s8``, with weights in blocks of 16 channels.

Microcontrollers keep ``conv_s8`` and ``gemm_s8``, which need less memory. Both give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.compile.kernels import wide_floats
from toolchain.compile.kernels.blocks import BLOCK, filled, filled_up
from toolchain.compile.kernels.conv import ConvS8, pool_fields
from toolchain.compile.kernels.depthwise import depthwise
from toolchain.compile.kernels.gemm import GemmS8
from toolchain.compile.kernels.window import Window
from toolchain.compile.program import Call, Constant, Layer, Struct, Symbol, Value, requantize_struct, struct
from toolchain.compile.requantize import Kind

TAPS = 4
"""``TILE_S8_TAPS`` of ``tile_s8.h``."""
BEYOND = 36
"""``TILE_S8_BEYOND``."""
VALUE = 2
"""Most bytes of a value in a tile, whatever the instruction set."""
TILE = 256 * 1024
"""Bytes of a tile that stay in a second-level cache, with the weights of some channels."""
LEAST_CHANNELS = 8
"""Output channels of a group that are worth a block."""
NARROW = 30
"""Below it are the shifts of a pool's mean: its sums need no more digits."""
SHIFT = 128
"""What some instruction sets add to every value."""
SPAN = 16
"""``TILE_S8_SPAN``."""
NARROW_SUM = (2**15 - 1) // (2 * SHIFT - 1)
"""Weights of one sign with this sum, times values plus 128, add up in 16 bits: 255 times 128 is 32,640."""


def widened(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """The layers, with the wide kernels where there is one for a layer's shape."""
    return tuple(_widened(layer) for layer in layers)


def _widened(layer: Layer) -> Layer:
    across = depthwise(layer)
    if across is not None:
        return across
    if isinstance(layer, GemmS8):
        return GemmWideS8(**vars(layer))
    if isinstance(layer, ConvS8) and _blocks_fit(layer):
        return ConvWideS8(**vars(layer))
    return wide_floats.widened(layer)


def _blocks_fit(layer: ConvS8) -> bool:
    w = layer.window
    rows_are_runs = w.dilation[1] == 1 or w.kernel[1] == 1
    return rows_are_runs and (layer.groups == 1 or layer.bias.data.size // layer.groups >= LEAST_CHANNELS)


class ConvWideS8(ConvS8):
    """One ``convwide_s8``."""

    def call(self) -> Call:
        """Fields as in ``convwide_s8.h``."""
        plain = super().call()
        w, channels = self.window, self.bias.data.size
        taps = self.weights.data.reshape(channels, w.kernel[0], -1)
        tile_rows, tile_width, values = _tile(w, self.pool, self.groups)
        fields: dict[str, Value] = dict(plain.layer.fields)
        if self.mean is not None and self.mean.kind is not Kind.HIGH and self.mean.shift >= NARROW:
            raise ArithmeticError(f"{self.name}: the sum of a pool needs a shift by {self.mean.shift}")
        mean: dict[str, Value] = {key: fields[key] for key in ("mean", "mean_bias") if key in fields}
        for name in ("dilation_x", "padding", "pool", "pool_height", "pool_width", "weights", "bias", "output", *mean):
            del fields[name]
        layer = struct(
            "convwide_s8_layer",
            **fields,
            padding=self.inputs[0].quantized.zero,
            tile_rows=tile_rows,
            tile_width=tile_width,
            pool=Symbol(f"CONVWIDE_S8_{'NO' if self.pool is None else 'MAX' if self.mean is None else 'AVERAGE'}_POOL"),
            **pool_fields(self.pool),
            weights=blocked(taps, self.bias.data, self.groups, narrow=not self._has_rows()),
            **({"rows": paired(taps, self.bias.data, w.dilation[0] * tile_width)} if self._has_rows() else {}),
            output=requantize_struct(filled_up(self.requantizer, self.groups)),
            **mean,
        )
        beyond = BEYOND if self._has_rows() else TAPS
        return replace(plain, function="convwide_s8", layer=layer, scratch=VALUE * (values + beyond))

    def _has_rows(self) -> bool:
        """Whether neighbouring outputs of one map may be computed side by side."""
        w = self.window
        return w.in_channels == 1 and w.stride[1] == 1 and (self.pool is None or self.pool.kernel == (2, 2))


class GemmWideS8(GemmS8):
    """One ``gemmwide_s8``."""

    def call(self) -> Call:
        """Fields as in ``gemmwide_s8.h``."""
        plain = super().call()
        features = self.bias.data.size
        taps = self.weights.data.reshape(features, 1, -1)
        layer = struct(
            "gemmwide_s8_layer",
            rows=self.rows,
            in_features=taps.shape[2],
            out_features=features,
            weights=blocked(taps, self.bias.data, 1, narrow=True),
            output=requantize_struct(filled_up(self.requantizer, 1)),
        )
        scratch = VALUE * (self.rows * taps.shape[2] + TAPS)
        return replace(plain, function="gemmwide_s8", layer=layer, scratch=scratch)


def _tile(w: Window, pool: Window | None, groups: int) -> tuple[int, int, int]:
    """Output rows of a tile, its width, and its values.

    Rows are shared out evenly among the fewest tiles of at most :data:`TILE` bytes.
    """
    out_height = (pool or w).out_height
    out_width = (pool or w).out_width * (pool.kernel[1] if pool else 1)
    width = (out_width - 1) * w.stride[1] + (w.kernel[1] - 1) * w.dilation[1] + 1

    def values(rows: int) -> int:
        outputs = rows * (pool.kernel[0] if pool else 1)
        return ((outputs - 1) * w.stride[0] + (w.kernel[0] - 1) * w.dilation[0] + 1) * width * w.in_channels

    most = next((rows for rows in range(out_height, 1, -1) if VALUE * values(rows) <= TILE), 1)
    rows = -(-out_height // -(-out_height // most))
    del groups  # a tile holds all of them
    return rows, width, values(rows)


def blocked(taps: NDArray[Any], bias: NDArray[Any], groups: int, *, narrow: bool) -> Struct:
    """A ``tile_s8_weights``.

    Args:
        taps: int8 [channels, rows, run].
        bias: int32 [channels].
        groups: of channels, each filled up to whole blocks.
        narrow: whether products may be added in 16 bits where those hold them; rows of one map take another way.
    """
    channels, rows, run = taps.shape
    own = channels // groups
    quads = -(-run // TAPS)
    split = taps.reshape(groups, own, rows, run)
    padded = np.pad(split, [(0, 0), (0, -own % BLOCK), (0, 0), (0, quads * TAPS - run)])
    ordered = padded.reshape(groups, -1, BLOCK, rows, quads, TAPS).transpose(0, 1, 3, 4, 2, 5)
    sums = taps.reshape(channels, -1).sum(axis=1, dtype=np.int64)
    shifted = (bias.astype(np.int64) - SHIFT * sums).astype(np.int32)  # modulo 2^32, as the sum that it starts
    together = quads_together(ordered) if narrow else None
    return struct(
        "tile_s8_weights",
        weights=Constant("int8_t", np.ascontiguousarray(ordered).ravel()),
        bias=Constant("int32_t", filled(bias, groups)),
        bias_shifted=Constant("int32_t", filled(shifted, groups)),
        **({} if together is None else {"narrow": Constant("uint8_t", together)}),
    )


def quads_together(blocks: NDArray[Any]) -> NDArray[Any] | None:
    """How many quads' products add up in 16 bits, proved from the weights.

    An instruction adds the products of two neighbouring taps with values of 0 to 255. The largest sum that any values
    reach is 255 times the positive weights' sum, the smallest 255 times that of the negative ones.

    Args:
        blocks: int8 [..., quads, 16 channels, 4 taps].

    Returns:
        uint8 [... spans of a run], flat: 2 where any two quads of a span that follow each other may be added, else 1;
        ``None`` if even the products of one quad overflow somewhere.
    """
    *outer, quads, channels, taps = blocks.shape
    filling = [(0, 0)] * len(outer) + [(0, -quads % SPAN), (0, 0), (0, 0)]
    lanes = np.pad(blocks, filling).astype(np.int32).reshape(*outer, -1, SPAN, channels, taps // 2, 2)
    signs = np.stack([np.maximum(lanes, 0), np.maximum(-lanes, 0)]).sum(axis=-1)
    if signs.max(initial=0) > NARROW_SUM:
        return None
    pairs = signs[..., 0::2, :, :] + signs[..., 1::2, :, :]
    fits: NDArray[Any] = (pairs <= NARROW_SUM).all(axis=(0, -3, -2, -1))
    return np.where(fits, 2, 1).astype(np.uint8).ravel()


def paired(taps: NDArray[Any], bias: NDArray[Any], pitch: int) -> Struct:
    """A ``tile_s8_rows``.

    Args:
        taps: int8 [channels, rows, run] of one input channel.
        bias: int32 [channels].
        pitch: values of the tile from a row of taps to the next.
    """
    channels, rows, run = taps.shape
    together = 6 if channels % 6 == 0 else 4
    pairs = -(-run // 2)
    padded = np.pad(taps, [(0, -channels % together), (0, 0), (0, 2 * pairs - run)])
    ordered = padded.reshape(-1, together, rows * pairs, 2).transpose(0, 2, 1, 3)
    offsets = pitch * np.arange(rows)[:, None] + 2 * np.arange(pairs)
    return struct(
        "tile_s8_rows",
        together=together,
        pairs=rows * pairs,
        offsets=Constant("int32_t", offsets.astype(np.int32).ravel()),
        weights=Constant("int16_t", np.ascontiguousarray(ordered, dtype=np.int16).ravel()),
        bias=Constant("int32_t", np.pad(bias, (0, -channels % together))),
    )
