"""The verb: whose answer can rounding change?

For a sample with the scores ``z`` and the answer ``a`` (the largest), rounding cannot make ``j`` the answer where
``z_a - z_j`` exceeds what roundings can move that difference by. Two limits on that, with different claims:

- *certain*: the sound limits of all nodes, spread through all nodes behind them, as ``verify`` composes them within
  a fused region. Rigorous for every order of summation, fused multiply-add and folding of scales into weights. It
  grows with every layer, and in deep networks beyond all use.
- *first order*: gradients at the exact tensors times the sound limits (:mod:`toolchain.margins.firstorder`). Close,
  and not a proof.

Neither covers another algorithm (Winograd, FFT) or a coarser arithmetic than the one that was named.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from toolchain.data import Samples, batch_of, samples
from toolchain.errors import ShapeError, UnknownNameError, UnsupportedError
from toolchain.load import load
from toolchain.margins.firstorder import Trace, shift, trace
from toolchain.ops.bounds import FLOAT32_ROUNDOFF
from toolchain.progress import Progress, silent
from toolchain.reference import Reference
from toolchain.shapes import infer
from toolchain.verify.judge import exact
from toolchain.verify.regions import Region, cut

Array = NDArray[Any]

BATCH = 16
RIVALS = 32
LISTED = 20
ARITHMETIC = {"float32": FLOAT32_ROUNDOFF, "tf32": 2.0**-11, "float16": 2.0**-11, "bfloat16": 2.0**-8}
"""Unit roundoff of the arithmetic in which a device multiplies."""


@dataclass(frozen=True)
class Margins:
    """How many answers no legal rounding can change.

    Attributes:
        model: what was asked.
        data: on which samples.
        arithmetic: in which roundings are made, a key of :data:`ARITHMETIC`.
        roundoff: its unit roundoff.
        samples: their number.
        certain: answers that cannot change; a proof.
        first_order: further answers that cannot change to first order; no proof.
        open: answers that may change.
        open_samples: indices of the first of these.
        contradicted: indices of certain answers that a runtime gave differently: a defect of it (or of ours).
        rivals: to how many other classes, the nearest, the first-order limit was applied.
        caveat: why the first-order limit was not applied, or the composed one has no limit; else empty.
    """

    model: str
    data: str
    arithmetic: str
    roundoff: float
    samples: int
    certain: int
    first_order: int
    open: int
    open_samples: tuple[int, ...]
    contradicted: tuple[int, ...]
    rivals: int
    caveat: str

    @property
    def ok(self) -> bool:
        """No certain answer was given differently."""
        return not self.contradicted

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able values."""
        return {**asdict(self), "ok": self.ok}


def margins(
    model: ir.Model | Path | str,
    *,
    data: str | Samples,
    arithmetic: str = "float32",
    received: NDArray[np.int64] | None = None,
    progress: Progress | None = None,
) -> Margins:
    """Count the answers that no legal rounding can change.

    Args:
        model: a classifier; its first output is [N, classes].
        data: a data set as :func:`toolchain.data.samples` takes it, or samples.
        arithmetic: a key of :data:`ARITHMETIC`.
        received: int64 [N], the answers that a runtime gave; certain ones are compared with them.
        progress: called as samples are done.

    Raises:
        UnknownNameError: no such arithmetic.
        ShapeError: the model gives no scores [N, classes].
        ToolchainError: what loading, the data and the session raise.
    """
    if arithmetic not in ARITHMETIC:
        raise UnknownNameError("arithmetic", arithmetic, ARITHMETIC)
    loaded = load(model) if isinstance(model, Path | str) else model
    given = data if isinstance(data, Samples) else samples(loaded, data)
    judge = _Judge(loaded, ARITHMETIC[arithmetic])
    certain, settled, done = 0, 0, 0
    contradicted: list[int] = []
    still_open: list[int] = []
    tell = progress or silent
    for count, feeds in given.batches(batch_of(loaded) or BATCH, fixed=batch_of(loaded) is not None):
        proved, estimated, answers = (part[:count] for part in judge.batch(feeds))
        if received is not None:
            wrong = proved & (received[done : done + count] != answers)
            contradicted += [done + int(i) for i in np.flatnonzero(wrong)]
        certain += int(proved.sum())
        settled += int((estimated & ~proved).sum())
        still_open += [done + int(i) for i in np.flatnonzero(~(proved | estimated))]
        done += count
        tell(done, len(given), "margins")
    return Margins(
        model=Path(model).name if isinstance(model, Path | str) else str(loaded.graph.name),
        data=given.name,
        arithmetic=arithmetic,
        roundoff=ARITHMETIC[arithmetic],
        samples=done,
        certain=certain,
        first_order=settled,
        open=len(still_open),
        open_samples=tuple(still_open[:LISTED]),
        contradicted=tuple(contradicted),
        rivals=judge.rivals,
        caveat=judge.caveat,
    )


