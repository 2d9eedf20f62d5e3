"""The verdict on a region whose inputs are the correct backend's: what ``verify`` says, step by step as it says it.

The exact value and the limits of a region depend on its inputs alone, so they are computed once and serve every fault
that is planted into it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from numpy.typing import NDArray

from benchmarks.power.wrong import Place
from toolchain.integers.reference import Answer
from toolchain.ops.bounds import Bound
from toolchain.verify.arithmetic import FLOAT32
from toolchain.verify.cause import diagnose
from toolchain.verify.limits import limits
from toolchain.verify.tally import Tally
from toolchain.verify.taps import gather
from toolchain.verify.verdict import RegionVerdict

Array = NDArray[Any]


@dataclass(frozen=True)
class Judge:
    """Judges tensors that a backend might give for one region.

    Attributes:
        place: the region.
    """

    place: Place

    @cached_property
    def _integers(self) -> tuple[Answer, tuple[Array, Bound]] | None:
        """Of a region from integers to integers: its exact value, and the limits around it."""
        subject, region = self.place.subject, self.place.region
        judge = subject.integers
        if judge is None or region.tensor not in judge.regions:
            return None
        found = judge.judge(region.tensor, subject.tensors)
        if found is None or not judge.covers(region):
            return None
        return judge.reference.exact(judge.regions[region.tensor], subject.tensors), found

    @cached_property
    def _limits(self) -> tuple[Array, Bound]:
        if self._integers is not None:
            return self._integers[1]
        subject = self.place.subject
        constants = subject.reference.constants
        return limits(self.place.region, constants, subject.tensors, subject.specs, arithmetic=FLOAT32)

    def judge(self, received: Array) -> RegionVerdict:
        """The verdict on a tensor."""
        subject, region = self.place.subject, self.place.region
        constants = subject.reference.constants
        tensors = {**subject.tensors, region.tensor: received}
        value, bound = self._limits
        tally = Tally(region, FLOAT32)
        tally.add(0, received, value, bound)
        tally.sample(lambda: gather(region, constants, tensors, value))
        tally.explain(
            lambda: diagnose(region, constants, tensors, received, value, bound, FLOAT32.roundoff, subject.specs)
        )
        tally.settle()
        if subject.integers is not None and self._integers is not None:
            subject.integers.found.pop(region.tensor, None)
            subject.integers.count(subject.integers.regions[region.tensor], self._integers[0], received, tensors)
            tally.deviations = subject.integers.found.get(region.tensor)
        return tally.verdict()
