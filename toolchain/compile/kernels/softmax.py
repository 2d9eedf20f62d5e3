"""Softmax: ``softmax_f32``, ``softmax_s8``.

**int8, exactly.** With values ``x_j`` at the scale s and ``m`` the largest, the result is
``round_half_even(e_i / (S r)) + zero`` where ``e_j = exp(-s (m - x_j))``, ``S`` their sum and r the scale of the
result. The 256 possible ``e_j`` are a table of floors at 128 binary digits after the point, so that a sum of n of them
is known to n units of the last digit, and "is ``e_i / (S r) >= k - 1/2``?" is decided by products of integers unless
both sides agree to about 110 digits. A true tie is rational, and a quotient of these sums is rational only if all
arguments are equal (Lindemann and Weierstrass): that row is computed at compile time. So what is left undecided is no
tie. Where all digits agree because the other exponentials vanish behind the last one (``2 / r`` largest values at a
scale r that is a power of two), the sum is larger than its floor, and the quotient below the tie. Any other such row
would be by chance, one in 2^80; none is known.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import ROUND_FLOOR, Decimal, localcontext
from fractions import Fraction
from math import prod

import numpy as np

from toolchain.compile.kernels.move import Move, after, merged
from toolchain.compile.kernels.strides import Layers, arranged, order
from toolchain.compile.lowering import Lowered, Lowering, Site
from toolchain.compile.program import Call, Constant, Layer, struct
from toolchain.compile.tensor import Tensor

WORDS = 4
"""``SOFTMAX_S8_WORDS``: of 32 bits each, after the binary point."""
MOST = 1 << 16
"""Elements in a row whose sum the kernel holds."""
MANTISSA = 24


@dataclass(frozen=True)
class SoftmaxF32(Layer):
    """One ``softmax_f32``."""

    rows: int

    def call(self) -> Call:
        """Fields as in ``softmax_f32.h``."""
        layer = struct("softmax_f32_layer", rows=self.rows, columns=self.output.size // self.rows)
        return Call("softmax_f32", layer, self.inputs, self.output, distance=0)


@dataclass(frozen=True)
class SoftmaxS8(Layer):
    """One ``softmax_s8``."""

    rows: int

    def call(self) -> Call:
        """Fields as in ``softmax_s8.h``."""
        y, x = self.output, self.inputs[0]
        columns = y.size // self.rows
        mantissa, shift = dyadic(y.quantized.scale)
        uniform = round(Fraction(1, columns) / y.quantized.scale) + y.quantized.zero
        powers = exponentials(x.quantized.scale)
        layer = struct(
            "softmax_s8_layer",
            rows=self.rows,
            columns=columns,
            mantissa=mantissa,
            shift=shift,
            zero=y.quantized.zero,
            low=y.low,
            high=y.high,
            uniform=min(max(uniform, y.low), y.high),
            exponentials=Constant("uint32_t", np.array(powers, dtype=np.uint32).ravel()),
        )
        return Call("softmax_s8", layer, self.inputs, self.output, distance=0)


def dyadic(scale: Fraction) -> tuple[int, int]:
    """A float32 as ``mantissa / 2^shift`` with an odd mantissa below 2^24; a negative shift is none."""
    shift = scale.denominator.bit_length() - 1
    mantissa = scale.numerator
    if shift < 0 or mantissa.bit_length() > MANTISSA:
        raise ValueError(f"scale {float(scale):.9g} is no small float32")
    return mantissa, shift


def exponentials(scale: Fraction) -> list[list[int]]:
    """``floor(exp(-scale d) 2^128)`` for d from 1 to 255, as words, the highest first; d = 0 would be 1.

    Decimal's ``exp`` is correctly rounded: at 80 digits the floor at 39 is certain but where it is an integer, which no
    exponential of a rational number other than 0 is.
    """
    made = []
    with localcontext() as context:
        context.prec = 80
        for d in range(1, 256):
            exponent = -scale * d
            power = (Decimal(exponent.numerator) / Decimal(exponent.denominator)).exp()
            whole = int((power * 2 ** (32 * WORDS)).to_integral_value(rounding=ROUND_FLOOR))
            made.append([(whole >> (32 * (WORDS - 1 - word))) & 0xFFFFFFFF for word in range(WORDS)])
    return made


def along(site: Site) -> tuple[tuple[int, ...], Tensor]:
    """The axes that a row runs along, and the input."""
    x, a = site.tensor(0), site.attributes
    axis = a.axis % len(x.shape)
    return (tuple(range(axis, len(x.shape))) if a.flatten else (axis,)), x


def rows_first(site: Site, x: Tensor, axes: tuple[int, ...]) -> tuple[Layers, Tensor, bool]:
    """The input with the axes of each row side by side, in ONNX's order otherwise.

    Returns:
        Layers that bring it there, none where it is so already; the tensor; whether its axes changed places.
    """
    layers, x = arranged(site, x)
    inner = [axis for axis in order(x) if x.shape[axis] > 1]
    wanted = [axis for axis in axes if x.shape[axis] > 1]
    if inner[len(inner) - len(wanted) :] == wanted:
        return layers, x, False
    back, x = arranged(site, x, 1)
    kept = tuple(axis for axis in range(len(x.shape)) if axis not in axes)
    steps = [prod(x.shape[axis + 1 :]) for axis in range(len(x.shape))]
    places = [tuple(i * steps[axis] for i in range(x.shape[axis])) for axis in (*kept, *axes)]
    shape = tuple(x.shape[axis] for axis in (*kept, *axes))
    y = replace(x, name=site.fresh("rows"), shape=shape, plane=1, buffer="")
    return (*layers, *back, _moved(f"{site.step.name}_rows", x, y, places)), y, True


def _moved(name: str, x: Tensor, y: Tensor, places: list[tuple[int, ...]]) -> Move:
    axes, run = merged(places)
    return Move(name, (), (x,), y, axes, run)


def _lowered(site: Site, kind: type[SoftmaxF32] | type[SoftmaxS8]) -> Lowered:
    axes, given = along(site)
    layers, x, turned_about = rows_first(site, given, axes)
    columns = prod(given.shape[axis] for axis in axes)
    if not turned_about:
        y = replace(site.output, plane=x.plane)
        return after(layers, kind(site.step.name, site.nodes, (x,), y, x.size // columns))
    y = replace(site.output, name=site.fresh("turned"), shape=x.shape, plane=1)
    made = kind(f"{site.step.name}_turned", (), (x,), y, x.size // columns)
    rank = len(given.shape)
    turned = (*(axis for axis in range(rank) if axis not in axes), *axes)
    steps = [prod(y.shape[place + 1 :]) for place in range(rank)]
    places = [tuple(i * steps[turned.index(axis)] for i in range(given.shape[axis])) for axis in range(rank)]
    result = replace(site.output, plane=1)
    return (*layers, made, replace(_moved(site.step.name, y, result, places), nodes=site.nodes))


def real(site: Site) -> Lowered:
    """Along any axis; without a copy where its elements lie side by side (the last axis; channels of a map)."""
    return _lowered(site, SoftmaxF32)


def integer(site: Site) -> Lowered:
    """The same for quantized tensors."""
    axes, x = along(site)
    columns = prod(x.shape[axis] for axis in axes)
    scale = site.output.quantized.scale
    if columns > MOST:
        raise site.unsupported(f"rows of {columns}", f"there is an integer kernel for up to {MOST}")
    if scale >= 2 or dyadic(scale)[1] > 63:
        raise site.unsupported(
            f"the result's scale is {float(scale):.3g}", "quantize it at a scale between 2^-39 and 2"
        )
    return _lowered(site, SoftmaxS8)


LOWERINGS = (Lowering("Softmax", integer, real, any_order=True),)
