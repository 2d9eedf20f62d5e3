"""Add, Sub, Mul and their kin: ``add_s8``, ``pairs_s8``, ``add_f32``, ``mul_f32``; ``broadcast`` has the rest."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from toolchain.compile.functions import Function
from toolchain.compile.kernels import broadcast, move
from toolchain.compile.kernels.activation import IDLE, Activation, UnaryF32
from toolchain.compile.kernels.strides import arranged
from toolchain.compile.kernels.tables import by_channel
from toolchain.compile.kernels.unary import TableS8
from toolchain.compile.lowering import Fixed, Lowered, Lowering, Site
from toolchain.compile.program import Call, Constant, Layer, struct
from toolchain.compile.tensor import Quantization, Tensor, plane_of

SIGNS = {"Add": 1, "Sub": -1}
WIDEST = 40


@dataclass(frozen=True)
class AddS8(Layer):
    """One ``add_s8``: numbers as in its header, checked over all 65,536 pairs; ``sum`` is what they round to."""

    factors: tuple[int, int]
    addend: int
    shift: int
    even: bool
    sum: Tensor
    table: tuple[int, ...] | None = None

    def call(self) -> Call:
        """Fields as in ``add_s8.h``."""
        y = self.sum
        layer = struct(
            "add_s8_layer",
            count=y.size,
            factor_a=self.factors[0],
            factor_b=self.factors[1],
            addend=self.addend,
            shift=self.shift,
            even=int(self.even),
            zero=y.quantized.zero,
            low=y.low,
            high=y.high,
            table=None if self.table is None else Constant("int8_t", np.array(self.table, dtype=np.int8)),
        )
        return Call("add_s8", layer, self.inputs, self.output, distance=0)

    def absorb(self, later: Layer) -> Layer | None:
        """A table."""
        if self.table is not None or not isinstance(later, TableS8):
            return None
        return replace(self, table=later.table, **self.joined(later))


@dataclass(frozen=True)
class PairsS8(Layer):
    """One ``pairs_s8``: a function of two values as a table of all 65,536 pairs."""

    table: Constant

    def call(self) -> Call:
        """Fields as in ``pairs_s8.h``."""
        layer = struct("pairs_s8_layer", count=self.output.size, table=self.table)
        return Call("pairs_s8", layer, self.inputs, self.output, distance=0)


def exact_pairs(op_type: str, a: Quantization, b: Quantization, y: Tensor) -> np.ndarray:
    """``round_half_even(f(real a, real b) / scale) + zero``, saturated: int64 [256, 256] for values from -128 on.

    Every term is an integer over one common denominator, so that integers of any size decide each rounding.
    """
    q = y.quantized
    values = np.arange(-128, 128, dtype=object)
    if op_type == "Mul":
        ratio = a.scale * b.scale / q.scale
        numerator = np.multiply.outer(values - a.zero, values - b.zero) * ratio.numerator
        denominator = ratio.denominator
    else:
        left, right = a.scale / q.scale, SIGNS[op_type] * b.scale / q.scale
        denominator = left.denominator * right.denominator
        first = (values - a.zero) * (left.numerator * right.denominator)
        second = (values - b.zero) * (right.numerator * left.denominator)
        numerator = np.add.outer(first, second)
    floor = numerator // denominator
    twice = 2 * (numerator - floor * denominator)
    up = (twice > denominator) | ((twice == denominator) & (floor % 2 == 1))
    rounded = floor + up.astype(object) + q.zero
    return np.asarray(np.clip(rounded, y.low, y.high), dtype=np.int64)


def _modern(site: Site) -> None:
    """Refuse the broadcasting of operator sets before 7, which starts at an axis."""
    if site.step.facts.attributes.get("broadcast"):
        raise site.unsupported("it broadcasts as before operator set 7", "convert the model to a newer operator set")


def integer(site: Site) -> Lowered:
    """Two quantized tensors, or one and a constant that is one value or one a channel."""
    _modern(site)
    constant = next((v for v in site.inputs if isinstance(v, Fixed)), None)
    if constant is not None:
        return _with_constant(site, constant)
    if site.step.facts.op_type == "Mul":
        return broadcast.product(site)
    layers, (a, b) = _equal(site)
    op_type = site.step.facts.op_type
    y = replace(site.output, plane=a.plane)
    want = exact_pairs(op_type, a.quantized, b.quantized, y)
    found = _sum(op_type, a.quantized, b.quantized, y, want)
    if found is not None:
        factors, addend, shift, even = found
        return (*layers, AddS8(site.step.name, site.nodes, (a, b), y, factors, addend, shift, even, y))
    table = Constant("int8_t", want.astype(np.int8).ravel())
    return (*layers, PairsS8(site.step.name, site.nodes, (a, b), y, table))


def _equal(site: Site) -> tuple[tuple[Layer, ...], tuple[Tensor, Tensor]]:
    """Both operands in the shape and order of the result; the smaller one is repeated first."""
    shape = site.output.shape
    wide = max((site.tensor(0), site.tensor(1)), key=lambda x: (x.shape == shape, x.plane))
    plane = wide.plane if wide.shape == shape else (plane_of(shape) if len(shape) in (3, 4) else 1)
    layers: list[Layer] = []
    made = []
    for index in range(2):
        x = site.tensor(index)
        if x.shape != shape:
            y = replace(x, name=site.fresh(str(index)), shape=shape, plane=plane, buffer="")
            step = replace(site.step, name=f"{site.step.name}_{index}")
            repeated = move.expand(replace(site, step=step, inputs=(x,), output=y, nodes=()))
            *parts, last = repeated if isinstance(repeated, tuple) else (repeated,)
            layers += [layer for layer in (*parts, last) if isinstance(layer, Layer)]
            x = last.output if isinstance(last, Layer) else last
        before, x = arranged(site, x, plane)
        layers += before
        made.append(x)
    return tuple(layers), (made[0], made[1])


def _sum(
    op_type: str, a: Quantization, b: Quantization, y: Tensor, want: np.ndarray
) -> tuple[tuple[int, int], int, int, bool] | None:
    """Factors and shift whose sum rounds as ``want`` for all pairs; ``None`` where there are none."""
    q = y.quantized
    ratios = a.scale / q.scale, SIGNS[op_type] * b.scale / q.scale
    values = np.arange(-128, 128, dtype=np.int64)
    for shift in range(1, WIDEST + 1):
        factors = round(ratios[0] * 2**shift), round(ratios[1] * 2**shift)
        if max(abs(f) for f in factors) >= 2**31:
            return None
        addend = -a.zero * factors[0] - b.zero * factors[1] + (1 << (shift - 1))
        total = values[:, None] * factors[0] + values[None, :] * factors[1] + addend
        rounded = total >> shift
        for even in (False, True):
            tie = even & (total & ((1 << shift) - 1) == 0)
            got = np.clip(np.where(tie, rounded & ~1, rounded) + q.zero, y.low, y.high)
            if np.array_equal(got, want):
                return factors, addend, shift, even
    return None


def _with_constant(site: Site, constant: Fixed) -> Lowered:
    """Tables: one, or one a channel."""
    first = isinstance(site.inputs[0], Fixed)
    op_type = site.step.facts.op_type

    def function(number: Fraction) -> Function:
        if op_type == "Mul":
            return lambda x: x * number
        sign = SIGNS[op_type]
        return (lambda x: number + sign * x) if first else (lambda x: x + sign * number)

    turned = replace(site, inputs=tuple(reversed(site.inputs))) if first else site
    return by_channel(turned, constant, function)


@dataclass(frozen=True)
class BinaryF32(Layer):
    """One ``add_f32`` or ``mul_f32``."""

    function: str
    sign: float
    activation: Activation = IDLE

    def call(self) -> Call:
        """Fields as in ``add_f32.h``, ``mul_f32.h``."""
        own = {"sign": self.sign} if self.function == "add_f32" else {}
        layer = struct(f"{self.function}_layer", count=self.output.size, **own, activation=self.activation.struct())
        return Call(self.function, layer, self.inputs, self.output, distance=0)

    def absorb(self, later: Layer) -> Layer | None:
        """An activation."""
        if not isinstance(later, UnaryF32) or not self.activation.idle:
            return None
        return replace(self, activation=later.activation, **self.joined(later))


def real(site: Site) -> Lowered:
    """Float tensors and constants of any shapes that broadcast."""
    _modern(site)
    op_type = site.step.facts.op_type
    a, b = site.inputs[:2]
    if not isinstance(a, Tensor) or not isinstance(b, Tensor) or op_type not in FASTEST:
        return broadcast.real(site)
    if a.shape != b.shape or a.plane != b.plane:
        return broadcast.real(site)
    y = replace(site.output, plane=a.plane)
    function = "mul_f32" if op_type == "Mul" else "add_f32"
    return BinaryF32(site.step.name, site.nodes, (a, b), y, function, float(SIGNS.get(op_type, 1)))


FASTEST = ("Add", "Sub", "Mul")
LOWERINGS = (
    *(Lowering(op_type, integer, real, any_order=True) for op_type in FASTEST),
    *(Lowering(op_type, real=real, any_order=True) for op_type in ("Div", "Min", "Max", "Pow")),
)
