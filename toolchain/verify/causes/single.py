"""One constant with another value: which one, from what to what, and whether one bit tells them apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from toolchain.ops.cast import integer_limits, is_integer
from toolchain.ops.operator import Array
from toolchain.verify.causes.case import Case, Floats, Hypothesis, Parts
from toolchain.verify.causes.columns import columns
from toolchain.verify.causes.fitting import fitted, shown
from toolchain.verify.causes.implied import Implied, implied

ENTRIES = 1 << 22
"""Numbers of the matrix in which one weight is sought."""
ELEMENTS = 4096
TRIED = 6
ALIKE = 1 - 1e-6
"""Taps whose data explains this share of what the best one's explains are as likely."""
MANY = 4096
FEW_CHANNELS = 4
MAX_WRONG = 1
SIGMAS = 8.0


@dataclass(frozen=True)
class Change:
    """A new value.

    Attributes:
        value: what the constant would be.
        words: from what to what.
    """

    value: float
    words: str


def hypotheses(case: Case) -> Iterator[Hypothesis]:
    """A weight or a bias of a linear node, then any other constant."""
    if not case.same_shape:
        return
    for at, parts in case.linear():
        found = implied(case, at)
        if found is None:
            continue
        channel = _channel(case, at)
        if channel is None:
            continue
        yield from _of_channel(case, at, parts, found, channel)
        if found.difference.shape[_axis(case, at)] >= FEW_CHANNELS:
            words = f"every difference lies in output channel {case.channel(at, channel)}"
            words += "; which of its weights, the data does not show"
            yield Hypothesis("weight", f"{case.steps[at].name}: {words}", case.expected, share=1.0, weak=True)
    yield from _elementwise(case)


def _axis(case: Case, at: int) -> int:
    """Of the output channels of a node."""
    return -1 if "MatMul" in case.steps[at].operator.name else 1


def _channel(case: Case, at: int) -> int | None:
    """The only output channel that is wrong."""
    y = case.output(at)
    if y.ndim < 2 or y.shape != case.received.shape:
        return None
    with np.errstate(all="ignore"):
        error = np.nan_to_num(np.abs(case.received.astype(np.float64) - case.expected.astype(np.float64)), nan=1e100)
    beyond = np.where(error > case.limit, error, 0.0)
    axis = _axis(case, at) % y.ndim
    bad = np.flatnonzero(beyond.any(axis=tuple(a for a in range(y.ndim) if a != axis)))
    return int(bad[0]) if len(bad) == MAX_WRONG else None


