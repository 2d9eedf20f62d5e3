"""LRN, local response normalisation across channels: ``lrn_f32``, ``lrn_s8``.

**int8, exactly.** With ``v = x - zero`` and N the sum of the squares of such integers in the window, the result is
``round_half_even(v r (bias + w N)^-beta)`` with rationals ``r = sx / sy`` and ``w = alpha sx^2 / size``. It falls as N
rises, so for each ``|v|`` and each level k there is a largest N at which it still is k. Powers with a rational exponent
p / q are compared without rounding, both sides to the power of q: ``(|v| r)^q >= (k - 1/2)^q (bias + w N)^p``, with
equality, a tie, for even k only. The table of these N, for the levels that each ``|v|`` can reach, is the kernel.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from toolchain.compile.kernels.strides import arranged
from toolchain.compile.lowering import Lowered, Lowering, Site
from toolchain.compile.program import Call, Constant, Layer, struct
from toolchain.compile.tensor import Quantization, Tensor

DENOMINATOR = 64
"""Of the exponent, at most."""


@dataclass(frozen=True)
class LrnF32(Layer):
    """One ``lrn_f32``."""

    size: int
    numbers: tuple[float, float, float]

    def call(self) -> Call:
        """Fields as in ``lrn_f32.h``."""
        alpha, beta, bias = self.numbers
        layer = struct(
            "lrn_f32_layer",
            positions=self.output.plane,
            channels=self.output.channels,
            before=(self.size - 1) // 2,
            after=self.size - 1 - (self.size - 1) // 2,
            weight=float(np.float32(alpha / self.size)),
            beta=beta,
            bias=bias,
        )
        return Call("lrn_f32", layer, self.inputs, self.output)


def real(site: Site) -> Lowered:
    """Float maps."""
    a = site.attributes
    before, x = _maps(site)
    layer = LrnF32(
        site.step.name, site.nodes, (x,), replace(site.output, plane=x.plane), a.size, (a.alpha, a.beta, a.bias)
    )
    return (*before, layer)


def _maps(site: Site) -> tuple[tuple[Layer, ...], Tensor]:
    x = site.tensor(0)
    channels = x.shape[1] if len(x.shape) > 1 else 0
    if not channels or x.shape[0] != 1:
        raise site.unsupported(f"an input of shape {list(x.shape)}", "expected one sample of channels")
    return arranged(site, x, x.size // channels)


@dataclass(frozen=True)
class LrnS8(Layer):
    """One ``lrn_s8``.

    Attributes:
        size: channels in a window.
        starts: for each magnitude where its thresholds begin; one more than there are.
        levels: for each magnitude its result where it alone is in the window.
        thresholds: the largest sum of squares at which a result is still the level, from that level down.
    """

    size: int
    starts: tuple[int, ...]
    levels: tuple[int, ...]
    thresholds: tuple[int, ...]

    def call(self) -> Call:
        """Fields as in ``lrn_s8.h``."""
        x, y = self.inputs[0], self.output
        layer = struct(
            "lrn_s8_layer",
            positions=y.plane,
            channels=y.channels,
            before=(self.size - 1) // 2,
            after=self.size - 1 - (self.size - 1) // 2,
            zero_in=x.quantized.zero,
            zero=y.quantized.zero,
            low=y.low,
            high=y.high,
            starts=Constant("int32_t", np.array(self.starts, dtype=np.int32)),
            levels=Constant("int16_t", np.array(self.levels, dtype=np.int16)),
            thresholds=Constant("int32_t", np.array(self.thresholds, dtype=np.int32)) if self.thresholds else None,
        )
        return Call("lrn_s8", layer, self.inputs, self.output)


@dataclass(frozen=True)
class Response:
    """``|v| ratio (bias + weight N)^-(p / q)``, all exactly."""

    ratio: Fraction
    bias: Fraction
    weight: Fraction
    exponent: Fraction

    def reaches(self, magnitude: int, squares: int, level: int) -> bool:
        """Whether it rounds to the level or more."""
        p, q = self.exponent.numerator, self.exponent.denominator
        left = (magnitude * self.ratio) ** q
        right = (level - Fraction(1, 2)) ** q * (self.bias + self.weight * squares) ** p
        return left > right or (left == right and level % 2 == 0)

    def level(self, magnitude: int, squares: int, most: int) -> int:
        """What it rounds to, at most ``most``."""
        low, high = 0, most
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self.reaches(magnitude, squares, middle) else (low, middle - 1)
        return low

    def threshold(self, magnitude: int, level: int, least: int, most: int) -> int:
        """The largest sum of squares in a range at which it still reaches a level that it reaches at ``least``."""
        while least < most:
            middle = (least + most + 1) // 2
            least, most = (middle, most) if self.reaches(magnitude, middle, level) else (least, middle - 1)
        return least


SATURATED = 255
"""Levels beyond it are clamped whatever the zero point."""


def integer(site: Site) -> Lowered:
    """Quantized maps."""
    a = site.attributes
    before, x = _maps(site)
    exponent = Fraction(a.beta)
    if not exponent > 0 or exponent.denominator > DENOMINATOR or a.alpha < 0 or a.bias <= 0:
        raise site.unsupported(
            f"alpha {a.alpha:.9g}, beta {a.beta:.9g}, bias {a.bias:.9g}",
            f"integers are exact for positive ones and a beta that is a fraction over {DENOMINATOR} at most",
        )
    response = _response(a.size, Fraction(a.alpha), Fraction(a.bias), exponent, x.quantized, site.output.quantized)
    magnitudes = max(abs(x.low - x.quantized.zero), abs(x.high - x.quantized.zero))
    starts, levels, thresholds = [0], [], []
    for v in range(magnitudes + 1):
        least, most = v * v, v * v + (min(a.size, x.shape[1]) - 1) * magnitudes * magnitudes
        top = response.level(v, least, SATURATED)
        bottom = response.level(v, most, SATURATED)
        levels.append(top)
        thresholds += [response.threshold(v, level, least, most) for level in range(top, bottom, -1)]
        starts.append(len(thresholds))
    y = replace(site.output, plane=x.plane)
    made = LrnS8(site.step.name, site.nodes, (x,), y, a.size, tuple(starts), tuple(levels), tuple(thresholds))
    return (*before, made)


def _response(
    size: int, alpha: Fraction, bias: Fraction, exponent: Fraction, x: Quantization, y: Quantization
) -> Response:
    return Response(x.scale / y.scale, bias, x.scale**2 * alpha / size, exponent)


LOWERINGS = (Lowering("LRN", integer, real, any_order=True),)
