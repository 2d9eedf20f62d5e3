"""Is the error of a sum of thousands of terms distributed as roundings are?

The sound limit of one value grows like n, the probable one like sqrt(n); a fault of one weight does not grow at all.
Many values together tell more. Their errors are divided by the standard deviation that independent roundings permit
(:func:`permitted`), and three questions are asked:

- Is their root mean square larger than permitted? (a coarser arithmetic: TF32, bfloat16, float16)
- Does a rounding of the factors to a shorter format predict them (``fingerprint.py``)? (which arithmetic)
- Do they go along with a bias, with the scale of a channel, or with the factors of one weight? (a wrong weight)

Derivation, assumptions and what was measured: docs/numbers.md. The answers are statistical: a *suspicion*, never a
defect, for no test on a sample proves that no order of summation explains it.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from toolchain.verify.arithmetic import FLOAT32, Arithmetic
from toolchain.verify.fingerprint import Fingerprint, fingerprint
from toolchain.verify.folding import FOLDING_ROUNDINGS
from toolchain.verify.taps import Taps

Floats = NDArray[np.float64]
Kind = Literal["weight", "bias", "scale"]

PARTS = 16
"""Partial sums looked at; between two of them a sum is taken to wander as in random order."""
FEWEST = 24
"""Values, below which a mean square says nothing."""
RMS_LIMIT = 2.0
"""Above twice the standard deviation that roundings permit, an arithmetic is coarser."""
BEYOND, DEVIATIONS = 0.25, 6.0
"""Of values with at most the permitted variance, no more than a quarter lie beyond twice its root (Chebyshev), whatever
their distribution; six standard deviations of a binomial count are left to chance."""
CHANCE = 1e-10
"""Of a false alarm in a region, over all its weights, if roundings are independent and symmetric."""
QUIETEST, LOUDEST = 0.1, math.sqrt(3.0)
"""The noise that one direction is compared with: at least a tenth of what is permitted, at most what is certain."""
LOOK_ABOVE = 1.0
"""Mean square from which on a shorter arithmetic is looked for."""
TINY = 2.0**-126
CHUNK = 1 << 21
LARGE, SEVERAL = 1 << 22, 8
"""Weights of a layer from which on each of them is asked about at eight positions or more only: fewer show little of
millions of weights, and take seconds."""


@dataclass(frozen=True)
class Systematic:
    """Errors that go along with something: a fault and not a rounding.

    Attributes:
        kind: one weight, the bias of a channel, or the scale of a channel's weights.
        channel: output channel.
        tap: of one weight, its index in a filter [C / group, kernel...] read as a vector; else ``None``.
        relative: estimate of the fault, relative to the weight, bias or scale (infinite where that is 0).
        score: size over what chance and systematic roundings may do; above 1 is a suspicion.
    """

    kind: Kind
    channel: int
    tap: int | None
    relative: float
    score: float


@dataclass(frozen=True)
class Distribution:
    """What the sampled errors of a region say.

    Attributes:
        elements: distinct values looked at.
        arithmetic: name of the arithmetic that was asked about.
        rms: root mean square of the errors over the standard deviation that it permits.
        coarse: more errors than chance explains are larger than twice what it permits.
        looks_like: the shorter arithmetic that predicts the errors, if one does.
        systematic: the strongest direction, of whatever score; ``None`` where none could be tested.
    """

    elements: int
    arithmetic: str
    rms: float
    coarse: bool
    looks_like: Fingerprint | None = None
    systematic: Systematic | None = None

    @property
    def suspicious(self) -> bool:
        """Something that roundings do not do."""
        return (
            self.coarse or self.looks_like is not None or (self.systematic is not None and self.systematic.score > 1.0)
        )

    def describe(self) -> str:
        """In words; empty where there is nothing to say."""
        said = []
        if self.coarse or self.looks_like is not None:
            said.append(f"the error is {self.rms:.3g} times what {self.arithmetic} permits in the mean")
        if self.looks_like is not None:
            said.append(f"it looks like {self.looks_like}")
        found = self.systematic
        if found is not None and found.score > 1.0 and self.looks_like is None:
            what = {
                "weight": f"weight {found.tap} of output channel {found.channel}",
                "bias": f"the bias of output channel {found.channel}",
                "scale": f"the weights of output channel {found.channel}",
            }[found.kind]
            by = f" by a factor of {1 + found.relative:.6g}" if math.isfinite(found.relative) else ""
            said.append(
                f"it goes along with {what}, which looks off{by} ({found.score:.3g} times what chance explains)"
            )
        return "; ".join(said)


@dataclass(frozen=True)
class Moments:
    """Of the sums of a sample, without their bias; each [G, P, C].

    Attributes:
        total: the sums.
        squares: sums of the squared products.
        path: sums of the squared partial sums, in the order of the weights, forward or backward, whichever is larger,
            with the bias added to each.
    """

    total: Floats
    squares: Floats
    path: Floats


def moments(taps: Taps) -> Moments:
    """What the permitted variance is made of."""
    data, weights, bias = taps.data, taps.weights, np.abs(taps.bias)[:, None]
    terms = data.shape[2]
    edges = np.unique(np.linspace(0, terms, min(PARTS, terms) + 1).astype(int))
    parts = [data[..., a:b] @ weights[..., a:b].swapaxes(1, 2) for a, b in itertools.pairwise(edges)]
    total: Floats = np.sum(parts, axis=0)
    squares: Floats = (data**2) @ (weights**2).swapaxes(1, 2)
    path = terms / len(parts) * squares
    before = np.zeros_like(total)
    for part, length in zip(parts, np.diff(edges), strict=True):
        after = before + part
        height = np.max([np.abs(t) for t in (before, after, total - before, total - after)], axis=0) + bias
        path += length * height**2
        before = after
    return Moments(total, squares, path)


def permitted(taps: Taps, arithmetic: Arithmetic = FLOAT32, of: Moments | None = None) -> Floats:
    """Variance of the sum's error that independent roundings permit: float64 [G, P, C].

    The error is, to first order, the sum over all intermediate results T of d T, with ``|d| <= u``. A rounding error
    is uniform between the neighbours of T, so that ``E (d T)^2 <= u^2 T^2 / 3``. The T are the n products, the partial
    sums and the result. Partial sums are at least as large as in a random order, where their mean square is
    ``y^2 / 3 + (sum of p^2) / 6``. Factors that are rounded, or cut off (which errs by twice as much, towards zero),
    add ``2 (2 u)^2 / 3`` times each product squared, and ``(2 u y)^2`` for what all have in common.

    Args:
        taps: the sample.
        arithmetic: in which the sums are computed.
        of: their moments, where they are known already.
    """
    u, v, terms = arithmetic.sums, arithmetic.factors, taps.data.shape[2]
    m = moments(taps) if of is None else of
    by_chance = terms * (m.total**2 / 3 + m.squares / 6 + taps.bias[:, None] ** 2)
    result = (m.total + taps.bias[:, None]) ** 2
    variance = u**2 / 3 * (m.squares + np.maximum(m.path, by_chance) + result)
    variance += (2 * v) ** 2 * (2 / 3 * m.squares + m.total**2)
    if taps.folds:
        variance += (FOLDING_ROUNDINGS * taps.folds * u) ** 2 * (m.squares + m.total**2)
    return np.asarray(variance + (TINY * (terms + 1)) ** 2)


def examine(taps: Taps, arithmetic: Arithmetic = FLOAT32) -> Distribution:
    """Test the errors of a sample.

    Args:
        taps: the sample.
        arithmetic: what the backend is said to compute in.
    """
    channels, terms = taps.weights.shape[1:]
    size = max(CHUNK // max(taps.weights.shape[0] * max(terms, taps.positions), 1), 1)
    chunks = [_Chunk.of(taps, slice(a, a + size), arithmetic) for a in range(0, channels, size)]
    energy = np.concatenate([c.normalised[c.weight > 0] ** 2 for c in chunks])
    if not energy.size:
        return Distribution(0, arithmetic.name, 0.0, coarse=False)
    mean = float(energy.mean())
    beyond = int(np.count_nonzero(energy > RMS_LIMIT**2))
    chance = BEYOND * energy.size + DEVIATIONS * math.sqrt(BEYOND * (1 - BEYOND) * energy.size)
    coarse = energy.size >= FEWEST and beyond > chance
    found = max((c.systematic(terms * channels * taps.weights.shape[0]) for c in chunks), key=_score)
    look = None
    if energy.size >= FEWEST and mean > LOOK_ABOVE:
        scale = np.where(chunks[0].weight > 0, np.sqrt(chunks[0].variance), np.inf)
        look = fingerprint(chunks[0].taps, chunks[0].error, scale, arithmetic)
    return Distribution(int(energy.size), arithmetic.name, math.sqrt(mean), coarse, look, found)


def _score(found: Systematic | None) -> float:
    return -1.0 if found is None else found.score


@dataclass(frozen=True)
class _Chunk:
    """Some channels of a sample.

    Attributes:
        taps: the sample, cut to these channels.
        first: index of the first within its group.
        channels: of a whole group.
        error: of the sum, [G, P, C]; 0 where it does not show.
        variance: permitted.
        behind: limit on what the nodes behind the sum may add, in units of the sum.
        weight: 1 for distinct values that show, else 0.
        arithmetic: what is asked about.
        moments: of its sums.
    """

    taps: Taps
    first: int
    channels: int
    error: Floats
    variance: Floats
    behind: Floats
    weight: Floats
    arithmetic: Arithmetic
    moments: Moments

    @classmethod
    def of(cls, whole: Taps, part: slice, arithmetic: Arithmetic) -> _Chunk:
        taps = Taps(
            whole.data,
            whole.weights[:, part],
            whole.bias[:, part],
            whole.exact[..., part],
            whole.received[..., part],
            whole.slope[..., part],
            whole.behind[..., part],
            whole.folds,
        )
        with np.errstate(invalid="ignore"):
            error = (taps.received - taps.exact) / taps.slope
            behind = taps.behind / np.abs(taps.slope)
        shown = np.isfinite(error) & np.isfinite(behind)
        weight = (shown & ~_repeated(np.where(shown, taps.exact, np.nan))).astype(np.float64)
        error, behind = np.where(weight > 0, error, 0.0), np.where(weight > 0, behind, 0.0)
        known = moments(taps)
        variance = permitted(taps, arithmetic, known) + behind**2
        channels = whole.weights.shape[1]
        return cls(taps, part.start, channels, error, variance, behind, weight, arithmetic, known)

    @property
    def normalised(self) -> Floats:
        """Errors over the permitted standard deviation: [G, P, C]."""
        return np.asarray(self.error / np.sqrt(self.variance))

    def systematic(self, tests: int) -> Systematic | None:
        """The direction that goes along with the errors most; ``tests`` of them are tried in all."""
        groups, positions, channels = self.error.shape
        ones = np.ones((groups, positions, 1))
        threshold = math.sqrt(2.0 * math.log(2.0 * (tests + 2 * groups * self.channels) / CHANCE))
        small = groups * self.channels * self.taps.data.shape[2] <= LARGE
        fits: list[tuple[Kind, tuple[Floats, Floats], Floats]] = [
            ("bias", _fit(self, ones, threshold), self.taps.bias[..., None]),
            ("scale", _fit_scale(self, threshold), np.ones((groups, channels, 1))),
        ]
        if small or positions >= SEVERAL:
            fits.insert(0, ("weight", _fit(self, self.taps.data, threshold), self.taps.weights))
        best: Systematic | None = None
        for kind, (score, slope), size in fits:
            group, channel, tap = np.unravel_index(int(np.argmax(score)), score.shape)
            if best is not None and score[group, channel, tap] <= best.score:
                continue
            of = float(size[group, channel, tap])
            best = Systematic(
                kind=kind,
                channel=int(group) * self.channels + self.first + int(channel),
                tap=int(tap) if kind == "weight" else None,
                relative=float(slope[group, channel, tap]) / of if of else math.inf,
                score=float(score[group, channel, tap]),
            )
        return best


def _repeated(values: Floats) -> NDArray[np.bool_]:
    """Of each channel's values [G, P, C], those that stood at an earlier position already (to float32)."""
    rounded = values.astype(np.float32)
    order = np.argsort(rounded, axis=1, kind="stable")
    ordered = np.take_along_axis(rounded, order, axis=1)
    same = np.zeros(values.shape, dtype=bool)
    same[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    repeated = np.empty_like(same)
    np.put_along_axis(repeated, order, same, axis=1)
    return repeated


def _fit(chunk: _Chunk, factors: Floats, threshold: float) -> tuple[Floats, Floats]:
    """Errors against factors [G, P, n]: score and least-squares slope, [G, C, n].

    With e and x divided by the permitted standard deviation, ``sum(e x) / |x|`` is compared with ``threshold`` times
    the noise, and with what roundings may do to every product alike: those of folded weights, of factors, and of
    products of few different numbers.
    """
    inverse = (chunk.weight / chunk.variance).swapaxes(1, 2)
    along = (chunk.error.swapaxes(1, 2) * inverse) @ factors
    norm = np.sqrt(inverse @ factors**2)
    noise = _noise(chunk, inverse, factors, norm)
    alike = _alike(chunk)
    squares = np.sum(inverse * chunk.moments.squares.swapaxes(1, 2), axis=2)
    allowed = alike * 4.0 * norm * np.sqrt(squares)[..., None]
    if chunk.taps.folds or chunk.arithmetic.factors:
        allowed = allowed + alike * np.abs((chunk.moments.total.swapaxes(1, 2) * inverse) @ factors)
    if chunk.behind.any():
        allowed = allowed + (chunk.behind.swapaxes(1, 2) * inverse) @ np.abs(factors)
    return _ratio(np.abs(along), threshold * noise * norm + allowed), _ratio(along, norm**2)


def _fit_scale(chunk: _Chunk, threshold: float) -> tuple[Floats, Floats]:
    """Errors against the channel's own sum: score and slope, [G, C, 1]."""
    inverse = chunk.weight / chunk.variance
    straight = chunk.moments.total
    along = np.sum(chunk.error * straight * inverse, axis=1)[..., None]
    norm = np.sqrt(np.sum(straight**2 * inverse, axis=1))[..., None]
    own = np.sqrt(_ratio(np.sum((chunk.error * straight * inverse) ** 2, axis=1)[..., None], norm**2))
    squares = np.sum(inverse * chunk.moments.squares, axis=1)[..., None]
    behind = np.sum(chunk.behind * np.abs(straight) * inverse, axis=1)[..., None]
    allowed = _alike(chunk) * (4.0 * norm * np.sqrt(squares) + norm**2) + behind
    noise = np.clip(own, QUIETEST, LOUDEST)
    return _ratio(np.abs(along), threshold * noise * norm + allowed), _ratio(along, norm**2)


def _alike(chunk: _Chunk) -> float:
    """Relative error that every product of a channel may have in common."""
    u, v = chunk.arithmetic.sums, chunk.arithmetic.factors
    return (FOLDING_ROUNDINGS * chunk.taps.folds + 1) * u + 4 * v


def _noise(chunk: _Chunk, inverse: Floats, factors: Floats, norm: Floats) -> Floats:
    """Standard deviation of the errors along a direction, over the permitted one.

    As White's, which needs no model of the variance; from the middle channel where several have values that show in
    that direction, so that a channel's fault does not count as its noise. Channels without any say nothing of it.
    """
    squared = (chunk.error.swapaxes(1, 2) * inverse) ** 2 @ factors**2
    own = np.sqrt(_ratio(squared, norm**2))
    if own.shape[1] >= SEVERAL and factors.shape[1] >= SEVERAL:
        own = np.where(np.count_nonzero(norm, axis=1, keepdims=True) >= SEVERAL, _middle(own, norm > 0), own)
    return np.clip(own, QUIETEST, LOUDEST)


def _middle(values: Floats, known: NDArray[np.bool_]) -> Floats:
    """Median of the known ones along the second axis, which stays with length 1; 0 where none is known."""
    if known.all():
        return np.asarray(np.median(values, axis=1, keepdims=True))
    ordered = np.sort(np.where(known, values, np.inf), axis=1)
    count = np.count_nonzero(known, axis=1, keepdims=True)
    low = np.take_along_axis(ordered, np.maximum(count - 1, 0) // 2, axis=1)
    high = np.take_along_axis(ordered, count // 2, axis=1)
    return np.asarray(np.where(count > 0, (low + high) / 2, 0.0))


def _ratio(a: Floats, b: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(b > 0, a / b, 0.0))
