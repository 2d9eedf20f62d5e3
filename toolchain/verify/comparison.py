"""One region of the graph that runs, judged on what the backend showed of it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from toolchain.errors import ToolchainError, UnboundedError
from toolchain.ops.operator import Array
from toolchain.reference import Reference
from toolchain.verify.arithmetic import Arithmetic
from toolchain.verify.cause import diagnose
from toolchain.verify.compiled import CompiledBackend
from toolchain.verify.grouping import stackable, stacked
from toolchain.verify.integers import IntegerJudge
from toolchain.verify.limits import limits
from toolchain.verify.observe import OnnxRuntimeBackend
from toolchain.verify.regions import Region
from toolchain.verify.tally import Tally
from toolchain.verify.taps import gather
from toolchain.verify.verdict import RegionVerdict

BATCH = 16
"""Samples judged together: more of them cost memory, fewer cost more calls of NumPy."""


class Comparison:
    """Judges one region, batch by batch; small batches together where the region treats samples alike.

    Args:
        region: the nodes.
        reference: the interpreter of the model.
        backend: what runs it.
        arithmetic: of the backend on float32.
        integers: knows the exact values of quantized regions; ``None`` where there are none.
        fixed: samples that the model takes at a time; ``None`` for any number.
    """

    def __init__(
        self,
        region: Region,
        reference: Reference,
        backend: OnnxRuntimeBackend | CompiledBackend,
        arithmetic: Arithmetic,
        integers: IntegerJudge | None,
        fixed: int | None,
    ) -> None:
        self._region, self._constants, self._backend = region, reference.constants, backend
        self._arithmetic, self._integers, self._fixed = arithmetic, integers, fixed
        self._tally = Tally(region, arithmetic)
        # What the integers say belongs to the latest run alone.
        alike = fixed is not None and integers is None and stackable(region, self._constants, backend.specs, fixed)
        self._together = max(BATCH // fixed, 1) if alike and fixed else 1
        self._start = 0
        self._waiting: list[dict[str, Array]] = []

    def add(self, start: int, tensors: Mapping[str, Array]) -> None:
        """Take one run, to be judged now or with the next ones.

        Args:
            start: index of its first sample.
            tensors: what the backend was fed and what it showed, by the model's names.
        """
        as_meant = tensors[self._region.tensor].shape == self._backend.specs[self._region.tensor].shape
        if not as_meant:
            self._judge()
        if not self._waiting:
            self._start = start
        self._waiting.append({name: tensors[name] for name in (*self._region.inputs, self._region.tensor)})
        if len(self._waiting) >= self._together or not as_meant:
            self._judge()

    def verdict(self) -> RegionVerdict:
        """Judge what is still waiting, and sum up."""
        self._judge()
        self._tally.settle()
        self._tally.deviations = None if self._integers is None else self._integers.result(self._region.tensor)
        return self._tally.verdict()

    def _judge(self) -> None:
        if not self._waiting or self._tally.broken:
            self._waiting = []
            return
        runs, self._waiting = self._waiting, []
        region, constants, specs, tally = self._region, self._constants, self._backend.specs, self._tally
        tensors = runs[0] if len(runs) == 1 else stacked(runs)
        try:
            short = self._backend.widened.get(region.tensor)
            known = None if self._integers is None else self._integers.limits(region)
            value, bound = known or limits(region, constants, tensors, specs, arithmetic=self._arithmetic, short=short)
        except ToolchainError as error:
            tally.fail(str(error), judged=not isinstance(error, UnboundedError))
            return
        received, roundoff = tensors[region.tensor], self._arithmetic.roundoff
        batch = self._fixed if len(runs) > 1 else None
        finite = all(bool(np.isfinite(tensors[name]).all()) for name in region.inputs) if _any_nan(received) else True
        tally.add(self._start, received, value, bound, batch=batch, finite=finite)
        tally.sample(lambda: gather(region, constants, tensors, value, seed=self._start))
        tally.explain(lambda: diagnose(region, constants, tensors, received, value, bound, roundoff, specs))


def _any_nan(array: Array) -> bool:
    return array.dtype.kind not in "iub" and bool(np.isnan(array).any())
