"""What a node's result must have been for the region to give what was received."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolchain.verify.causes.case import Case, Floats
from toolchain.verify.causes.quantized import SCALES

ROUNDS = 12
QUANTA = 8.0
FLAT = 1e-3
STEEP = 0.9
"""Where results are integers: flatter means clipped half-way."""


@dataclass(frozen=True)
class Implied:
    """How a node's result differs from the exact one, seen through what follows.

    Attributes:
        difference: of the result (of the sum of integer products, where the node requantizes by itself).
        known: where it can be told: what follows is neither flat nor saturated there.
        data_zero: zero point of the data, where the sum is of integers.
    """

    difference: Floats
    known: NDArray[np.bool_]
    data_zero: float = 0.0


def implied(case: Case, at: int) -> Implied | None:
    """Invert what follows a node, element by element, by Newton's method.

    Returns:
        ``None`` where what follows does not work element by element.
    """
    z, r = case.output(at), case.received.astype(np.float64)
    if z.shape != r.shape or not z.size:
        return None
    if case.steps[at].operator.name in ("QLinearConv", "QLinearMatMul"):
        return _requantized(case, at, r)
    if at == len(case.steps) - 1 and case.steps[at].outputs[0] == case.region.tensor:
        return Implied(r - z, np.isfinite(r - z))
    coarse = case.received.dtype.kind in "iu" or any(s.operator.name == "QuantizeLinear" for s in case.steps[at + 1 :])
    size = float(np.abs(z).max()) or 1.0
    step: Floats | float = QUANTA * _quantum(case, at, size) if coarse else 1e-6 * size
    if not _separate(case, at, z, step):
        return None
    start = z if coarse else _started(case, at, z, step, r, size)
    if start is None:
        return None
    here, known = start.copy(), np.ones(z.shape, dtype=bool)
    for attempt in range(1 if coarse else ROUNDS):
        step = step if coarse else 1e-6 * np.maximum(np.abs(here), size)
        values = [case.run(at, outputs=(moved,)) for moved in (here - step, here, here + step)]
        if any(v is None or v.shape != z.shape for v in values):
            return None
        low, now, high = (np.asarray(v).astype(np.float64) for v in values)
        slope = (high - low) / (2 * step)
        if not attempt:
            steepest = float(np.abs(slope).max())
            if not steepest:
                return None
        known &= np.abs(slope) > (STEEP if coarse else FLAT) * steepest
        with np.errstate(all="ignore"):
            moved = np.where(known, (r - now) / np.where(known, slope, 1.0), 0.0)
        here = here + np.nan_to_num(moved, posinf=0.0, neginf=0.0)
        if not np.any(np.abs(moved) > 1e-9 * np.maximum(np.abs(here), size)):
            break
    return Implied(here - z, known & np.isfinite(here) & ~_kinked(case, at, here, r, coarse=coarse))


def _started(case: Case, at: int, z: Floats, step: Floats | float, r: Floats, size: float) -> Floats | None:
    """Where to begin: at the exact result, and elsewhere where what follows is flat there (Relu below zero)."""
    here = z.copy()
    for other in (0.5 * size, -0.5 * size):
        low, high = (case.run(at, outputs=(moved,)) for moved in (here - step, here + step))
        if low is None or high is None or low.shape != z.shape:
            return None
        flat = low == high
        here = np.where(flat & (r != case.expected), other, here)
        if not flat.any():
            break
    return here


def _kinked(case: Case, at: int, here: Floats, r: Floats, *, coarse: bool) -> NDArray[np.bool_]:
    """Elements at which the found result does not give what was received: clipped on the way."""
    if coarse:
        ends = (min(r.min(), case.expected.min()), max(r.max(), case.expected.max()))
        return np.isin(r, ends) | np.isin(case.expected, ends)
    step = 1e-6 * np.maximum(np.abs(here), float(np.abs(case.output(at)).max()))
    values = [case.run(at, outputs=(moved,)) for moved in (here - step, here, here + step)]
    if any(v is None for v in values):
        return np.ones(r.shape, dtype=bool)
    low, now, high = (np.asarray(v).astype(np.float64) for v in values)
    with np.errstate(all="ignore"):
        off = ~(np.abs(now - r) <= case.limit + 1e-6 * np.abs(r))
        bent = ~(np.abs(high - 2 * now + low) <= 0.5 * np.abs(high - low))
    return np.asarray(off | bent)


def _quantum(case: Case, at: int, size: float) -> float:
    """Of the quantizing node that follows."""
    for step in case.steps[at + 1 :]:
        if step.operator.name == "QuantizeLinear" and step.inputs[1] is not None:
            return float(np.max(case.values[step.inputs[1]]))
    return size / 128


def _separate(case: Case, at: int, z: Floats, step: Floats | float) -> bool:
    """Whether every element of the region's tensor depends on its own element of the node's result alone."""
    moved = z.copy()
    moved.reshape(-1)[::2] += 3 * step
    base, value = case.run(at, outputs=(z,)), case.run(at, outputs=(moved,))
    if base is None or value is None or value.shape != z.shape:
        return False
    same = np.asarray(base == value) | (np.isnan(base.astype(np.float64)))
    return bool(same.reshape(-1)[1::2].all())


def _requantized(case: Case, at: int, r: Floats) -> Implied | None:
    """From the quantized result back to the sum."""
    if case.steps[at].outputs[0] != case.region.tensor:
        return None
    inputs, y = case.inputs(at), case.expected
    scales = [inputs[scale] for scale, _ in SCALES[case.steps[at].operator.name]]
    if any(s is None for s in scales) or inputs[2] is None or np.size(inputs[2]) != 1:
        return None
    sx, sw, sy = (np.asarray(s, dtype=np.float64) for s in scales)
    if case.steps[at].operator.name == "QLinearConv" and sw.size > 1:
        sw = sw.reshape(-1, *(1,) * (y.ndim - 2))
    limits = np.iinfo(y.dtype)
    known = (r > limits.min) & (r < limits.max) & (y > limits.min) & (y < limits.max)
    return Implied((r - y) * sy / (sx * sw), known, float(np.asarray(inputs[2]).flat[0]))
