"""Two ONNX models that should mean the same: before and after an optimiser, two exporters, two operator sets.

Two questions, and both must be answered with yes:

- Is what runs right? Where the models share names of inner tensors, the backend runs the second model and every
  tensor is judged by the meaning of the first, so that a fault has a node. Where they share none, the one limit over
  the whole network would be worthless, so each model is judged on its own graph instead.
- Do they mean the same? Both are interpreted in float64 on the same samples, and their outputs compared by position,
  within what rounding to float32 explains (:mod:`toolchain.agree`).
"""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from toolchain.agree import Layer, OutputAgreement, OutputTally, Parting, largest, parted
from toolchain.data import Samples, batch_of, graph_inputs
from toolchain.errors import ShapeError, UnknownNameError
from toolchain.ops.operator import widen
from toolchain.reference import Reference
from toolchain.session import Session, SessionOptions
from toolchain.verify import Verification, verify
from toolchain.verify.observe import OnnxRuntimeBackend

Array = NDArray[Any]
Match = Literal["names", "outputs"]

MATCHES = ("auto", "names", "outputs")
UNOPTIMIZED = SessionOptions(optimization="off")
"""How the float32 error is measured: not by the backend on trial, whose faults would widen its own limit."""


@dataclass(frozen=True)
class Equivalence:
    """The verdict on two models.

    Attributes:
        model: name of the one that is meant.
        other: name of the one that is judged by it.
        matched: ``names`` if inner tensors were compared, ``outputs`` if only outputs were.
        verifications: of the second by the meaning of the first; or of each on its own.
        outputs: one for each output; empty where the verifications already fail.
        parting: where they part, as far as inner values tell; ``None`` where they agree or nothing tells.
    """

    model: str
    other: str
    matched: Match
    verifications: tuple[Verification, ...]
    outputs: tuple[OutputAgreement, ...]
    parting: Parting | None = None

    @property
    def ok(self) -> bool:
        """What runs is right, and both mean the same."""
        certified = all(verification.ok for verification in self.verifications)
        return certified and bool(self.outputs) and all(output.ok for output in self.outputs)

    def to_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        judged = [verification.to_dict() for verification in self.verifications]
        outputs = [{**asdict(output), "limit": output.limit, "ok": output.ok} for output in self.outputs]
        return {**asdict(self), "verifications": judged, "outputs": outputs, "ok": self.ok}


def equivalent(
    model: ir.Model,
    other: ir.Model,
    given: Samples,
    *,
    match: str = "auto",
    names: tuple[str, str] = ("the first model", "the second model"),
    **options: Any,
) -> Equivalence:
    """Judge a model by another one.

    Args:
        model: what is meant.
        other: judged; inputs and outputs by position unless names of inner tensors are shared.
        given: samples for the inputs of ``model``.
        match: ``names``, ``outputs``, or ``auto``: names where inner ones are shared and can be judged.
        names: how messages call the two.
        options: for :func:`toolchain.verify.verify`, of the backend.

    Raises:
        UnknownNameError: no such ``match``.
        ShapeError: the models have other numbers of inputs.
        ToolchainError: a model or the backend cannot be used.
    """
    if match not in MATCHES:
        raise UnknownNameError("match", match, MATCHES)
    ours, theirs = _input_names(model), _input_names(other)
    if len(ours) != len(theirs):
        raise ShapeError(f"{names[0]} has the inputs {list(ours)}, {names[1]} has {list(theirs)}; expected as many")
    feeds = given.feeds(0, len(given))
    renamed = {new: feeds[old] for old, new in zip(ours, theirs, strict=True)}
    with tempfile.TemporaryDirectory(prefix="onnx-edge-") as folder:
        mine, yours = Path(folder) / "a.npz", Path(folder) / "b.npz"
        write_npz(mine, feeds)
        write_npz(yours, renamed)
        if match == "names" or (match == "auto" and shared(model, other)):
            judged = (verify(model, other, data=str(mine), **options),)
            # That a limit cannot be computed over fused nodes is no evidence; it is sought at the outputs then.
            undecided = all(region.problem for region in judged[0].defects) and match == "auto"
            if judged[0].ok or not undecided:
                return _whole(model, other, given, renamed, "names", judged, names)
        each = (verify(model, data=str(mine), **options), verify(other, data=str(yours), **options))
    return _whole(model, other, given, renamed, "outputs", each, names)


