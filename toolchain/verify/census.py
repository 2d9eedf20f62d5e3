"""Count the deviations of ONNX Runtime from the exact integers, over a whole data set and several optimisation levels.

The levels run side by side on the same samples, and a region is computed once where they hand it the same integers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir

from toolchain.data import Samples, batch_of
from toolchain.errors import UnsupportedError
from toolchain.integers import Answer, IntegerReference
from toolchain.ops.arrays import Array
from toolchain.ops.bounds import FLOAT32_ROUNDOFF
from toolchain.progress import Progress, silent
from toolchain.session import OPTIMIZATION, SessionOptions
from toolchain.shapes import infer
from toolchain.verify.deviation import Deviations
from toolchain.verify.integers import IntegerJudge
from toolchain.verify.observe import OnnxRuntimeBackend
from toolchain.verify.regions import Region

BATCH = 64


@dataclass
class _Memory:
    """The last exact answer of a region, and the integers that it was computed from."""

    inputs: Mapping[str, Array] = field(default_factory=dict)
    answer: Answer | None = None

    def exact(self, reference: IntegerReference, region: Region, tensors: Mapping[str, Array]) -> Answer:
        same = self.answer is not None and all(np.array_equal(self.inputs[n], tensors[n]) for n in region.inputs)
        if not same or self.answer is None:
            self.answer = reference.exact(region, tensors)
            self.inputs = {n: tensors[n] for n in region.inputs}
        return self.answer


def census(
    model: ir.Model,
    given: Samples,
    levels: Sequence[str] = OPTIMIZATION,
    *,
    exact_int8: bool = False,
    progress: Progress = silent,
) -> dict[str, dict[str, Deviations]]:
    """Classify every integer that ONNX Runtime's CPU provider computes otherwise.

    Args:
        model: quantized, in QDQ form.
        given: samples.
        levels: optimisation levels of the runtime.
        exact_int8: have it use kernels whose sums cannot saturate.
        progress: told how far the work is.

    Returns:
        For every level, counts by tensor of integers.

    Raises:
        UnsupportedError: a region has no exact value.
    """
    size = batch_of(model)
    shapes: dict[str, tuple[int, ...]] = {n: a.shape for n, a in given.feeds(0, size or 1).items()}
    specs: Any = infer(model, shapes)
    judges, backends = {}, {}
    for level in levels:
        options = SessionOptions(optimization=level, exact_int8=exact_int8)
        backend = backends[level] = OnnxRuntimeBackend(model, options, specs=specs)
        judges[level] = IntegerJudge(model, backend.kernels, FLOAT32_ROUNDOFF, specs)
    memory: dict[str, _Memory] = {}
    done = 0
    for count, feeds in given.batches(size or BATCH):
        for level in levels:
            judge, tensors = judges[level], {**feeds, **backends[level].observe(feeds).tensors}
            for tensor, region in judge.regions.items():
                key = f"{tensor} {' '.join(region.inputs)}"
                answer = memory.setdefault(key, _Memory()).exact(judge.reference, region, tensors)
                judge.count(region, answer, tensors[tensor], tensors)
        done += count
        progress(done, len(given), "samples classified")
    if not any(judge.found for judge in judges.values()):
        raise UnsupportedError("the model has no quantized tensor that is computed; give a model in QDQ form")
    return {level: judge.found for level, judge in judges.items()}
