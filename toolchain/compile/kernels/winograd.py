"""``winograd_f32``: convolutions with windows of 3 x 3 by fewer products, on request.

Y = A^T [(G g G^T) * (B^T d B)] A for a window g and a tile d of the input (Lavin and Gray, 2016). F2 computes 2 x 2
outputs with 16 products in place of 36, F4 4 x 4 with 36 in place of 144. The weights are transformed here in float64
and rounded once. How far the result may be off is in ``toolchain/verify/winograd.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.compile.kernels.conv import ConvF32
from toolchain.compile.kernels.wide_floats import ConvWideF32
from toolchain.compile.program import Call, Constant, Layer, Program, Symbol, struct

BLOCK = 16
"""``TILE_F32_BLOCK``."""
WINDOWS = 6
"""``TILE_F32_WINDOWS``."""
SKEW = 32
"""Floats by which ``winograd_f32`` keeps planes apart, inputs and products together."""
SMALL_BATCH, LARGE_BATCH = 24, 48
"""Tiles between two transforms, where the transformed weights stay in a cache, and where they come from memory."""
CACHED = 4 * 1024 * 1024
"""Bytes of transformed weights up to which they do."""
TRANSFORM = {2: 90.0, 4: 200.0}
"""Products that transforming one channel of a tile takes as long as."""
READ = 7.0
"""Products that reading one weight from memory takes as long as."""
TILES = (2, 4)

Floats = NDArray[np.float64]
GENERATORS: dict[int, Floats] = {
    2: np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]]),
    4: np.array(
        [
            [1 / 4, 0, 0],
            [-1 / 6, -1 / 6, -1 / 6],
            [-1 / 6, 1 / 6, -1 / 6],
            [1 / 24, 1 / 12, 1 / 6],
            [1 / 24, -1 / 12, 1 / 6],
            [0, 0, 1],
        ]
    ),
}
"""G, by the outputs of a tile along an axis."""


def transformed(weights: NDArray[Any], tile: int) -> Floats:
    """G g G^T.

    Args:
        weights: [..., 3, 3].
        tile: outputs along an axis, 2 or 4.

    Returns:
        float64 [..., tile + 2, tile + 2].
    """
    g = GENERATORS[tile]
    flat = weights.reshape(-1, 9).astype(np.float64) @ np.kron(g, g).T
    return flat.reshape(*weights.shape[:-2], tile + 2, tile + 2)


@dataclass(frozen=True)
class Cost:
    """A way to compute a layer.

    Attributes:
        tile: outputs of a tile along an axis; 0 for the sum as it stands.
        products: multiplications that take as long.
    """

    tile: int
    products: float


def accelerated(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """The layers, with Winograd's algorithm where it applies and is expected to be faster."""
    return tuple(_accelerated(layer) for layer in layers)


def tiles_of(program: Program) -> dict[str, int]:
    """Outputs of a tile along an axis, by the name of a Conv node that is computed so."""
    calls = ((step.nodes[0], step.call) for step in program.steps if step.call.function == "winograd_f32")
    return {node: int(str(dict(call.layer.fields)["tile"])) for node, call in calls}


def _accelerated(layer: Layer) -> Layer:
    if not isinstance(layer, ConvWideF32) or not _applies(layer):
        return layer
    best = min((cost(layer, tile) for tile in (0, *TILES)), key=lambda c: c.products)
    return WinogradF32(**vars(layer), tile=best.tile) if best.tile else layer


def _applies(layer: ConvF32) -> bool:
    w = layer.window
    three = w.kernel == (3, 3) and w.stride == (1, 1) and w.dilation == (1, 1)
    deep = w.in_channels % BLOCK == 0 and w.in_channels // layer.groups >= BLOCK
    return three and deep and (layer.pool is None or layer.pool.kernel == (2, 2))


def cost(layer: ConvF32, tile: int) -> Cost:
    """What computing a layer with tiles of a size takes, 0 for none."""
    tall, wide = _outputs(layer)
    channels, depth = layer.output.shape[1], layer.window.in_channels // layer.groups
    if not tile:
        return Cost(0, float(9 * depth * channels * (tall * wide + READ)))
    count = ceil(tall / tile) * ceil(wide / tile)
    padded = ceil(count / WINDOWS) * WINDOWS
    weights = (tile + 2) ** 2 * depth * channels
    return Cost(tile, weights * (padded + READ) + TRANSFORM[tile] * count * (layer.window.in_channels + channels))


def _outputs(layer: ConvF32) -> tuple[int, int]:
    """Rows and columns of convolution outputs that are needed."""
    if layer.pool is None:
        return layer.window.out_height, layer.window.out_width
    return 2 * layer.pool.out_height, 2 * layer.pool.out_width


@dataclass(frozen=True)
class WinogradF32(ConvWideF32):
    """One ``winograd_f32``: tiles of ``tile`` x ``tile`` outputs."""

    tile: int = 4

    def call(self) -> Call:
        """Fields as in ``winograd_f32.h``."""
        w, channels = self.window, self.output.shape[1]
        blocks = ceil(channels // self.groups / BLOCK)
        weights = self._transformed()
        tall, wide = _outputs(self)
        count = ceil(tall / self.tile) * ceil(wide / self.tile)
        wanted = SMALL_BATCH if weights.nbytes <= CACHED else LARGE_BATCH
        batch = ceil(min(count, wanted) / WINDOWS) * WINDOWS
        layer = struct(
            "winograd_f32_layer",
            in_height=w.in_height,
            in_width=w.in_width,
            in_channels=w.in_channels,
            out_height=(self.pool or w).out_height,
            out_width=(self.pool or w).out_width,
            out_channels=channels,
            pad_top=w.top,
            pad_left=w.left,
            groups=self.groups,
            tile=self.tile,
            batch=batch,
            pool=Symbol(f"WINOGRAD_F32_{'NO' if self.pool is None else 'AVERAGE' if self.average else 'MAX'}_POOL"),
            weights=Constant("float", weights),
            bias=self.bias,
            activation=self.activation.struct(),
        )
        places = (self.tile + 2) ** 2
        floats = w.in_channels + places * (batch * (w.in_channels + self.groups * blocks * BLOCK) + SKEW)
        return Call("winograd_f32", layer, self.inputs, self.output, 4 * floats)

    def _transformed(self) -> NDArray[np.float32]:
        """[groups, blocks, 3, 3, depth, BLOCK] as [groups, places, blocks, depth, BLOCK], flat."""
        depth = self.window.in_channels // self.groups
        taps = self.weights.data.reshape(self.groups, -1, 3, 3, depth, BLOCK)
        places = transformed(np.moveaxis(taps, (2, 3), (-2, -1)), self.tile)
        ordered = np.moveaxis(places, (-2, -1), (1, 2)).astype(np.float32)
        return np.ascontiguousarray(ordered).ravel()