def shared(model: ir.Model, other: ir.Model) -> bool:
    """Whether tensors can be matched by name: the same inputs and outputs, and at least one inner tensor."""
    if set(_input_names(model)) != set(_input_names(other)):
        return False
    if {value.name for value in model.graph.outputs} != {value.name for value in other.graph.outputs}:
        return False
    return bool(_inner(model) & _inner(other))


def _inner(model: ir.Model) -> set[str]:
    outputs = {value.name for value in model.graph.outputs}
    return {v.name for node in model.graph for v in node.outputs if v.name and v.name not in outputs}


def _input_names(model: ir.Model) -> tuple[str, ...]:
    return tuple(value.name or "" for value in graph_inputs(model))


def _whole(
    model: ir.Model,
    other: ir.Model,
    given: Samples,
    renamed: Mapping[str, Array],
    matched: Match,
    verifications: tuple[Verification, ...],
    names: tuple[str, str],
) -> Equivalence:
    """Add the outputs to verdicts, if those passed."""
    if not all(verification.ok for verification in verifications):
        return Equivalence(*names, matched, verifications, ())
    theirs = Samples(given.name, renamed, None)
    by_name = matched == "names"
    outputs = _outputs(model, other, given, theirs, by_name=by_name)
    parting = None if all(output.ok for output in outputs) else _parting(model, other, given, theirs)
    return Equivalence(*names, matched, verifications, outputs, parting)


def _outputs(
    model: ir.Model, other: ir.Model, mine: Samples, yours: Samples, *, by_name: bool
) -> tuple[OutputAgreement, ...]:
    """Both interpreted in float64; the float32 errors of both add up."""
    expected, rounded = _computed(model, mine)
    received, judged_rounded = _computed(other, yours)
    positions = {value.name: position for position, value in enumerate(model.graph.outputs)}
    made = []
    for position, value in enumerate(other.graph.outputs):
        tally = OutputTally(value)
        at = positions.get(value.name, -1) if by_name else position
        if len(model.graph.outputs) != len(other.graph.outputs) or at < 0:
            tally.fail(f"it is one of {len(other.graph.outputs)} outputs; expected {len(model.graph.outputs)}")
        else:
            error = largest(rounded[at], expected[at]) + largest(judged_rounded[position], received[position])
            tally.add(0, len(mine), expected[at], received[position], error)
        made.append(tally.verdict())
    return tuple(made)


def _computed(model: ir.Model, given: Samples) -> tuple[list[Array], list[Array]]:
    """Outputs of all samples, in float64 and as the unoptimised runtime rounds them."""
    reference, session = Reference(model), Session(model, UNOPTIMIZED)
    exact: list[list[Array]] = [[] for _ in reference.outputs]
    single: list[list[Array]] = [[] for _ in reference.outputs]
    size = batch_of(model)
    for _, feeds in given.batches(size or len(given), fixed=size is not None):
        meant, run = reference.run(feeds), session.run(feeds)
        for position, name in enumerate(reference.outputs):
            exact[position].append(meant[name])
            single[position].append(widen(run[name]))
    return [_joined(parts, len(given)) for parts in exact], [_joined(parts, len(given)) for parts in single]


def _joined(parts: list[Array], count: int) -> Array:
    """Batches behind each other, without what fills the last one; an output without samples stays one."""
    if len(parts) == 1:
        return parts[0]
    return np.concatenate([np.atleast_1d(part) for part in parts])[:count]


def _parting(model: ir.Model, other: ir.Model, mine: Samples, yours: Samples) -> Parting | None:
    """Look for the first model's tensors in the second, on the first batch."""
    reference, judged = Reference(model), Reference(other)
    count = max(batch_of(model) or 1, batch_of(other) or 1)
    feeds = next(mine.batches(batch_of(model) or count, fixed=True))[1]
    given = next(yours.batches(batch_of(other) or count, fixed=True))[1]
    made = [name for step in reference.steps for name in step.outputs if name]
    theirs = [name for step in judged.steps for name in step.outputs if name]
    exact = reference.run(feeds, keep=made)
    single = OnnxRuntimeBackend(model, UNOPTIMIZED).observe(feeds).tensors
    layers = [
        Layer(step.name, exact[name], widen(single[name]))
        for step in reference.steps
        for name in step.outputs
        if name and name in exact and name in single and exact[name].shape == single[name].shape
    ]
    return parted(layers, other, judged.run(given, keep=theirs))


def write_npz(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write arrays by name; unlike ``numpy.savez`` it takes every name, such as ``file``."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, np.ascontiguousarray(array), allow_pickle=False)
