"""Numbers to fill tensors with: from a seed, so that a failure is told in one integer, and of several kinds."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

KINDS = ("normal", "whole", "wide", "edges", "zero")
"""Normal; whole numbers, with ties and equal values; many magnitudes; special but finite values; zeros."""
SPECIAL = "special"
"""With NaN and infinities."""

_EDGES = (0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, 2.0**-126, -(2.0**-126), 2.0**-149, 2.0**-24, 2.0**24, 127.5, 6.0)
_SPECIALS = (np.nan, np.inf, -np.inf, 0.0, -0.0, 2.0**-149, 1.0, -1.0, 0.5)


def floats(kind: str, shape: tuple[int, ...], generator: np.random.Generator) -> Array:
    """float32 of a kind."""
    if kind == "zero":
        return np.zeros(shape, np.float32)
    if kind == "whole":
        return generator.integers(-4, 5, shape).astype(np.float32)
    if kind == "wide":
        return (generator.standard_normal(shape) * 10.0 ** generator.integers(-4, 4, shape)).astype(np.float32)
    normal = generator.standard_normal(shape).astype(np.float32)
    if kind in ("edges", SPECIAL):
        drawn = generator.choice(np.array(_EDGES if kind == "edges" else _SPECIALS, np.float32), shape)
        return np.where(generator.random(shape) < 0.4, drawn, normal)
    return normal


def integers(dtype: Any, shape: tuple[int, ...], generator: np.random.Generator) -> Array:
    """Integers over their range, the edges often."""
    info = np.iinfo(dtype)
    low, high = max(info.min, -(2**20)), min(info.max, 2**20)
    edges = np.array([low, low + 1, 0, 1, high - 1, high] + ([-1] if low < 0 else []), dtype=dtype)
    drawn = generator.integers(low, high + 1, shape).astype(dtype)
    return np.where(generator.random(shape) < 0.3, generator.choice(edges, shape), drawn)
