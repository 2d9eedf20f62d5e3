"""Why a region's tensor is wrong: each hypothesis is computed, and the one that gives what was received is the cause.

A hypothesis changes one thing (a padding, the order of the kernel's taps, one weight, how quotients are rounded) and
computes the region again in float64 or exact integers, from the backend's own inputs. What it *explains* is the share
of the error's energy beyond the limit that disappears. Where several explain it equally well the data cannot tell
them apart: the first in the order of :data:`KINDS` is named, and the others are mentioned.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from toolchain.errors import ToolchainError
from toolchain.ops.bounds import FLOAT32_MAX, Bound
from toolchain.ops.operator import Array, Spec
from toolchain.verify.causes import (
    activating,
    addends,
    kernels,
    layouts,
    normalizing,
    precision,
    quantized,
    single,
    windows,
)
from toolchain.verify.causes.case import Case, Family, Floats, Hypothesis
from toolchain.verify.causes.sampled import Finding, sampled
from toolchain.verify.regions import Region

KINDS: Mapping[str, str] = {
    "ceil_mode": "The size of the output is rounded up instead of down, or down instead of up.",
    "count_include_pad": "An average counts padding that it should not count, or leaves out what it should.",
    "pad": "Padding is elsewhere, wider, narrower, or filled with something else.",
    "stride": "Windows lie further apart or closer together.",
    "dilation": "The taps of a window lie further apart or closer together.",
    "kernel order": "The taps of the kernel are flipped, mirrored, or have rows and columns swapped.",
    "transposed weight": "Input and output channels of the weight are swapped, or a matrix is read transposed.",
    "layout": "A tensor is read in another layout than it was written in, such as NHWC as NCHW.",
    "channel order": "Channels, or groups of them, come in another order.",
    "bias missing": "An addend is left out.",
    "epsilon": "Another number is added to a variance or to a sum of squares.",
    "activation": "An activation is left out, added, or has other parameters.",
    "zero point": "A quantized tensor is shifted by another zero point.",
    "rounding": "Quotients are rounded in another way than half to even.",
    "saturation": "A sum or a result wraps or saturates where it should not, or does not where it should.",
    "bias scale": "An addend is multiplied by a wrong factor.",
    "scale": "A factor is wrong: a quantization scale, alpha, or a divisor.",
    "weight": "A single constant, of a weight or an addend, has another value.",
    "precision": "The arithmetic is coarser than the type: TF32, bfloat16 or float16.",
    "unknown": "No hypothesis explains the difference.",
}
"""Kinds of causes and what they mean, the simplest first: of several that explain equally well the first is named."""

FAMILIES: tuple[Family, ...] = (
    windows.hypotheses,
    kernels.hypotheses,
    layouts.hypotheses,
    addends.hypotheses,
    normalizing.hypotheses,
    activating.hypotheses,
    quantized.hypotheses,
    precision.hypotheses,
    single.hypotheses,
)
BUDGET = 4_000_000_000
"""Multiplications that one family of hypotheses may take: a second or two."""
CERTAIN = 1e-9
"""Remaining share of the energy at which, in large layers, no further family is tried."""
ENOUGH = 0.9
"""Share that a hypothesis has to explain."""
RESIDUAL = 0.3
"""Share of the whole error's energy, limits aside, that may remain: below it, a fault that barely shows."""
ALIKE = 4.0
"""Hypotheses whose remaining energy differs by less than this factor are not told apart."""
TIES = 0.01
"""Weight of integers that are off by no more than they may be."""
NOISE = 1e-13
"""Remaining share of the energy below which differences mean nothing."""
MENTIONED = 2


@dataclass(frozen=True)
class Cause:
    """The most likely reason of a finding.

    Attributes:
        kind: a key of :data:`KINDS`.
        detail: what differs and where, one line.
        explained: share of the error's energy beyond its limit that disappears under it, from 0 to 1.
    """

    kind: str
    detail: str
    explained: float

    def describe(self) -> str:
        """One line."""
        if self.kind == "unknown":
            return f"unknown ({self.detail})" if self.detail else "unknown"
        return f"{self.kind}: {self.detail} (explains {100 * self.explained:.4g}% of the error)"


@dataclass(frozen=True)
class _Scored:
    """A hypothesis and how well it does: what is left of the error beyond its limits, and of all of it."""

    hypothesis: Hypothesis
    explained: float
    left: float


def diagnose(
    region: Region,
    constants: Mapping[str, Array],
    observed: Mapping[str, Array],
    received: Array,
    expected: Array,
    bound: Bound,
    roundoff: float,
    specs: Mapping[str, Spec] | None = None,
) -> Cause:
    """Find the most likely cause of a region's error.

    Args:
        region: the nodes.
        constants: initialisers, widened.
        observed: the backend's tensors, at least the region's inputs.
        received: what the backend gave; its shape may differ from the exact one's.
        expected: the exact tensor.
        bound: limits around it.
        roundoff: unit roundoff of the backend's arithmetic on float32.
        specs: types of the model's tensors.

    Returns:
        ``unknown`` where nothing explains the difference.
    """
    try:
        limit = _limit(received, expected, bound)
        case = sampled(Finding(region, constants, observed, received, expected, limit, roundoff, specs or {}))
    except ToolchainError as error:
        return Cause("unknown", f"the region cannot be computed again: {error}", 0.0)
    scores = list(_scores(case))
    lost = numbers_lost(received, expected)
    return _choose(scores) if scores or not lost.any() else Cause("unknown", _what_came(received, lost), 0.0)


