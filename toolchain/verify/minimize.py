"""The smallest model and input that still show a finding.

The region's nodes are cut out as a model of their own, fed with what the backend had before them. Then samples,
channels and pixels are left out, half of them at a time, then one at a time (A. Zeller, R. Hildebrandt, Simplifying
and isolating failure-inducing input, IEEE TSE 28, 2002); after every step the backend runs again, and what no longer
shows the finding is put back.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from toolchain.data import Samples, batch_of, samples
from toolchain.equivalence import write_npz
from toolchain.errors import ToolchainError, UsageError
from toolchain.files import replacing_folder
from toolchain.jsonable import jsonable
from toolchain.load import load
from toolchain.progress import Progress, silent
from toolchain.reference import Reference
from toolchain.session import SessionOptions
from toolchain.shapes import infer
from toolchain.verify.cutting import Piece, Slices, cut_out, dimensions
from toolchain.verify.observe import OnnxRuntimeBackend
from toolchain.verify.options import MARK, Options
from toolchain.verify.regions import Region, cut
from toolchain.verify.verdict import RegionVerdict, Verification
from toolchain.verify.verify import BACKENDS, verify

Array = NDArray[Any]

MODEL, OTHER, DATA = "model.onnx", "other.onnx", "data.npz"
TRIES = 400
"""Runs of the backend at most."""


@dataclass(frozen=True)
class Minimal:
    """What was written.

    Attributes:
        folder: holds ``model.onnx``, ``data.npz``, ``finding.json`` and, for two models, ``other.onnx``.
        command: shows the finding again.
        finding: the verdict on what is left.
        cut: the region alone shows it; else the whole model was needed, and ``reason`` says so.
        reason: why less was not enough, or empty.
        runs: of the backend.
        before: numbers in the data of one sample and the constants of what was cut out; nodes count one each.
        after: the same at the end.
    """

    folder: Path
    command: str
    finding: RegionVerdict
    cut: bool
    reason: str
    runs: int
    before: int
    after: int

    def describe(self) -> str:
        """Two lines: what is left, and the command."""
        left = f"{self.folder}: {self.after:,} of {self.before:,} numbers left after {self.runs} runs"
        return f"{left}{'; ' + self.reason if self.reason else ''}\n{self.command}"


def minimize(
    found: Verification,
    model: ir.Model | Path | str,
    other: ir.Model | Path | str | None,
    folder: Path,
    *,
    data: str | Samples | None = None,
    synthetic: int | None = None,
    seed: int = 0,
    options: Options | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Minimal:
    """Write the smallest model and input that still show the first finding of a verification.

    Args:
        found: with a defect or a suspicion.
        model: what was meant; as given to :func:`toolchain.verify.verify`.
        other: what the backend ran, if another model.
        folder: to write.
        data: as given to ``verify``.
        synthetic: as given to ``verify``.
        seed: as given to ``verify``.
        options: how the backend ran.
        force: replace an earlier output.
        progress: called as runs are done.

    Raises:
        UsageError: there is no finding, or it does not show again.
        ToolchainError: the folder cannot be written.
    """
    finding = next(iter((*found.defects, *found.suspects)), None)
    if finding is None:
        raise UsageError("there is no finding to minimize: every region is within its limits")
    meant = load(model) if isinstance(model, Path | str) else model
    run = load(other) if isinstance(other, Path | str) else other
    given = data if isinstance(data, Samples) else samples(meant, data, synthetic=synthetic, seed=seed)
    hunt = _Hunt(options or Options(), finding, progress or silent)
    whole, feeds = _whole(meant, run, given, finding, hunt)
    with replacing_folder(folder, force=force, mark=MARK) as temporary:
        pieces, reason = _region(meant, run, feeds, finding, hunt)
        cut_alone = pieces is not None
        start = pieces or whole
        if start is None:
            raise UsageError(f"the finding does not show again on sample {_sample(finding)} alone; nothing was written")
        smallest = hunt.reduce(start)
        return _written(temporary, folder, start, smallest, hunt, cut_alone=cut_alone, reason=reason)


Pair = tuple[Piece, "Piece | None"]


class _Hunt:
    """Runs the backend on candidates and keeps what still shows the finding."""

    def __init__(self, options: Options, finding: RegionVerdict, progress: Progress) -> None:
        self.options = options
        self.runs = 0
        self._suspect = finding.status == "suspect"
        self._shape = "shape" in finding.problem
        self._progress = progress

    def judge(self, model: ir.Model, other: ir.Model | None, given: Samples) -> RegionVerdict | None:
        """The first finding of the same gravity; ``None`` if there is none, or if it cannot be judged."""
        self.runs += 1
        self._progress(min(self.runs, TRIES), TRIES, "runs to minimize")
        o = self.options
        try:
            found = verify(
                model,
                other,
                backend=o.backend,
                data=given,
                optimization=o.optimization,
                threads=o.threads,
                provider_options=dict(o.provider_options),
                exact_int8=o.exact_int8,
                end_to_end=False,
            )
        except ToolchainError:
            return None
        regions = found.defects or (found.suspects if self._suspect else ())
        # Where something cannot be judged, too much was left out; but a wrong shape is what may be sought.
        return next((r for r in regions if not r.problem or (self._shape and "shape" in r.problem)), None)

    def shows(self, pair: Pair) -> RegionVerdict | None:
        """The same for two pieces with the same data."""
        model, other = pair
        if not model.feeds:
            return None
        given = Samples("minimal", dict(model.feeds), None)
        return self.judge(model.model(), None if other is None else other.model(), given)

    def reduce(self, pair: Pair) -> Pair:
        """Leave out what can be left out, until nothing can."""
        pair, again = self._fewer_nodes(pair), True
        while again and self.runs < TRIES:
            again = False
            for name in [name for name, _, _ in dimensions(pair[0])]:
                size = next((size for other, _, size in dimensions(pair[0]) if other == name), 1)
                shorter = self._shorter(pair, name, size)
                if shorter is not None:
                    pair, again = shorter, True
        return pair

    def _shorter(self, pair: Pair, name: str, size: int) -> Pair | None:
        """One dimension with as few indices as still show the finding; ``None`` where it needs all."""
        kept, best, chunks = list(range(size)), None, 2
        while len(kept) > 1 and self.runs < TRIES:
            for indices in _candidates(kept, chunks):
                smaller = _sliced(pair, name, indices)
                if smaller is not None and self.shows(smaller) is not None:
                    kept, best, chunks = indices, smaller, 2
                    break
            else:
                if chunks >= len(kept) or chunks >= 16:
                    break
                chunks = min(2 * chunks, len(kept))
        return best

    def _fewer_nodes(self, pair: Pair) -> Pair:
        """The same without leading or trailing nodes, where the pieces still show it."""
        model, other = pair
        if other is None and len(model.nodes) < 2:
            return pair
        inner = _inner_values(model)
        for node in model.nodes:
            name = node.output[0]
            if name not in inner or name == model.output[0]:
                continue
            kind = onnx.helper.np_dtype_to_tensor_dtype(inner[name].dtype)
            for feeds, output in (({name: inner[name]}, model.output), (model.feeds, (name, kind, inner[name].ndim))):
                made = (_again(model, feeds, output), None if other is None else _again(other, feeds, output))
                if made[0] is None or (other is not None and made[1] is None):
                    continue
                smaller = (made[0], made[1])
                if smaller[0].size < model.size and self.shows(smaller) is not None:
                    return self._fewer_nodes(smaller)
        return pair


def _again(piece: Piece, feeds: Mapping[str, Array], output: tuple[str, int, int]) -> Piece | None:
    """A part of a piece."""
    return cut_out(piece.model(), feeds, *output)


def _inner_values(piece: Piece) -> dict[str, Array]:
    """Tensors between the nodes, in the types that a runtime gives them."""
    reference = Reference(piece.model())
    names = [name for step in reference.steps for name in step.outputs if name]
    values = reference.run(piece.feeds, keep=names)
    return {n: v.astype(np.float32) if v.dtype == np.float64 else v for n, v in values.items()}


def _candidates(kept: list[int], chunks: int) -> Iterator[list[int]]:
    """Each of so many parts alone, then everything but each."""
    parts = [list(part) for part in np.array_split(np.asarray(kept), chunks) if len(part)]
    for part in parts:
        yield [int(i) for i in part]
    if chunks > 2:
        for position in range(len(parts)):
            yield [int(i) for rest in parts[:position] + parts[position + 1 :] for i in rest]


def _sliced(pair: Pair, name: str, indices: list[int]) -> Pair | None:
    """Both pieces with some indices of one dimension."""
    made: list[Piece | None] = []
    for piece in pair:
        if piece is None:
            made.append(None)
            continue
        axes = next((slices for other, slices, _ in dimensions(piece) if other == name), None)
        if axes is None:
            return None
        made.append(Slices({n: (axis, tuple(indices)) for n, (axis, _) in axes.kept.items()}).of(piece))
    if made[0] is None:
        return None
    return made[0], made[1]


def _sample(finding: RegionVerdict) -> int:
    return finding.worst.sample if finding.worst is not None else 0


def _whole(
    meant: ir.Model, run: ir.Model | None, given: Samples, finding: RegionVerdict, hunt: _Hunt
) -> tuple[Pair | None, dict[str, Array]]:
    """The whole models with one sample (or one batch, where the model takes no less), if that shows the finding."""
    size = batch_of(meant) or 1
    start = _sample(finding) // size * size
    if finding.worst is not None and batch_of(meant) is None:
        start = _position(finding)
    feeds = given.feeds(start, start + size)
    output = meant.graph.outputs[0]
    kind = onnx.TensorProto.FLOAT if output.dtype is None else int(output.dtype)
    rank = 0 if output.shape is None else len(output.shape)
    whole = cut_out(meant, feeds, str(output.name), kind, rank)
    theirs = None if run is None else cut_out(run, feeds, str(output.name), kind, rank)
    if whole is None or set(whole.feeds) != set(feeds) or (run is not None and theirs is None):
        return None, feeds
    pair: Pair = (whole, theirs)
    return (pair if hunt.shows(pair) is not None else None), feeds


def _position(finding: RegionVerdict) -> int:
    """Of the worst sample in the data: its batch's first one, and its place there."""
    worst = finding.worst
    if worst is None:
        return 0
    return worst.sample + (worst.index[0] if len(worst.index) > 1 else 0)


