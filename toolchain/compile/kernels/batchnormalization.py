"""BatchNormalization that no convolution takes in: ``affine_f32``, ``tables_s8``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np

from toolchain.compile.functions import DIGITS, Function
from toolchain.compile.kernels.activation import IDLE, Activation, UnaryF32
from toolchain.compile.kernels.strides import arranged, strides
from toolchain.compile.kernels.tables import channelwise, exact_values
from toolchain.compile.lowering import Fixed, Lowered, Lowering, Site, finite
from toolchain.compile.program import Call, Constant, Layer, struct


@dataclass(frozen=True)
class AffineF32(Layer):
    """One ``affine_f32``: a factor and an addend a channel."""

    factors: Constant
    addends: Constant
    repeat: int
    activation: Activation = IDLE

    def call(self) -> Call:
        """Fields as in ``affine_f32.h``."""
        layer = struct(
            "affine_f32_layer",
            count=self.output.size,
            channels=self.factors.data.size,
            repeat=self.repeat,
            factors=self.factors,
            addends=self.addends,
            activation=self.activation.struct(),
        )
        return Call("affine_f32", layer, self.inputs, self.output, distance=0)

    def absorb(self, later: Layer) -> Layer | None:
        """An activation."""
        if not isinstance(later, UnaryF32) or not self.activation.idle:
            return None
        return replace(self, activation=later.activation, **self.joined(later))


def _statistics(site: Site) -> tuple[Fixed, Fixed, Fixed, Fixed]:
    """Gain, shift, mean, variance."""
    node = site.attributes
    if node.training or not node.spatial:
        raise site.unsupported("it normalises in training, or every element by itself", "export it for inference")
    gain, shift, mean, variance = (
        site.fixed(index, what) for index, what in enumerate(("gain", "shift", "mean", "variance"), 1)
    )
    return gain, shift, mean, variance


def real(site: Site) -> Lowered:
    """``gain (x - mean) / sqrt(variance + epsilon) + shift`` as one factor and one addend a channel, in float64."""
    gain, shift, mean, variance = (finite(v.floats, site, "statistic") for v in _statistics(site))
    factor = gain / np.sqrt(variance + site.attributes.epsilon)
    addend = shift - mean * factor
    before, x = arranged(site, site.tensor(0))
    steps = strides(x)
    if steps is None or not np.isfinite([factor, addend]).all():
        raise site.unsupported("a variance is not positive", "repair the model")
    layer = AffineF32(
        site.step.name,
        site.nodes,
        (x,),
        replace(site.output, plane=x.plane),
        Constant("float", factor.astype(np.float32)),
        Constant("float", addend.astype(np.float32)),
        steps[1],
    )
    return (*before, layer)


def integer(site: Site) -> Lowered:
    """The same of a quantized tensor: tables, each entry rounded from 60 digits."""
    statistics: Sequence[Sequence[Fraction]] = [exact_values(v) for v in _statistics(site)]
    epsilon = Fraction(site.attributes.epsilon)
    keys = list(zip(*statistics, strict=True))
    if any(variance + epsilon <= 0 for *_, variance in keys):
        raise site.unsupported("a variance is not positive", "repair the model")
    functions = [_normalized(gain, shift, mean, variance + epsilon) for gain, shift, mean, variance in keys]
    return channelwise(site, 1, keys, functions)


def _normalized(gain: Fraction, shift: Fraction, mean: Fraction, square: Fraction) -> Function:
    root = Fraction(_root(square.numerator), 1) / _root(square.denominator)
    return lambda x: (x - mean) * gain / root + shift


def _root(number: int) -> Fraction:
    """A square root: exactly where it is whole, else to 60 digits."""
    with localcontext() as context:
        context.prec = max(DIGITS, number.bit_length())
        return Fraction(Decimal(number).sqrt())


LOWERINGS = (Lowering("BatchNormalization", integer, real, any_order=True),)
