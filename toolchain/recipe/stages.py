"""The stages of a recipe: each takes what was found so far, and hands on what it found more."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import onnx_ir as ir

from toolchain.benchmark import benchmark
from toolchain.bundle import bundle
from toolchain.data import Samples, batch_of, labels_of, samples
from toolchain.errors import FileError
from toolchain.evaluate import Evaluation, evaluate
from toolchain.files import write_bytes
from toolchain.load import load
from toolchain.progress import Progress
from toolchain.quantize import Scheme, quantize
from toolchain.recipe.schema import Recipe
from toolchain.report import FLOAT_MODEL, INT8_MODEL, Artifact, Findings, Gallery, Verdict, notes
from toolchain.session import serialized
from toolchain.verify import Verification, verify

BUNDLE = "bundle"
GOLDEN = 8
BATCHES = (1, 8, 32)
RIGHT_PER_CLASS = 1
SHOWN = 24
FED = 64
"""Samples that fill the benchmark's batches; repeated where a batch is larger."""


class Work:
    """What the stages share: the recipe, the folder they write to, and the test data, read once."""

    def __init__(self, recipe: Recipe, folder: Path, progress: Progress) -> None:
        self.recipe = recipe
        self.folder = folder
        self.progress = progress

    @property
    def float_model(self) -> Path:
        """The float model's file."""
        return self.folder / FLOAT_MODEL

    @property
    def int8_model(self) -> Path:
        """The int8 model's file."""
        return self.folder / INT8_MODEL

    @cached_property
    def model(self) -> ir.Model:
        """The float model, once it is there."""
        return load(self.float_model)

    @cached_property
    def test(self) -> Samples:
        """The samples that accuracy is measured on."""
        return samples(self.model, self.recipe.samples(self.recipe.data))

    def few(self, count: int) -> tuple[str | None, int | None]:
        """Up to ``count`` samples, as ``data`` and ``synthetic``; rounded to batches that the model takes."""
        size = batch_of(self.model) or 1
        rounded = max(size, count - count % size)
        spec = self.recipe.samples(self.recipe.data or self.recipe.verify.data)
        if spec is None:
            return None, rounded
        head, _, tail = spec.rpartition(":")
        plain = head if head and tail.isdigit() else spec
        return f"{plain}:{rounded}", None


Found = tuple[Findings, tuple[Verdict, ...]]


@dataclass(frozen=True)
class Stage:
    """One stage.

    Attributes:
        name: as people say it.
        wanted: whether the recipe asks for it.
        needs: names of stages without whose result there is nothing to work on.
        work: gives the findings with this stage's own, and its verdicts.
    """

    name: str
    wanted: Callable[[Recipe], bool]
    needs: tuple[str, ...]
    work: Callable[[Work, Findings], Found]


def _export(work: Work, findings: Findings) -> Found:
    """PyTorch to ONNX, or somebody's ONNX file as it is."""
    recipe = work.recipe
    if recipe.model_file is not None:
        loaded = load(recipe.model_file)
        write_bytes(work.float_model, serialized(loaded))
        detail = f"{recipe.model_file.name}: {loaded.graph.num_nodes()} nodes, opset {loaded.opset_imports.get('')}"
        return _written(work, findings, FLOAT_MODEL), (Verdict("import", "model is read", "passed", detail),)
    from toolchain.export import export

    options = recipe.export
    exported = export(
        recipe.network or "",
        weights=recipe.weights_file,
        seed=recipe.seed,
        output=work.float_model,
        batch=options.batch,
        opset=options.opset,
        shape=None if options.shape is None else (options.shape[0], options.shape[1], options.shape[2]),
        mean=options.mean,
        std=options.std,
        labels=_lines(recipe.labels_file),
        progress=work.progress,
    )
    agreement = exported.agreement
    detail = (
        f"{exported.parameters:,} parameters, {exported.nodes} nodes, opset {exported.opset}; differs from PyTorch "
        f"by {agreement.difference:.2g}, limit {agreement.limit:.2g}"
    )
    findings = replace(findings, exported=replace(exported, output=Path(FLOAT_MODEL)))
    return _written(work, findings, FLOAT_MODEL), (Verdict("export", "graph is PyTorch's", "passed", detail),)