def _region(
    meant: ir.Model, run: ir.Model | None, feeds: Mapping[str, Array], finding: RegionVerdict, hunt: _Hunt
) -> tuple[Pair | None, str]:
    """The region's nodes alone, or with as few nodes before them as show the finding; and why not fewer."""
    shapes = {name: array.shape for name, array in feeds.items()}
    try:
        backend = OnnxRuntimeBackend(run or meant, _session(hunt.options), specs=infer(meant, shapes), shapes_of=meant)
        seen = {**feeds, **backend.observe(feeds).tensors}
    except ToolchainError as error:
        return None, f"the backend shows no tensors: {error}"
    reference = Reference(meant)
    regions = {r.tensor: r for r in cut(reference.steps, reference.constants, seen.keys() | set(reference.outputs))}
    if finding.tensor not in regions or finding.tensor not in seen:
        return None, f"{finding.tensor!r} is not observed on one sample alone"
    kind = onnx.helper.np_dtype_to_tensor_dtype(seen[finding.tensor].dtype)
    rank, inputs = seen[finding.tensor].ndim, set(regions[finding.tensor].inputs)
    for depth in range(len(regions)):
        given = {name: seen[name] for name in inputs}
        mine = cut_out(meant, given, finding.tensor, kind, rank)
        yours = None if run is None else cut_out(run, given, finding.tensor, kind, rank)
        if mine is not None and (run is None or (yours is not None and set(yours.feeds) == set(mine.feeds))):
            pair: Pair = (replace(mine, feeds={n: mine.feeds[n] for n in sorted(mine.feeds)}), yours)
            if hunt.shows(pair) is not None:
                reason = "" if not depth else f"the region alone does not show it; {depth} regions before it are kept"
                return pair, reason
        before = _before(inputs, regions)
        if before == inputs:
            break
        inputs = before
    return None, "no part of the model shows it; the whole model is kept, with one sample"