def _of_channel(case: Case, at: int, parts: Parts, found: Implied, channel: int) -> Iterator[Hypothesis]:
    """The tap, or the bias, on which the difference depends."""
    step, inputs = case.steps[at], case.inputs(at)
    x, w = inputs[parts.data], inputs[parts.weight]
    if x is None or w is None:
        return
    bias = parts.bias
    if bias is not None and bias < len(inputs) and inputs[bias] is not None:
        yield from _bias(case, at, bias, channel, found)
    axis = _axis(case, at) % found.difference.ndim
    elements = np.argwhere(found.known & (_index(found.difference.shape, axis) == channel))
    depth = max(1, w.size // max(1, found.difference.shape[axis]))
    most = max(32, min(ELEMENTS, ENTRIES // depth))
    if len(elements) > most:
        elements = elements[np.sort(np.random.default_rng(0).permutation(len(elements))[:most])]
    if not len(elements):
        return
    zero = found.data_zero
    matrix = columns(step, x.astype(np.float64) - zero, w.shape, elements)
    if matrix is None:
        return
    target = found.difference[tuple(elements.T)]
    yield from _taps(case, at, parts.weight, matrix, target, channel)


def _index(shape: tuple[int, ...], axis: int) -> Array:
    return np.arange(shape[axis]).reshape([-1 if a == axis else 1 for a in range(len(shape))])


def _taps(case: Case, at: int, position: int, matrix: Floats, target: Floats, channel: int) -> Iterator[Hypothesis]:
    """The taps whose data is nearest to proportional to the difference, tried one by one."""
    power = np.square(matrix).sum(axis=0)
    along = matrix.T @ target
    with np.errstate(all="ignore"):
        gain = np.where(power > 0, np.square(along) / power, 0.0)
    w = case.inputs(at)[position]
    if w is None:
        return
    order = np.argsort(-gain, kind="stable")
    likely = order[gain[order] >= ALIKE * gain[order[0]]][:MANY].tolist()
    found_changes = []
    tap_of: dict[tuple[int, ...], int] = {}
    for tap in likely if len(likely) > TRIED else order[:TRIED].tolist():
        if not gain[tap]:
            continue
        change = float(along[tap] / power[tap])
        rest = target - change * matrix[:, tap]
        doubt = SIGMAS * float(np.sqrt(np.mean(np.square(rest)) / power[tap])) + 1e-5 * abs(change)
        index = _place(case, at, w, channel, tap)
        tap_of[index] = tap
        found_changes.append((index, _new_value(case, at, position, index, change, doubt)))
    # Where few results are known many taps explain them; a change of one bit is the likelier one.
    found_changes.sort(key=lambda item: "bit" not in item[1].words)
    for index, new in found_changes[:TRIED]:
        turned = w.copy()
        turned[index] = new.value
        value = case.run(at, inputs={position: turned})
        if value is not None:
            name = case.steps[at].inputs[position]
            named = list(_place(case, at, w, case.channel(at, channel), tap_of[index]))
            yield Hypothesis(
                "weight", f"{case.steps[at].name}: {name!r}{named} {new.words}", value, fitted="bit" not in new.words
            )


def _place(case: Case, at: int, w: Array, channel: int, tap: int) -> tuple[int, ...]:
    """Index in the weight of a tap of an output channel."""
    step = case.steps[at]
    if "Conv" in step.operator.name:
        return (channel, *(int(i) for i in np.unravel_index(tap, w.shape[1:])))
    if step.operator.name == "Gemm" and step.attributes.transpose_b:
        return (channel, tap)
    return (tap, channel)


def _new_value(case: Case, at: int, position: int, index: tuple[int, ...], change: float, doubt: float) -> Change:
    """The stored number that the changed one most likely is."""
    w = case.inputs(at)[position]
    if w is None:
        raise ValueError("the weight is missing")
    old = w[index]
    if is_integer(w.dtype):
        return _integer(int(old), change, w.dtype, 1.0, 0)
    name = case.steps[at].inputs[position]
    for step in case.steps:
        if step.outputs[0] == name and step.operator.name == "DequantizeLinear":
            inputs = [None if n is None else case.values[n] for n in step.inputs]
            if inputs[0] is None or inputs[1] is None or not is_integer(inputs[0].dtype):
                break
            quantum = _at(inputs[1], index, step.attributes.axis)
            zero = 0.0 if len(inputs) < 3 or inputs[2] is None else _at(inputs[2], index, step.attributes.axis)
            if inputs[0].shape == w.shape:
                return _integer(int(inputs[0][index]), change / quantum, inputs[0].dtype, quantum, int(zero))
    return flipped(float(old), change, doubt)


def _at(parameter: Array, index: tuple[int, ...], axis: int) -> float:
    """A scale or zero point of an element."""
    return float(parameter.flat[index[axis] if parameter.size > 1 else 0])


def _integer(old: int, change: float, dtype: np.dtype[np.generic], quantum: float, zero: int) -> Change:
    low, high = integer_limits(dtype)
    new = int(np.clip(old + np.rint(change), low, high))
    mask = 2 ** (8 * dtype.itemsize) - 1
    bits = (old ^ new) & mask
    words = f"is {new} in the place of {old}"
    if bits and bits & (bits - 1) == 0:
        words += f", bit {bits.bit_length() - 1} flipped"
    return Change((new - zero) * quantum, words)


def flipped(old: float, change: float, doubt: float) -> Change:
    """A float32 that differs from another by about so much: by one bit, if one does that.

    Args:
        old: the value meant.
        change: what was found to be added.
        doubt: how far that may be off.
    """
    bits = np.float32(old).view(np.uint32)
    with np.errstate(all="ignore"):
        others = (bits ^ (np.uint32(1) << np.arange(32, dtype=np.uint32))).view(np.float32).astype(np.float64)
        distance = np.abs(np.nan_to_num(others - old, nan=np.inf) - change)
    bit = int(np.argmin(distance))
    if distance[bit] <= max(doubt, 1e-5 * abs(change)):
        return Change(float(others[bit]), f"is {others[bit]:.9g} in the place of {old:.9g}, bit {bit} flipped")
    new = float(np.float32(old + change))
    return Change(new, f"is {shown(new)} in the place of {shown(old)}")


def _bias(case: Case, at: int, position: int, channel: int, found: Implied) -> Iterator[Hypothesis]:
    b = case.inputs(at)[position]
    if b is None:
        return
    place = _broadcast_place(b, found.difference.shape, _axis(case, at) % found.difference.ndim, channel)
    if place is None:
        return
    axis = _axis(case, at) % found.difference.ndim
    mask = found.known & (_index(found.difference.shape, axis) == channel)
    if not mask.any():
        return
    change = float(np.mean(found.difference[mask]))
    doubt = SIGMAS * float(np.std(found.difference[mask])) / float(np.sqrt(mask.sum())) + 1e-6 * abs(change)
    new = _new_value(case, at, position, place, change, doubt)
    turned = b.copy()
    turned[place] = new.value
    value = case.run(at, inputs={position: turned})
    if value is not None:
        name = case.steps[at].inputs[position]
        named = [*place[:-1], case.channel(at, channel)]
        yield Hypothesis(
            "weight", f"{case.steps[at].name}: {name!r}{named} {new.words}", value, fitted="bit" not in new.words
        )


def _broadcast_place(b: Array, shape: tuple[int, ...], axis: int, channel: int) -> tuple[int, ...] | None:
    """Where a channel's addend stands."""
    if b.ndim == 1 and b.shape[0] == shape[axis]:
        return (channel,)
    if b.ndim == 2 and b.shape[1] == shape[axis] and b.shape[0] == 1:
        return (0, channel)
    return None


def _elementwise(case: Case) -> Iterator[Hypothesis]:
    """A constant of a node that works element by element, or channel by channel."""
    with np.errstate(all="ignore"):
        error = np.nan_to_num(np.abs(case.received.astype(np.float64) - case.expected.astype(np.float64)), nan=1e100)
    bad = error > case.limit
    for at, step in enumerate(case.steps):
        if step.outputs[0] in case.static or case.output(at).shape != bad.shape:
            continue
        for position, name in enumerate(step.inputs):
            if name is None or name not in case.static or step.operator.name in ("Reshape", "Clip"):
                continue
            constant = case.values[name]
            if constant.dtype.kind != "f" or constant.size < 2:
                continue
            yield from _element(case, at, position, constant, bad)


def _element(case: Case, at: int, position: int, constant: Array, bad: Array) -> Iterator[Hypothesis]:
    shape = constant.shape
    if case.steps[at].operator.name in ("BatchNormalization", "InstanceNormalization", "GroupNormalization"):
        shape = (1, constant.size, *(1,) * (bad.ndim - 2))
    try:
        places = np.broadcast_to(np.arange(constant.size).reshape(shape), bad.shape)
    except ValueError:
        return
    which = np.unique(places[bad])
    if len(which) != 1:
        return
    place = int(which[0])
    old = float(constant.flat[place])

    def run(new: float) -> Array | None:
        turned = constant.copy()
        turned.flat[place] = new
        return case.run(at, inputs={position: turned})

    index = [int(i) for i in np.unravel_index(place, constant.shape)]
    if case.narrow is not None and constant.ndim == 1 and constant.size == len(case.narrow[1]):
        index = [case.narrow[1][place]]
    for found, value in fitted(case, run, old or 1.0) if old else ():
        new = flipped(old, found - old, 1e-3 * abs(found - old))
        better = run(new.value) if "bit" in new.words else None
        words = f"{case.steps[at].name}: {case.steps[at].inputs[position]!r}{index}"
        if better is not None:
            yield Hypothesis("weight", f"{words} {new.words}", better)
        yield Hypothesis("weight", f"{words} is {shown(found)} in the place of {shown(old)}", value, fitted=True)