def numbers_lost(received: Array, expected: Array) -> Array:
    """Where NaN or infinity was received in the place of a number that the type can hold."""
    if received.shape != expected.shape or received.dtype.kind in "iub":
        return np.zeros(received.shape, np.bool_)
    with np.errstate(over="ignore"):
        nearest = expected.astype(received.dtype)
    return np.asarray(np.isfinite(nearest) & ~np.isfinite(received))


def _what_came(received: Array, lost: Array) -> str:
    nothing = int(np.count_nonzero(np.isnan(received) & lost))
    infinite = int(np.count_nonzero(lost)) - nothing
    said = [f"{count:,} {name}" for count, name in ((nothing, "NaN"), (infinite, "infinite")) if count]
    return (
        f"{' and '.join(said)} of {received.size:,} elements in the place of finite numbers: an overflow "
        "or an operation without a value on the way"
    )


def _limit(received: Array, expected: Array, bound: Bound) -> Floats:
    """The sound limit if anything is beyond it, else the probable one."""
    sound = np.broadcast_to(np.asarray(bound.sound, dtype=np.float64), expected.shape)
    if received.shape != expected.shape or (_distance(received, expected) > sound).any():
        return sound
    return np.broadcast_to(np.asarray(bound.probable, dtype=np.float64), expected.shape)


def _scores(case: Case) -> Iterator[_Scored]:
    """Every hypothesis that can be computed."""
    before = _energy(case, case.expected) if case.same_shape else (1.0, 1.0)
    if before[1] == 0.0:
        return
    certain, lost = False, numbers_lost(case.received, case.expected)
    for family in FAMILIES:
        if certain and case.whole is not None:
            return
        for hypothesis in family(replace(case, spent=[0], budget=BUDGET)):
            if lost.any() and not _loses(hypothesis, case.received, lost):
                continue
            if hypothesis.share is not None:
                yield _Scored(hypothesis, hypothesis.share, 1.0 - hypothesis.share)
                continue
            if hypothesis.value.shape != case.received.shape:
                continue
            if not case.same_shape:
                yield _matched(case, hypothesis)
                continue
            beyond, whole = _energy(case, hypothesis.value)
            explained = 1.0 - (beyond / before[0] if before[0] else whole / before[1])
            left = whole / before[1]
            certain |= left <= CERTAIN
            if case.received.dtype.kind in "iu" and before[0]:
                # Whole steps within a limit are ties that may fall either way: they only decide between equals.
                left = beyond / before[0] + TIES * left
            yield _Scored(hypothesis, max(0.0, min(1.0, explained)), left)


def _loses(hypothesis: Hypothesis, received: Array, lost: Array) -> bool:
    """Whether a hypothesis gives the NaN and infinities that were received: no error of a number's size does."""
    if hypothesis.share is not None or hypothesis.value.shape != received.shape:
        return False
    with np.errstate(over="ignore", invalid="ignore"):
        given, came = hypothesis.value[lost].astype(received.dtype), received[lost]
    return bool(((given == came) | (np.isnan(given) & np.isnan(came))).all())


def _matched(case: Case, hypothesis: Hypothesis) -> _Scored:
    """Of another shape than expected: how near the values come to the received ones, as a share of their energy."""
    difference = _distance(case.received, hypothesis.value)
    size = float(np.square(case.received.astype(np.float64)).sum())
    left = float(np.square(difference).sum()) / size if size else float(difference.any())
    return _Scored(hypothesis, max(0.0, 1.0 - left), min(left, 1.0))


def _distance(a: Array, b: Array) -> Floats:
    """Absolute differences; a huge number where only one is finite, 0 where both are alike."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    with np.errstate(all="ignore"):
        if a.dtype == np.float32:
            y = np.where(np.abs(y) >= FLOAT32_MAX, np.copysign(np.inf, y), y)
        difference = np.abs(x - y)
    same = (x == y) | (np.isnan(x) & np.isnan(y))
    return np.where(same, 0.0, np.where(np.isfinite(difference), np.minimum(difference, 1e100), 1e100))


def _energy(case: Case, value: Array) -> tuple[float, float]:
    """Sum of squared differences from the received tensor: of what lies beyond the limit, and of all."""
    difference = _distance(case.received, value)
    with np.errstate(invalid="ignore"):
        beyond = np.where(difference > case.limit, difference, 0.0)
    return float(np.square(beyond).sum()), float(np.square(difference).sum())


def _choose(scores: list[_Scored]) -> Cause:
    """The best, or the simplest of those as good."""
    order = {kind: position for position, kind in enumerate(KINDS)}
    fitting = [s for s in scores if s.explained >= ENOUGH and s.left <= RESIDUAL]
    fitting = [s for s in fitting if not s.hypothesis.weak] or fitting
    if not fitting:
        best = max(scores, key=lambda s: s.explained, default=None)
        if best is None or best.explained < 0.1:
            return Cause("unknown", "", 0.0)
        hint = f"nearest: {best.hypothesis.kind}, {best.hypothesis.detail}, explains {100 * best.explained:.3g}%"
        return Cause("unknown", hint, 0.0)
    least = min(s.left for s in fitting)
    alike = [s for s in fitting if s.left <= max(ALIKE * least, NOISE)]
    alike.sort(key=lambda s: (s.hypothesis.fitted, order[s.hypothesis.kind]))
    chosen = alike[0]
    others = list(dict.fromkeys(s.hypothesis.kind for s in alike if s.hypothesis.kind != chosen.hypothesis.kind))
    detail = chosen.hypothesis.detail
    if others:
        detail = f"{detail}; the data cannot tell it from {' or '.join(others[:MENTIONED])}"
    return Cause(chosen.hypothesis.kind, detail, chosen.explained)
