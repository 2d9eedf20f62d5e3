"""Collect the comparisons of one region over many samples."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.ops.bounds import Bound
from toolchain.verify.arithmetic import FLOAT32, Arithmetic
from toolchain.verify.cause import Cause
from toolchain.verify.deviation import Deviations
from toolchain.verify.distribution import Distribution, examine
from toolchain.verify.heat import Heat, channel_of, heat_map
from toolchain.verify.limits import unlimited
from toolchain.verify.regions import Region
from toolchain.verify.suspicion import cause_of
from toolchain.verify.taps import Taps, merged, wanted
from toolchain.verify.verdict import RegionVerdict, Status, Worst

Array = NDArray[Any]


class Tally:
    """The running verdict on one region."""

    def __init__(self, region: Region, arithmetic: Arithmetic = FLOAT32) -> None:
        self.region = region
        self._arithmetic = arithmetic
        self._samples: list[Taps] = []
        self._positions = 0
        self._enough = False
        self._distribution: Distribution | None = None
        self._unlimited = 0
        self._unproved = 0
        self._undecided = 0
        self._elements = 0
        self._differing = 0
        self._sound_ratio = 0.0
        self._probable_ratio = 0.0
        self._max_error = 0.0
        self._worst: Worst | None = None
        self._problem = ""
        self._judged = True
        self.deviations: Deviations | None = None
        self._heat: Heat = ()
        self._cause: Cause | None = None
        self._explained: Status = "ok"

    @property
    def broken(self) -> bool:
        """Nothing more can be compared."""
        return bool(self._problem)

    def fail(self, problem: str, *, judged: bool = True) -> None:
        """Say why this region cannot be compared; the first reason stays.

        Args:
            problem: the reason.
            judged: it is the backend's fault; else nothing can be said of it.
        """
        if not self._problem:
            self._problem, self._judged = problem, judged

    def add(
        self,
        sample: int,
        received: Array,
        exact: Array,
        bound: Bound,
        *,
        batch: int | None = None,
        finite: bool = True,
    ) -> None:
        """Compare one observed tensor.

        Args:
            sample: index of its first sample.
            received: the backend's tensor.
            exact: float64 or integer, of the same shape.
            bound: limits, broadcastable to that shape.
            batch: samples in a run, where the tensor is the stack of several runs along axis 0.
            finite: it was computed from finite numbers.
        """
        if received.shape != exact.shape:
            self.fail(f"{self.region.tensor!r} has shape {list(received.shape)}; expected {list(exact.shape)}")
            return
        if not received.size:
            return
        with np.errstate(over="ignore"):
            nearest = exact.astype(received.dtype) if received.dtype.kind not in "iub" else exact
        self._differing += int(np.count_nonzero(~_same(received, nearest)))
        error = distance(received, exact)
        if received.dtype.kind == "f":
            # Where the exact value, or a sum on the way to it, leaves the type's range, infinity is correct, and so may
            # NaN be, of two infinities that finite numbers made; what makes a NaN of a number is not certified.
            open_ended = np.isposinf(bound.sound)
            nothing = np.isnan(received) & ~np.isnan(exact) & open_ended & finite
            self._undecided += int(np.count_nonzero(nothing))
            error = np.where((np.isinf(received) & open_ended) | nothing, 0.0, error)
        sound, probable = ratio(error, bound.sound), ratio(error, bound.probable)
        self._elements += received.size
        self._max_error = max(self._max_error, float(error.max()))
        without, unproved = unlimited(received, exact, bound)
        self._unlimited += without
        self._unproved += unproved
        self._probable_ratio = max(self._probable_ratio, float(probable.max()))
        position = int(sound.argmax())
        if self._worst is None or float(sound.flat[position]) > self._sound_ratio:
            self._sound_ratio = float(sound.flat[position])
            index = tuple(int(i) for i in np.unravel_index(position, received.shape))
            run = 0 if batch is None else index[0] // batch * batch
            self._worst = Worst(
                sample=sample + run,
                index=(index[0] - run, *index[1:]) if run else index,
                expected=float(exact.flat[position]),
                received=float(received.flat[position]),
                sound=_at(bound.sound, received.shape, position),
                probable=_at(bound.probable, received.shape, position),
            )
            self._heat = heat_map(error, index)

    def explain(self, find: Callable[[], Cause]) -> None:
        """Look for the cause of what was just added, where it is the first suspicion or the first defect.

        Args:
            find: names the cause; called at most twice in all.
        """
        status = self.verdict().status
        if status in ("suspect", "defect") and self._explained != status and self._explained != "defect":
            self._explained, self._cause = status, find()

    def sample(self, gather: Callable[[], Taps | None]) -> None:
        """Keep some of what was just added, for :meth:`settle`; nothing where there is enough.

        Args:
            gather: opens the region at some positions.
        """
        taps = None if self._enough or self.broken else gather()
        if taps is not None:
            self._samples.append(taps)
            self._positions += taps.positions
            self._enough = self._positions >= wanted(*taps.weights.shape)

    def settle(self) -> None:
        """Test how the errors are distributed, once all samples were added."""
        if self._samples and not self.broken:
            self._distribution = examine(merged(self._samples), self._arithmetic)
            self._samples = []
        if self._distribution is not None and self._distribution.suspicious and self._cause is None:
            self._cause = cause_of(self._distribution)

    def verdict(self) -> RegionVerdict:
        """The verdict so far."""
        return RegionVerdict(
            tensor=self.region.tensor,
            nodes=self.region.nodes,
            operators=tuple(step.operator.name for step in self.region.steps),
            elements=self._elements,
            sound_ratio=self._sound_ratio,
            probable_ratio=self._probable_ratio,
            max_error=self._max_error,
            differing=self._differing,
            worst=self._worst,
            problem=self._problem,
            judged=self._judged,
            channel=None if self._worst is None or self._cause is None else channel_of(self._worst.index),
            cause=self._cause,
            heat=self._heat if self._cause is not None else (),
            distribution=self._distribution,
            unlimited=self._unlimited,
            unproved=self._unproved,
            undecided=self._undecided,
            deviations=self.deviations,
        )


def distance(received: Array, exact: Array) -> NDArray[np.float64]:
    """``|received - exact|``: zero for equal infinities and for two NaN, infinite where only one is special."""
    a, b = received.astype(np.float64), exact.astype(np.float64)
    with np.errstate(invalid="ignore"):
        error = np.abs(a - b)
    error = np.where(np.isnan(error), math.inf, error)
    return np.where(_same(a, b), 0.0, error)


def ratio(error: NDArray[np.float64], limit: Array) -> NDArray[np.float64]:
    """Error over limit; 0 where the error is 0, infinite where only the limit is (or where it is no number)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        quotient = np.divide(error, limit, out=np.empty_like(error))
    quotient = np.where(np.isnan(quotient), math.inf, quotient)
    return np.where(error == 0.0, 0.0, quotient)


def _same(a: Array, b: Array) -> NDArray[np.bool_]:
    if a.dtype.kind in "iub":
        return np.asarray(a == b)
    return np.asarray((a == b) | (np.isnan(a) & np.isnan(b)))


def _at(limit: Array, shape: tuple[int, ...], position: int) -> float:
    return float(np.broadcast_to(limit, shape)[np.unravel_index(position, shape)])