class _Judge:
    """Batches of one model."""

    def __init__(self, model: ir.Model, roundoff: float) -> None:
        self._reference = Reference(model)
        self._roundoff = roundoff
        self._specs = infer(model)
        self.output = self._reference.outputs[0]
        inputs = {value.name or "" for value in self._reference.inputs}
        regions = cut(self._reference.steps, self._reference.constants, {*inputs, self.output})
        self._whole: Region | None = next((r for r in regions if r.tensor == self.output), None)
        self._first_order = True
        self.rivals = 0
        self.caveat = ""

    def batch(self, feeds: Mapping[str, Array]) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.int64]]:
        """Of each sample: whether its answer is certain, whether it is settled to first order, and the answer."""
        scores, proved = self._composed(feeds)
        answers = scores.argmax(axis=1).astype(np.int64)
        estimated = np.zeros(len(scores), dtype=bool)
        if not proved.all() and self._first_order:
            try:
                traced = trace(self._reference, feeds, self._roundoff)
                estimated = ~proved & self._settled(traced, scores, ~proved)
            except UnsupportedError as error:
                self._first_order, self.caveat = False, f"no first-order limit: {error}"
        return proved, estimated, answers

    def _composed(self, feeds: Mapping[str, Array]) -> tuple[Array, NDArray[np.bool_]]:
        """Scores, and which answers the composed sound limits prove."""
        if self._whole is None:
            raise ShapeError("the model's first output does not depend on its inputs; there is no answer to judge")
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                value, limits = exact(self._whole, self._reference.constants, feeds, self._roundoff, self._specs)
        except UnsupportedError as error:
            self.caveat = self.caveat or f"no proof: {error}"
            value, limits = self._reference.run(feeds)[self.output], None
        rows = len(next(iter(feeds.values())))
        if value.ndim < 2 or value.size != rows * value.shape[1]:
            raise ShapeError(
                f"the model's first output has shape {list(value.shape)}, expected scores [{rows}, classes]"
            )
        scores = value.reshape(rows, -1).astype(np.float64)
        if limits is None:
            return scores, np.zeros(rows, dtype=bool)
        reach = np.broadcast_to(limits.sound, value.shape).reshape(scores.shape)
        best = scores.argmax(axis=1)[:, None]
        others = np.arange(scores.shape[1]) != best
        least = np.take_along_axis(scores - reach, best, axis=1)
        return scores, np.all(~others | (scores + reach < least), axis=1)

    def _settled(self, traced: Trace, scores: Array, wanted: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which answers hold against the nearest rivals to first order."""
        order = np.argsort(-scores, axis=1, kind="stable")
        rows = np.arange(len(scores))
        shape = traced.values[self.output].shape
        self.rivals = min(RIVALS, scores.shape[1] - 1)
        holds = wanted.copy()
        for rank in range(1, self.rivals + 1):
            if not holds.any():
                break
            seed = np.zeros_like(scores)
            seed[rows, order[:, 0]], seed[rows, order[:, rank]] = 1.0, -1.0
            margin = scores[rows, order[:, 0]] - scores[rows, order[:, rank]]
            holds &= shift(self._reference, traced, self.output, seed.reshape(shape)) < margin
        return holds
