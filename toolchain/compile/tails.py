"""What a layer does behind its sums, in NumPy: every fusion is computed both ways on drawn sums before it is taken.

A fused kernel makes the same sums of products as the layer alone; what is new is what it does with those of one window:
round, look up, take the largest or the mean. That is computed here step by step as the kernels' headers say it, for the
two layers one after the other and for the fused one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import singledispatch
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.compile.kernels.activation import Activation, UnaryF32
from toolchain.compile.kernels.binary import AddS8
from toolchain.compile.kernels.broadcast import MulS8
from toolchain.compile.kernels.conv import ConvF32, ConvS8
from toolchain.compile.kernels.convtranspose import ConvTransposeS8
from toolchain.compile.kernels.gemm import GemmS8
from toolchain.compile.kernels.pools import AveragePoolF32, AveragePoolS8, MaxPoolF32, MaxPoolS8
from toolchain.compile.kernels.tables import TablesS8
from toolchain.compile.kernels.unary import TableS8
from toolchain.compile.kernels.window import Window
from toolchain.compile.program import Layer
from toolchain.compile.requantize import Requantizer
from toolchain.compile.rewrites import RewriteError

Array = NDArray[Any]
WINDOWS = 24
CHANNELS = 4
LIMIT = 2.0**-40
"""Of float64 roundings; sums are of the order of 1."""


def check_fusion(first: Layer, later: Layer, joined: Layer) -> None:
    """Compare two layers with the one that takes their place.

    Args:
        first: whose result ``later`` alone reads.
        later: built into it.
        joined: both.

    Raises:
        RewriteError: they give other values; names both.
    """
    sums = drawn(first, later)
    apart, together = tail(later, tail(first, sums)), tail(joined, sums)
    limit = LIMIT if apart.dtype.kind == "f" else 0
    wrong = ~(np.abs(apart - together) <= limit)
    if wrong.any() or apart.shape != together.shape:
        at = tuple(int(i) for i in np.argwhere(wrong)[0]) if apart.shape == together.shape else ()
        raise RewriteError(
            f"rewrite 'build {later.name!r} into {first.name!r}' changes a result at {list(at)}; report this model"
        )


def drawn(first: Layer, later: Layer) -> Array:
    """Sums of some windows: [windows, positions, channels], integers with the edges of their range."""
    generator = np.random.default_rng(0)
    window = getattr(later, "window", None) or getattr(first, "pool", None) or getattr(first, "window", None)
    pooled = isinstance(later, MaxPoolS8 | AveragePoolS8 | MaxPoolF32 | AveragePoolF32)
    area = math.prod(window.kernel) if isinstance(window, Window) and (pooled or _pools(first)) else 1
    shape = (WINDOWS, area, min(CHANNELS, first.output.channels))
    requantizer = getattr(first, "requantizer", None)
    if isinstance(requantizer, Requantizer):
        reach = int(generator.choice([300, 40_000, 2**24]))
        values = generator.integers(-reach, reach, shape)
        return np.where(generator.random(shape) < 0.1, generator.choice([-reach, -1, 0, 1, reach], shape), values)
    if first.output.quantization is not None:
        return generator.integers(-128, 128, shape)
    return generator.standard_normal(shape)


def _pools(layer: Layer) -> bool:
    return isinstance(layer, MaxPoolS8 | AveragePoolS8 | MaxPoolF32 | AveragePoolF32) or bool(
        getattr(layer, "pool", None)
    )


@singledispatch
def tail(layer: Layer, sums: Array) -> Array:
    """What becomes of the sums of some windows.

    Args:
        layer: it, alone or with others built in.
        sums: [windows, positions, channels].

    Returns:
        The same shape, with one position behind a pool.

    Raises:
        TypeError: nobody has said what this kind of layer does.
    """
    activation = getattr(layer, "activation", None)
    if not isinstance(activation, Activation):
        raise TypeError(f"no tail for {type(layer).__name__}")
    return activated(activation, sums)


def rounded(requantizer: Requantizer, sums: Array) -> Array:
    """Each sum by the requantizer of its channel, as C does it."""
    channels = range(sums.shape[-1])
    many = len(requantizer.multipliers) > 1 or len(requantizer.shifts) > 1
    made = [[requantizer.value(int(v), c if many else 0) for v in sums[..., c].reshape(-1)] for c in channels]
    return np.moveaxis(np.array(made).reshape(len(made), *sums.shape[:-1]), 0, -1)


def looked_up(table: tuple[int, ...] | None, values: Array) -> Array:
    """Through 256 entries, where there are any."""
    return values if table is None else np.asarray(np.array(table)[values + 128])


def activated(a: Activation, x: Array) -> Array:
    """``activation_f32_value`` in float64."""
    with np.errstate(over="ignore"):
        functions: dict[str, Callable[[], Array]] = {
            "NONE": lambda: x,
            "CLAMP": lambda: np.clip(x, a.alpha, a.beta),
            "LEAKY": lambda: np.where(x < 0, a.alpha * x, x),
            "TANH": lambda: np.tanh(x),
            "SIGMOID": lambda: 1 / (1 + np.exp(-x)),
            "ELU": lambda: np.where(x < 0, a.alpha * np.expm1(x), x),
            "HARD_SIGMOID": lambda: np.clip(a.alpha * x + a.beta, 0, 1),
            "HARD_SWISH": lambda: x * np.clip(a.alpha * x + a.beta, 0, 1),
        }
        return np.asarray(functions[a.kind]())


@tail.register
def _(layer: GemmS8, sums: Array) -> Array:
    return rounded(layer.requantizer, sums)


@tail.register
def _(layer: ConvTransposeS8, sums: Array) -> Array:
    return rounded(layer.requantizer, sums)


@tail.register
def _(layer: MulS8, sums: Array) -> Array:
    return rounded(layer.requantizer, sums)


@tail.register
def _(layer: ConvS8, sums: Array) -> Array:
    if layer.pool is None:
        return rounded(layer.requantizer, sums)
    if layer.mean is None:
        return rounded(layer.requantizer, sums.max(axis=1, keepdims=True))
    totals = rounded(layer.requantizer, sums).sum(axis=1, keepdims=True) + layer.mean_bias
    return rounded(layer.mean, totals)


@tail.register
def _(layer: ConvF32, sums: Array) -> Array:
    values = activated(layer.activation, sums)
    if layer.pool is None:
        return values
    return np.asarray(values.mean(axis=1, keepdims=True) if layer.average else values.max(axis=1, keepdims=True))


@tail.register
def _(layer: AddS8, sums: Array) -> Array:
    return looked_up(layer.table, np.clip(sums, layer.sum.low, layer.sum.high))


@tail.register
def _(layer: TableS8, sums: Array) -> Array:
    return looked_up(layer.table, sums)


@tail.register
def _(layer: TablesS8, sums: Array) -> Array:
    tables = np.array(layer.tables)
    return np.stack([tables[layer.which[c % len(layer.which)], sums[..., c] + 128] for c in range(sums.shape[-1])], -1)


@tail.register
def _(layer: MaxPoolS8, sums: Array) -> Array:
    return looked_up(layer.table, sums.max(axis=1, keepdims=True))


@tail.register
def _(layer: AveragePoolS8, sums: Array) -> Array:
    zero = layer.inputs[0].quantized.zero
    return rounded(layer.requantizers[0], (sums - zero).sum(axis=1, keepdims=True))


@tail.register
def _(layer: MaxPoolF32, sums: Array) -> Array:
    return activated(layer.activation, sums.max(axis=1, keepdims=True))


@tail.register
def _(layer: AveragePoolF32, sums: Array) -> Array:
    return activated(layer.activation, sums.mean(axis=1, keepdims=True))


@tail.register
def _(layer: UnaryF32, sums: Array) -> Array:
    return activated(layer.activation, sums)
