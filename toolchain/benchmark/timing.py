"""Interleaved timing: whatever slows the machine slows all candidates alike."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.progress import Progress, silent

Array = NDArray[Any]
Call = Callable[[], object]

WINDOW = 20
STABLE = 0.03
WARM_UP_SECONDS = 2.0


@dataclass(frozen=True)
class WarmUp:
    """How a candidate was warmed up.

    Attributes:
        calls: made before the first one counted.
        stable: whether two windows of calls in a row agreed within 3% in the median, before time ran out.
    """

    calls: int
    stable: bool


def warm_up(call: Call, seconds: float = WARM_UP_SECONDS) -> WarmUp:
    """Call until the median of a window of calls settles.

    Args:
        call: what is timed.
        seconds: the longest it may take; at least two calls are made.
    """
    end = time.perf_counter() + seconds
    before, calls = 0.0, 0
    while True:
        window = []
        for _ in range(WINDOW):
            start = time.perf_counter_ns()
            call()
            window.append(time.perf_counter_ns() - start)
            if time.perf_counter() > end and calls + len(window) >= 2:
                return WarmUp(calls + len(window), False)
        calls += len(window)
        median = float(np.median(window))
        if before and abs(median - before) <= STABLE * before:
            return WarmUp(calls, True)
        before = median


def interleave(
    calls: Mapping[str, Call],
    *,
    samples: int,
    seconds: float,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Array]:
    """Time candidates in rounds: each once a round, in an order drawn anew for every round.

    Args:
        calls: candidates by name, warmed up.
        samples: rounds wanted.
        seconds: the longest all rounds together may take; at least one is made.
        seed: of the orders.
        progress: told now and then.

    Returns:
        Seconds of each call by candidate, float64 [rounds]; entry i of all is of the same round.
    """
    names = list(calls)
    generator = np.random.default_rng(seed)
    times: dict[str, list[int]] = {name: [] for name in names}
    report = progress or silent
    end = time.perf_counter() + seconds
    collecting = gc.isenabled()
    gc.disable()
    try:
        for done in range(1, samples + 1):
            for index in generator.permutation(len(names)):
                name = names[index]
                call = calls[name]
                start = time.perf_counter_ns()
                call()
                times[name].append(time.perf_counter_ns() - start)
            if done % 64 == 0 or done == samples:
                report(done, samples, "time")
            if time.perf_counter() > end:
                break
    finally:
        if collecting:
            gc.enable()
    return {name: np.asarray(taken, dtype=np.float64) * 1e-9 for name, taken in times.items()}


def ratios(times: Mapping[str, Array], base: str, names: Sequence[str]) -> dict[str, Array]:
    """Time of the base over time of each candidate, round by round: above 1 is faster than the base."""
    return {name: times[base] / times[name] for name in names}
