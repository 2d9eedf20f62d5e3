"""Zero points, scales, rounding and saturation of quantized operators."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from toolchain.nodes import Step
from toolchain.ops import registry
from toolchain.ops.cast import integer_limits, is_integer
from toolchain.ops.operator import Array
from toolchain.verify.causes import sums
from toolchain.verify.causes.case import Case, Floats, Hypothesis
from toolchain.verify.causes.fitting import fitted, shown

SCALES: Mapping[str, tuple[tuple[int, int], ...]] = {
    "QuantizeLinear": ((1, 2),),
    "DequantizeLinear": ((1, 2),),
    "QLinearConv": ((1, 2), (4, 5), (6, 7)),
    "QLinearMatMul": ((1, 2), (4, 5), (6, 7)),
    "QLinearAdd": ((1, 2), (4, 5), (6, 7)),
    "QLinearMul": ((1, 2), (4, 5), (6, 7)),
    "QGemm": ((1, 2), (4, 5), (7, 8)),
    "QLinearAveragePool": ((1, 2), (3, 4)),
    "QLinearGlobalAveragePool": ((1, 2), (3, 4)),
    "QLinearLeakyRelu": ((1, 2), (3, 4)),
    "QLinearSigmoid": ((1, 2), (3, 4)),
}
"""Where scale and zero point stand among the inputs, pair by pair."""
ZEROS: Mapping[str, tuple[int, ...]] = {"ConvInteger": (2, 3), "MatMulInteger": (2, 3)}
PROBE = 8
USUAL = (0.5, 2.0, 0.25, 4.0, 0.1, 10.0, 127 / 128, 128 / 127, 255 / 256, 256 / 255)


@dataclass(frozen=True)
class Quotient:
    """What a quantizing node rounds.

    Attributes:
        value: real numbers before rounding; near ties exactly on them.
        zero: zero point.
        dtype: of the result.
    """

    value: Floats
    zero: Floats
    dtype: np.dtype[np.generic]

    def made(self, rounded: Array) -> Array:
        """The result for rounded quotients."""
        low, high = integer_limits(self.dtype)
        return np.asarray(np.clip(rounded + self.zero, low, high).astype(self.dtype))


def hypotheses(case: Case) -> Iterator[Hypothesis]:
    """Parameters first, then how results are rounded, then how they saturate."""
    for at, step in enumerate(case.steps):
        for position in (*(zero for _, zero in SCALES.get(step.operator.name, ())), *ZEROS.get(step.operator.name, ())):
            yield from _zero(case, at, position)
    for at, step in enumerate(case.steps):
        if step.outputs[0] in case.static:
            continue
        quotient = _quotient(case, at)
        if quotient is not None:
            yield from _rounding(case, at, quotient)
            yield from _clamp(case, at, quotient)
    yield from sums.hypotheses(case)
    for at, step in enumerate(case.steps):
        for position, _ in SCALES.get(step.operator.name, ()):
            yield from _scale(case, at, position)


def _zero(case: Case, at: int, position: int) -> Iterator[Hypothesis]:
    """Left out, of the other signedness, and whatever shift fits best."""
    step, inputs = case.steps[at], case.inputs(at)
    zero = inputs[position] if position < len(inputs) else None
    if zero is None:
        x = inputs[0]
        if x is None or not is_integer(x.dtype):
            return
        zero = np.zeros((), x.dtype)
    if not is_integer(zero.dtype) or zero.dtype.itemsize > 2:
        return
    low, high = integer_limits(zero.dtype)
    old = zero.astype(np.int64)

    def run(shift: int) -> Array | None:
        return case.run(at, inputs={position: np.clip(old + shift, low, high).astype(zero.dtype)})

    first = int(old.flat[0])
    tried = {-first: "left out"} if first else {}
    tried.update({128: "shifted by 128", -128: "shifted by -128", 1: "1 more", -1: "1 less"})
    fits = _shift(case, run, first, (int(low), int(high)))
    if fits:
        tried.setdefault(fits, f"{first + fits} in the place of {first}")
    name = step.inputs[position] if position < len(step.inputs) else "zero point"
    for shift, words in tried.items():
        if low <= first + shift <= high:
            value = run(shift)
            if value is not None:
                yield Hypothesis("zero point", f"{step.name}: {name!r} is {words}", value)


def _shift(case: Case, run: Callable[[int], Array | None], first: int, span: tuple[int, int]) -> int:
    """The whole number by which the zero point is most likely shifted, by least squares."""
    probe = PROBE if first + PROBE <= span[1] else -PROBE
    there = run(probe) if case.same_shape else None
    if there is None or there.shape != case.received.shape:
        return 0
    here = case.expected.astype(np.float64)
    slope = (there.astype(np.float64) - here) / probe
    power = float(np.square(slope).sum())
    if not power or not np.isfinite(power):
        return 0
    with np.errstate(all="ignore"):
        shift = float((slope * (case.received.astype(np.float64) - here)).sum()) / power
    return int(np.rint(shift)) if np.isfinite(shift) and abs(shift) < 2**16 else 0


def _scale(case: Case, at: int, position: int) -> Iterator[Hypothesis]:
    """A factor that fits; one scale for all channels."""
    step, inputs = case.steps[at], case.inputs(at)
    scale = inputs[position] if position < len(inputs) else None
    if scale is None:
        return

    def run(factor: float) -> Array | None:
        return case.run(at, inputs={position: scale * factor}) if factor > 0 else None

    name = step.inputs[position]
    for factor, scaled in itertools.chain(_usual(run), fitted(case, run, 1.0)):
        yield Hypothesis("scale", f"{step.name}: {name!r} is multiplied by {shown(factor)}", scaled)
    if scale.size > 1:
        for words, one in (("the first", scale.flat[0]), ("the largest", scale.max())):
            value = case.run(at, inputs={position: np.full_like(scale, one)})
            if value is not None:
                yield Hypothesis("scale", f"{step.name}: {words} of {name!r} is taken for all channels", value)
        for shift in (1, -1):
            value = case.run(at, inputs={position: np.roll(scale, shift)})
            if value is not None:
                yield Hypothesis("scale", f"{step.name}: each channel takes the {name!r} of the one beside it", value)
        for channel in _channels(case, scale.size):
            yield from _channel_scale(case, at, position, channel)


def _usual(run: Callable[[float], Array | None]) -> Iterator[tuple[float, Array]]:
    """Factors of which what follows may show too little to find them by least squares."""
    for factor in USUAL:
        value = run(factor)
        if value is not None:
            yield factor, value


def _channels(case: Case, count: int) -> list[int]:
    """The only channel with errors, if there is one."""
    if not case.same_shape or case.expected.ndim < 2 or case.expected.shape[1] != count:
        return []
    error = np.abs(case.received.astype(np.float64) - case.expected.astype(np.float64)) > case.limit
    bad = np.flatnonzero(error.any(axis=(0, *range(2, error.ndim))))
    return bad.tolist() if len(bad) == 1 else []


def _channel_scale(case: Case, at: int, position: int, channel: int) -> Iterator[Hypothesis]:
    scale = case.inputs(at)[position]
    if scale is None:
        return

    def run(factor: float) -> Array | None:
        if factor <= 0:
            return None
        changed = scale.copy()
        changed.flat[channel] *= factor
        return case.run(at, inputs={position: changed})

    for factor, value in fitted(case, run, 1.0):
        name = case.steps[at].inputs[position]
        words = f"{name!r}[{channel}] is multiplied by {shown(factor)}"
        yield Hypothesis("scale", f"{case.steps[at].name}: {words}", value, fitted=True)


def _quotient(case: Case, at: int) -> Quotient | None:
    """What a node rounds to integers; ``None`` for nodes that round nothing, or of another kind."""
    step, inputs = case.steps[at], case.inputs(at)
    y = case.output(at) if step.outputs[0] else None
    if y is None or not is_integer(y.dtype):
        return None
    try:
        value, scale, zero = _real(step, inputs)
    except (ValueError, TypeError, IndexError):
        return None
    with np.errstate(all="ignore"):
        quotient = value / scale
        near = np.rint(2 * quotient) / 2
        snapped = np.where(np.abs(quotient - near) <= 1e-9 * np.maximum(np.abs(quotient), 1.0), near, quotient)
    return Quotient(np.clip(np.nan_to_num(snapped), -(2.0**31), 2.0**31), zero, y.dtype)


def _real(step: Step, inputs: tuple[Array | None, ...]) -> tuple[Floats, Floats, Floats]:
    """Real result, output scale and zero point of a quantizing node.

    Raises:
        ValueError: another operator.
    """
    if step.operator.name == "QuantizeLinear":
        x, scale = inputs[0], inputs[1]
        zero = inputs[2] if len(inputs) > 2 else None
        if x is None or scale is None:
            raise ValueError("an input is missing")
        spread = [_along(step, v, x.ndim) for v in (scale, np.zeros(()) if zero is None else zero)]
        return x.astype(np.float64), spread[0], spread[1]
    if step.operator.name not in ("QLinearConv", "QLinearMatMul"):
        raise ValueError("rounds nothing that is known here")
    a, sa, za, b, sb, zb, sy, zy = (np.asarray(v).astype(np.float64) for v in inputs[:8])
    convolves = step.operator.name == "QLinearConv"
    if convolves:
        zb = zb.reshape(-1, *(1,) * (b.ndim - 1)) if zb.size > 1 else zb.reshape(())
        sb = sb.reshape(-1, *(1,) * (a.ndim - 2)) if sb.size > 1 else sb.reshape(())
    operator = registry()[("", "Conv" if convolves else "MatMul")]
    operands = [a - za.reshape(()) if za.size == 1 else a - za, b - zb]
    bias = inputs[8] if len(inputs) > 8 else None
    if bias is not None:
        operands.append(bias.astype(np.float64))
    (total,) = operator.evaluate(step.attributes, operands)
    return total * (sa * sb), sy, zy


def _along(step: Step, parameter: Array, rank: int) -> Floats:
    """A scale or zero point that broadcasts with a tensor.

    Raises:
        ValueError: it is in blocks.
    """
    value = parameter.astype(np.float64)
    if value.size == 1:
        return value.reshape(())
    if value.ndim != 1:
        raise ValueError("scales in blocks")
    return value.reshape(-1, *(1,) * (rank - 1 - step.attributes.axis % rank))


ROUNDINGS: Mapping[str, Callable[[Floats], Floats]] = {
    "half up": lambda q: np.floor(q + 0.5),
    "half away from zero": lambda q: np.copysign(np.floor(np.abs(q) + 0.5), q),
    "half down": lambda q: np.ceil(q - 0.5),
    "half towards zero": lambda q: np.copysign(np.ceil(np.abs(q) - 0.5), q),
    "towards zero (truncation)": np.trunc,
    "down (floor)": np.floor,
    "up (ceiling)": np.ceil,
}


def _rounding(case: Case, at: int, quotient: Quotient) -> Iterator[Hypothesis]:
    """Other ways to round; and rounding after the zero point was added."""
    name = case.steps[at].name
    for words, function in ROUNDINGS.items():
        value = case.run(at, outputs=(quotient.made(function(quotient.value)),))
        if value is not None:
            yield Hypothesis("rounding", f"{name}: rounds {words} in the place of half to even", value)
    shifted = np.rint(quotient.value + quotient.zero) - quotient.zero
    value = case.run(at, outputs=(quotient.made(shifted),))
    if value is not None:
        yield Hypothesis("rounding", f"{name}: adds the zero point before it rounds", value)
    single = quotient.value.astype(np.float32).astype(np.float64)
    for words, function in ROUNDINGS.items():
        value = case.run(at, outputs=(quotient.made(function(single + quotient.zero) - quotient.zero),))
        if value is not None:
            yield Hypothesis("rounding", f"{name}: adds the zero point, then rounds {words}", value)


def _clamp(case: Case, at: int, quotient: Quotient) -> Iterator[Hypothesis]:
    """Wrapping in the place of saturation; narrower limits."""
    name, (low, high) = case.steps[at].name, integer_limits(quotient.dtype)
    plain = np.rint(quotient.value) + quotient.zero
    wrapped = (np.mod(plain - low, high - low + 1) + low).astype(quotient.dtype)
    value = case.run(at, outputs=(wrapped,))
    if value is not None:
        yield Hypothesis("saturation", f"{name}: results beyond {low} to {high} wrap round", value)
    limits = {(low + 1, high), (0, high), (low, high // 2), (max(low, -127), min(high, 127)), (max(low, 0), 127)}
    if case.steps[at].outputs[0] == case.region.tensor and case.received.size:
        limits.add((int(case.received.min()), int(case.received.max())))
    for bottom, top in sorted(limits - {(low, high)}):
        value = case.run(at, outputs=(np.clip(plain, bottom, top).astype(quotient.dtype),))
        if value is not None:
            yield Hypothesis("saturation", f"{name}: results saturate at {bottom} and {top}", value)