def _session(options: Options) -> SessionOptions:
    return SessionOptions(
        provider=BACKENDS[options.backend],
        threads=options.threads,
        optimization=options.optimization,
        exact_int8=options.exact_int8,
        provider_options=options.provider_options,
    )


def _before(inputs: set[str], regions: Mapping[str, Region]) -> set[str]:
    """What the regions before some tensors read."""
    made: set[str] = set()
    for name in inputs:
        made |= set(regions[name].inputs) if name in regions else {name}
    return made


def _written(
    temporary: Path, folder: Path, start: Pair, smallest: Pair, hunt: _Hunt, *, cut_alone: bool, reason: str
) -> Minimal:
    """Write the files, and judge them as they are."""
    model, other = smallest
    onnx.save(model.proto(), temporary / MODEL)
    if other is not None:
        onnx.save(other.proto(), temporary / OTHER)
    write_npz(temporary / DATA, model.feeds)
    loaded = [load(temporary / name) for name in (MODEL, *((OTHER,) if other is not None else ()))]
    given = samples(loaded[0], str(temporary / DATA))
    finding = hunt.judge(loaded[0], loaded[1] if other is not None else None, given)
    if finding is None:
        raise UsageError("what was cut out no longer shows the finding once it is written; nothing was written")
    paths = [str(folder / MODEL), *([str(folder / OTHER)] if other is not None else [])]
    words = ["onnx-edge", "verify", *paths, "--data", str(folder / DATA), *hunt.options.words()]
    made = Minimal(
        folder=folder,
        command=shlex.join(words),
        finding=finding,
        cut=cut_alone,
        reason=reason,
        runs=hunt.runs,
        before=start[0].size,
        after=model.size,
    )
    facts = {"command": made.command, "reason": reason, "runs": made.runs, "finding": asdict(finding)}
    (temporary / MARK).write_text(json.dumps(jsonable(facts), indent=2) + "\n", encoding="utf-8")
    return made
