"""Collect the comparisons of one region over many samples."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.ops.bounds import Bound
from toolchain.verify.regions import Region
from toolchain.verify.verdict import RegionVerdict, Worst

Array = NDArray[Any]


class Tally:
    """The running verdict on one region."""

    def __init__(self, region: Region) -> None:
        self.region = region
        self._elements = 0
        self._differing = 0
        self._sound_ratio = 0.0
        self._probable_ratio = 0.0
        self._max_error = 0.0
        self._worst: Worst | None = None
        self._problem = ""

    @property
    def broken(self) -> bool:
        """Nothing more can be compared."""
        return bool(self._problem)

    def fail(self, problem: str) -> None:
        """Say why this region cannot be compared; the first reason stays."""
        self._problem = self._problem or problem

    def add(self, sample: int, received: Array, exact: Array, bound: Bound) -> None:
        """Compare one observed tensor.

        Args:
            sample: index of the sample.
            received: the backend's tensor.
            exact: float64 or integer, of the same shape.
            bound: limits, broadcastable to that shape.
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
            # Where the exact value, or a sum on the way to it, leaves the type's range, infinity is correct.
            error = np.where(np.isinf(received) & np.isposinf(bound.sound), 0.0, error)
        sound, probable = ratio(error, bound.sound), ratio(error, bound.probable)
        self._elements += received.size
        self._max_error = max(self._max_error, float(error.max()))
        self._probable_ratio = max(self._probable_ratio, float(probable.max()))
        position = int(sound.argmax())
        if self._worst is None or float(sound.flat[position]) > self._sound_ratio:
            self._sound_ratio = float(sound.flat[position])
            self._worst = Worst(
                sample=sample,
                index=tuple(int(i) for i in np.unravel_index(position, received.shape)),
                expected=float(exact.flat[position]),
                received=float(received.flat[position]),
                sound=_at(bound.sound, received.shape, position),
                probable=_at(bound.probable, received.shape, position),
            )

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
        quotient = error / np.broadcast_to(limit, error.shape)
    quotient = np.where(np.isnan(quotient), math.inf, quotient)
    return np.where(error == 0.0, 0.0, quotient)


def _same(a: Array, b: Array) -> NDArray[np.bool_]:
    if a.dtype.kind in "iub":
        return np.asarray(a == b)
    return np.asarray((a == b) | (np.isnan(a) & np.isnan(b)))


def _at(limit: Array, shape: tuple[int, ...], position: int) -> float:
    return float(np.broadcast_to(limit, shape)[np.unravel_index(position, shape)])