def _verify(work: Work, findings: Findings) -> Found:
    """The float model, node by node."""
    found = _judged(work, work.float_model)
    return replace(findings, verification=found), (_equivalence("verify", found),)


def _verify_int8(work: Work, findings: Findings) -> Found:
    """The int8 model, node by node."""
    found = _judged(work, work.int8_model)
    return replace(findings, int8_verification=found), (_equivalence("verify int8", found),)


def _judged(work: Work, path: Path) -> Verification:
    options = work.recipe.verify
    found = verify(
        path,
        backend=options.backend,
        data=work.recipe.samples(options.data),
        synthetic=options.synthetic,
        optimization=options.optimization,
        progress=work.progress,
    )
    return replace(found, model=path.name)


def _equivalence(stage: str, found: Verification) -> Verdict:
    """A verification as one line."""
    name = "runtime equals the reference"
    if not found.ok:
        reason = "observing the runtime changed its outputs"
        if found.defects:
            reason = found.defects[0].describe()
        elif found.vacuous:
            reason = found.vacuous[0].describe()
        elif found.unobserved:
            reason = f"nodes that could not be judged: {', '.join(found.unobserved)}"
        return Verdict(stage, name, "failed", reason)
    worst = found.worst
    share = f"; the worst, {worst.name}, is at {worst.sound_ratio:.2g} of its sound limit" if worst else ""
    detail = f"{len(found.regions)} layers on {found.samples} samples, none beyond its limit{share}"
    if found.suspects:
        return Verdict(stage, name, "warned", f"{detail}; suspicious: {found.suspects[0].describe()}")
    return Verdict(stage, name, "passed", detail)


def _quantize(work: Work, findings: Findings) -> Found:
    """Float to int8, both answered for on the test data."""
    options = work.recipe.quantize
    if options is None:
        raise AssertionError("a recipe without [quantize] has no such stage")
    chosen = options.model_dump(exclude={"calibrate", "exclude"}, exclude_none=True)
    found = quantize(
        work.float_model,
        output=work.int8_model,
        calibrate=work.recipe.samples(options.calibrate) or "",
        data=None if work.recipe.data is None else work.test,
        scheme=Scheme(**chosen),
        exclude=options.exclude,
        # Judged by the budget, if there is one; the report shows it in any case.
        max_drop=100.0,
        keep=True,
        timed=False,
        progress=work.progress,
    )
    found = replace(found, output=Path(INT8_MODEL))
    detail = (
        f"{found.size_before:,} to {found.size_after:,} bytes, calibrated on {found.calibration_samples} samples; "
        f"{len(found.float_layers)} layers stay float"
    )
    findings = replace(findings, quantization=found)
    return _written(work, findings, INT8_MODEL), (Verdict("quantize", "int8 model is made", "passed", detail),)


def _evaluate(work: Work, findings: Findings) -> Found:
    """Answers on the test data; those of quantization, if it was done on the same."""
    quantization = findings.quantization
    found = quantization.before if quantization else evaluate(work.model, data=work.test, progress=work.progress)
    after = quantization.after if quantization else None
    details = [_answers("float", found)] + ([] if after is None else [_answers("int8", after)])
    gallery = _gallery(work.test, found, after)
    findings = replace(
        findings,
        evaluation=found,
        gallery=gallery,
        labels=labels_of(work.model) or tuple(map(str, range(len(found.confusion)))),
    )
    return findings, (Verdict("evaluate", "answers are counted", "passed", "; ".join(details)),)


def _answers(name: str, found: Evaluation) -> str:
    low, high = (100 * end for end in found.interval)
    return f"{name} top-1 {100 * found.top1:.2f}% ({low:.2f} to {high:.2f}) of {found.total:,}"


