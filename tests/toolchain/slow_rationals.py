"""What quantized operators mean, written again: Python's fractions, one element at a time, nothing of the toolchain."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def dequantized(q: Array, scale: Any, zero: int, axis: int | None = None) -> Array:
    """Fractions ``(q - zero) scale``."""
    scales = np.asarray(scale, np.float32)
    out = np.empty(q.shape, object)
    for place in np.ndindex(*q.shape):
        s = scales.reshape(-1)[0 if axis is None else place[axis]]
        out[place] = (int(q[place]) - zero) * Fraction(float(s))
    return out


def quantized(real: Array, scale: Any, zero: int, dtype: Any) -> Array:
    """Python rounds a fraction half to even; then the zero point, then the type's limits."""
    info, s = np.iinfo(dtype), Fraction(float(np.float32(scale)))
    out = np.empty(real.shape, dtype)
    for place in np.ndindex(*real.shape):
        out[place] = min(max(round(real[place] / s) + zero, info.min), info.max)
    return out


def each(function: Callable[[Fraction], Fraction]) -> Callable[[Array], Array]:
    """A function of one element on all."""

    def apply(x: Array) -> Array:
        out = np.empty(x.shape, object)
        for place in np.ndindex(*x.shape):
            out[place] = function(x[place])
        return out

    return apply


def conv(x: Array, w: Array, bias: Sequence[Fraction] | None, pads: Sequence[int], strides: Sequence[int]) -> Array:
    """Two spatial axes, one group."""
    n, c, height, width = x.shape
    m, _, kh, kw = w.shape
    out_h = (height + pads[0] + pads[2] - kh) // strides[0] + 1
    out_w = (width + pads[1] + pads[3] - kw) // strides[1] + 1
    y = np.empty((n, m, out_h, out_w), object)
    for i, f, r, s in np.ndindex(*y.shape):
        total = Fraction(0) if bias is None else bias[f]
        for ch, a, b in itertools.product(range(c), range(kh), range(kw)):
            row, column = r * strides[0] + a - pads[0], s * strides[1] + b - pads[1]
            if 0 <= row < height and 0 <= column < width:
                total += x[i, ch, row, column] * w[f, ch, a, b]
        y[i, f, r, s] = total
    return y


def transposed(x: Array, w: Array, strides: Sequence[int]) -> Array:
    """ConvTranspose: two spatial axes, one group, no padding."""
    n, c, height, width = x.shape
    _, m, kh, kw = w.shape
    y = np.full((n, m, (height - 1) * strides[0] + kh, (width - 1) * strides[1] + kw), Fraction(0), object)
    for i, ch, r, s, f, a, b in itertools.product(*map(range, (n, c, height, width, m, kh, kw))):
        y[i, f, r * strides[0] + a, s * strides[1] + b] += x[i, ch, r, s] * w[ch, f, a, b]
    return y


def matrix(x: Array, w: Array, bias: Sequence[Fraction] | None = None) -> Array:
    """``x w + bias``."""
    y = np.empty((x.shape[0], w.shape[1]), object)
    for i, j in np.ndindex(*y.shape):
        y[i, j] = sum((x[i, k] * w[k, j] for k in range(x.shape[1])), Fraction(0) if bias is None else bias[j])
    return y


def average(x: Array, kernel: int, stride: int) -> Array:
    """Square windows without padding."""
    n, c, height, width = x.shape
    y = np.empty((n, c, (height - kernel) // stride + 1, (width - kernel) // stride + 1), object)
    for i, ch, r, s in np.ndindex(*y.shape):
        window = x[i, ch, r * stride : r * stride + kernel, s * stride : s * stride + kernel]
        y[i, ch, r, s] = sum(window.reshape(-1), Fraction(0)) / kernel**2
    return y


def exponential(x: Fraction, bits: int = 220) -> Fraction:
    """``exp``, to more than 150 bits for ``|x|`` up to 100: its series at ``x / 2^12``, squared 12 times."""
    y, term, total = x / 2**12, Fraction(1), Fraction(1)
    for k in range(1, 60):
        term = _cut(term * y / k, bits)
        total += term
    for _ in range(12):
        total = _cut(total * total, bits + 200)
    return total


def _cut(x: Fraction, bits: int) -> Fraction:
    return Fraction(round(x * 2**bits), 2**bits)


def sigmoid(x: Fraction) -> Fraction:
    """``1 / (1 + exp(-x))``."""
    return 1 / (1 + exponential(-x))


def tanh(x: Fraction) -> Fraction:
    """``(exp(2x) - 1) / (exp(2x) + 1)``."""
    power = exponential(2 * x)
    return (power - 1) / (power + 1)
