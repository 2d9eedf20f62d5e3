"""Normalisation by mean and variance, shared by the operators that compute them from their input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from toolchain.ops.bounds import FLOAT32_MAX, FLOAT32_TINY, LAMBDA, Bound, gamma
from toolchain.ops.operator import Array


def moments(x: Array, axes: tuple[int, ...]) -> tuple[Array, Array]:
    """Mean and population variance over axes, which are kept with size 1."""
    mean = x.mean(axis=axes, keepdims=True)
    return mean, np.square(x - mean).mean(axis=axes, keepdims=True)


def normalized(x: Array, axes: tuple[int, ...], epsilon: float) -> tuple[Array, Array, Array]:
    """``(x - mean) / sqrt(variance + epsilon)``, the mean, and ``1 / sqrt(variance + epsilon)``."""
    mean, variance = moments(x, axes)
    inverse = 1 / np.sqrt(variance + epsilon)
    return (x - mean) * inverse, mean, inverse


def normalized_bounds(
    x: Array, axes: tuple[int, ...], epsilon: float, scale: Any, bias: Any, roundoff: float
) -> tuple[Bound, Bound, Bound]:
    """Bounds of ``normalized(x) * scale + bias``, of the mean and of ``1 / sqrt(variance + epsilon)``.

    The mean of n values is off by ``e = gamma(n + 1) mean|x|``. The variance, whether as mean squared
    deviation or as ``mean(x^2) - mean^2``, is off by ``v = gamma(n + 4) (mean(x^2) + mean^2) + 2 |mean| e +
    e^2``; with ``d = v / (variance + epsilon) + u`` the inverse deviation is off by the factor ``1 + r``,
    ``r = (1 - d)^(-1/2) - 1 + 4 u`` (unbounded where ``d >= 1``, or where the sum of squares leaves
    float32). What remains, ``x k - mean k`` or ``(x - mean) k`` times the scale plus the bias, costs fewer
    than 8 roundings of ``(|x| + |mean|) k |scale| + |bias|``.
    """
    count = int(np.prod([x.shape[axis] for axis in axes]))
    mean, variance = moments(x, axes)
    absolute = np.abs(x).mean(axis=axes, keepdims=True)
    square = np.square(x).mean(axis=axes, keepdims=True)
    inverse = 1 / np.sqrt(variance + epsilon)
    # A sum of squares beyond float32 makes the variance infinite, whatever is divided or subtracted behind it.
    overflows = count * square > FLOAT32_MAX

    def limits(grow: Callable[[float], Any]) -> tuple[Array, Array, Array]:
        off = grow(count + 1) * absolute
        spread = grow(count + 4) * (square + mean**2) + 2 * np.abs(mean) * off + off**2 + (count + 4) * FLOAT32_TINY
        with np.errstate(divide="ignore"):
            relative = np.where(overflows, np.inf, spread / (variance + epsilon) + roundoff)
        safe = np.where(relative < 1, relative, 0.0)
        factor = np.where(relative < 1, (1 - safe) ** -0.5 - 1 + 4 * roundoff, np.inf)
        span = np.abs(x) + np.abs(mean)
        with np.errstate(invalid="ignore"):
            shifted = (1 + factor) * (off + grow(8) * span) + factor * np.abs(x - mean)
            total = np.abs(scale) * inverse * shifted + grow(8) * np.abs(bias)
        return np.nan_to_num(total, nan=np.inf, posinf=np.inf) + FLOAT32_TINY, off + FLOAT32_TINY, inverse * factor

    sound = limits(lambda n: gamma(n, roundoff))
    probable = limits(lambda n: LAMBDA * np.sqrt(n) * roundoff)
    y, center, deviation = (Bound(s, p) for s, p in zip(sound, probable, strict=True))
    return y, center, deviation


def normalized_spread(
    x: Array, axes: tuple[int, ...], epsilon: float, scale: Any, error: Array
) -> tuple[Array, Array, Array]:
    """How errors of ``x`` spread to ``normalized(x) * scale``, to the mean and to ``1 / sqrt(variance + epsilon)``.

    The standard deviation is a seminorm, so that it moves by at most ``r = sqrt(mean(e^2))``, and so does
    ``g = sqrt(variance + epsilon)``, which stays above ``h = max(g - r, sqrt(epsilon))``. With ``c = x - mean``, which
    moves by at most ``e + mean(e)``: ``|c' / g' - c / g| <= (e + mean(e)) / h + |c| r / (g h)``.
    """
    mean, variance = moments(x, axes)
    moved = error.mean(axis=axes, keepdims=True)
    reach = np.sqrt(np.square(error).mean(axis=axes, keepdims=True))
    root = np.sqrt(variance + epsilon)
    least = np.maximum(root - reach, np.sqrt(epsilon))
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = np.where(least > 0, reach / (root * least), np.inf)
        shifted = np.where(least > 0, (error + moved) / least + np.abs(x - mean) * inverse, np.inf)
        return np.nan_to_num(np.abs(scale) * shifted, nan=np.inf, posinf=np.inf), moved, inverse