def _gallery(test: Samples, found: Evaluation, after: Evaluation | None) -> Gallery | None:
    """The first sample of each class that all answer right, then the first ones that went wrong."""
    if test.image is None or test.labels is None:
        return None
    answers = [found.answers] if after is None else [found.answers, after.answers]
    right = np.logical_and.reduce([given == test.labels for given in answers])
    firsts = [np.flatnonzero(right & (test.labels == label))[:RIGHT_PER_CLASS] for label in np.unique(test.labels)]
    chosen = np.concatenate([*firsts[:SHOWN], np.flatnonzero(~right)[:SHOWN]])
    return Gallery(
        pictures=test.arrays[test.image.name][chosen],
        labels=test.labels[chosen],
        answers=found.answers[chosen],
        int8_answers=None if after is None else after.answers[chosen],
        indices=chosen.astype(np.int64),
    )


def _benchmark(work: Work, findings: Findings) -> Found:
    """Both models in one interleaved run."""
    options = work.recipe.benchmark
    if options is None:
        raise AssertionError("a recipe without [benchmark] has no such stage")
    models = [work.float_model] + ([work.int8_model] if findings.quantization else [])
    data, synthetic = work.few(FED)
    found = benchmark(
        models,
        providers=(options.provider,),
        threads=(options.threads,),
        batches=options.batches or (BATCHES if batch_of(work.model) is None else None),
        data=data,
        synthetic=synthetic,
        samples=options.samples,
        seconds=options.seconds,
        with_memory=options.memory,
        progress=work.progress,
    )
    medians = [
        f"{'int8' if m.configuration.model == INT8_MODEL else 'float'} {1e6 * m.latency[0].value:,.1f} µs"
        for m in found.measurements
        if m.latency and m.configuration.batch == found.measurements[0].configuration.batch
    ]
    findings = replace(findings, benchmark=found)
    first = found.measurements[0].configuration
    detail = f"median at batch {first.batch}: {', '.join(medians) or 'too few calls'}"
    said = [note for note in notes(findings) if "slower" in note]
    if said:
        detail += f"; {said[0]}"
    return findings, (Verdict("benchmark", "answers checked, then timed", "passed", detail),)


def _bundle(work: Work, findings: Findings) -> Found:
    """What a device needs, of the int8 model if there is one."""
    model = work.int8_model if findings.quantization else work.float_model
    data, synthetic = work.few(GOLDEN)
    found = bundle(model, output=work.folder / BUNDLE, data=data, synthetic=synthetic)
    for file in found.files:
        findings = _written(work, findings, f"{BUNDLE}/{file.name}")
    detail = f"{len(found.files)} files, {found.size:,} bytes, {found.golden} samples with expected outputs"
    return findings, (Verdict("bundle", "device folder is whole", "passed", detail),)


def _written(work: Work, findings: Findings, name: str) -> Findings:
    content = (work.folder / name).read_bytes()
    artifact = Artifact(name, len(content), hashlib.sha256(content).hexdigest())
    return replace(findings, artifacts=(*findings.artifacts, artifact))


def _lines(path: Path | None) -> list[str] | None:
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"cannot read the labels {path}: {error}; give a text file with one name a line") from error


def _always(recipe: Recipe) -> bool:
    del recipe
    return True


STAGES = (
    Stage("export", _always, (), _export),
    Stage("verify", _always, ("export",), _verify),
    Stage("quantize", lambda recipe: recipe.quantize is not None, ("export",), _quantize),
    Stage("verify int8", lambda recipe: recipe.quantize is not None, ("quantize",), _verify_int8),
    Stage("evaluate", lambda recipe: recipe.data is not None, ("export",), _evaluate),
    Stage("benchmark", lambda recipe: recipe.benchmark is not None, ("export",), _benchmark),
    Stage("bundle", _always, ("export",), _bundle),
)
