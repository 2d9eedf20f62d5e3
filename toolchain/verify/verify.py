"""The verb: run the backend, judge every region on its own inputs, sum up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from toolchain.compile.targets import TARGETS, target_of
from toolchain.constant_scales import with_scales_as_initializers
from toolchain.data import Samples, batch_of, graph_inputs, samples
from toolchain.errors import ToolchainError, UnknownNameError, UsageError
from toolchain.load import load
from toolchain.ops.operator import Spec
from toolchain.progress import Progress, silent
from toolchain.reference import Reference
from toolchain.session import OPTIMIZATION, SessionOptions
from toolchain.shapes import infer
from toolchain.unpack import unpacked
from toolchain.verify.arithmetic import FLOAT32, Arithmetic
from toolchain.verify.comparison import BATCH, Comparison
from toolchain.verify.compiled import CompiledBackend
from toolchain.verify.integers import IntegerJudge
from toolchain.verify.judge import ROUNDOFF
from toolchain.verify.observe import Observation, OnnxRuntimeBackend
from toolchain.verify.parting import parting
from toolchain.verify.probe import arithmetic_of, declared, probe
from toolchain.verify.regions import cut, uncovered
from toolchain.verify.verdict import EndToEnd, RegionVerdict, Verification
from toolchain.verify.winograd import bounded

Array = NDArray[Any]

DEVICES = {f"c-{name}": name for name, target in TARGETS.items() if target.emulator is not None}
"""Generated C for a target, in its emulator."""
COMPILED = ("c", "c-winograd", *DEVICES)
"""Generated C: for this machine, also with Winograd's algorithm, which has a bound of its own; and for devices."""
BACKENDS = {"ort-cpu": "cpu", "ort-cuda": "cuda", "ort-tensorrt": "tensorrt", **dict.fromkeys(COMPILED, "cpu")}


def verify(
    model: ir.Model | Path | str,
    other: ir.Model | Path | str | None = None,
    *,
    backend: str = "ort-cpu",
    data: str | Samples | None = None,
    synthetic: int | None = None,
    seed: int = 0,
    optimization: str = "all",
    threads: int | None = 1,
    provider_options: Mapping[str, str] | None = None,
    exact_int8: bool = False,
    end_to_end: bool = True,
    progress: Progress | None = None,
) -> Verification:
    """Judge a backend on a model, node by node.

    Args:
        model: what the nodes should mean.
        other: what the backend runs, if not ``model`` itself: the same network from elsewhere, matched by tensor names.
        backend: a key of :data:`BACKENDS`.
        data: samples, ``NAME:SPLIT[:COUNT]``, a folder of images or an ``.npz``; or such as are at hand.
        synthetic: this many random samples instead.
        seed: of the random samples.
        optimization: how far the runtime may optimise its graph: off, basic, extended or all.
        threads: threads inside an operator.
        provider_options: passed to the provider; ``use_tf32=0`` switches TF32 off on CUDA.
        exact_int8: have the runtime use kernels whose 16-bit sums cannot saturate (x86 without VNNI).
        end_to_end: also run the whole model in the interpreter and compare answers.
        progress: called as samples are done.

    Raises:
        ToolchainError: the model, the data or the backend cannot be used.
    """
    options = _options(backend, optimization, threads, provider_options or {}, exact_int8)
    meant = _loaded(model)
    reference = Reference(meant)
    given = data if isinstance(data, Samples) else samples(meant, data, synthetic=synthetic, seed=seed)
    asked = None if backend in COMPILED else probe(options)
    arithmetic = FLOAT32 if asked is None else arithmetic_of(asked)
    specs = infer(meant, _shapes(meant, given))
    run = meant if other is None else _same_inputs(meant, _loaded(other))
    try:
        started = _started(backend, run, options, specs, meant)
        found = _judge(reference, started, given, arithmetic, end_to_end, progress or silent)
    except ToolchainError as error:
        found = _stopped(reference, run, given, error)
    return Verification(
        model=str(model) if isinstance(model, Path | str) else (meant.graph.name or "model"),
        backend=f"{backend}, optimization {optimization}",
        data=given.name,
        samples=len(given),
        roundoff=max([arithmetic.roundoff, *(ROUNDOFF.get(spec.dtype, 0.0) for spec in specs.values())]),
        regions=found.regions,
        unobserved=uncovered(reference.steps, found.regions, reference.outputs),
        running=found.running,
        undisturbed=found.undisturbed,
        end_to_end=found.end_to_end,
        probe=asked,
    )


def _started(
    backend: str, run: ir.Model, options: SessionOptions, specs: Mapping[str, Spec], meant: ir.Model
) -> OnnxRuntimeBackend | CompiledBackend:
    """The backend, ready to be observed."""
    if backend in COMPILED:
        target = target_of(DEVICES[backend]) if backend in DEVICES else None
        return CompiledBackend(run, specs, winograd=backend == "c-winograd", target=target)
    return OnnxRuntimeBackend(run, options, specs=specs, shapes_of=meant)


def _shapes(model: ir.Model, given: Samples) -> dict[str, tuple[int, ...]]:
    """Of the inputs: free dimensions are those of the data, a free batch is 1."""
    size = batch_of(model) or 1
    return {name: (min(size, len(array)), *array.shape[1:]) for name, array in given.feeds(0, size).items()}


def _same_inputs(meant: ir.Model, other: ir.Model) -> ir.Model:
    """The other model, if it can be fed with what the first one takes."""
    wanted, received = ({value.name for value in graph_inputs(model)} for model in (meant, other))
    if wanted != received:
        raise UsageError(
            f"the models take different inputs: {sorted(map(str, wanted))} and {sorted(map(str, received))}; "
            "give two forms of one network, with the same names"
        )
    named = {value.name for value in other.graph.outputs}
    missing = sorted(value.name or "" for value in meant.graph.outputs if value.name not in named)
    if missing:
        raise UsageError(
            f"the other model has no output {missing[0]!r}; give two forms of one network, with the same names"
        )
    return other


def _stopped(reference: Reference, run: ir.Model, given: Samples, error: ToolchainError) -> Findings:
    """What is known of a backend that could not run: where the shapes of the two graphs part, else the error.

    Where the interpreter cannot run these samples either, its error is the one: it names node and shapes.
    """
    parted = None if run is reference.model else parting(reference, run, str(error))
    if parted is None:
        if isinstance(error, UsageError) and run is reference.model:
            reference.run(given.feeds(0, min(len(given), SEVERAL)))
        raise error
    return Findings((parted,), (), undisturbed=True, end_to_end=None)


SEVERAL = 2
"""Samples that show a model that takes one only."""


def _options(
    backend: str, optimization: str, threads: int | None, provider_options: Mapping[str, str], exact_int8: bool
) -> SessionOptions:
    """How the backend runs, once the names are known to be right."""
    if backend not in BACKENDS:
        raise UnknownNameError("backend", backend, BACKENDS)
    if optimization not in OPTIMIZATION:
        raise UnknownNameError("optimization level", optimization, OPTIMIZATION)
    return SessionOptions(
        provider=BACKENDS[backend],
        threads=threads,
        optimization=optimization,
        exact_int8=exact_int8,
        provider_options=tuple(provider_options.items()),
    )


def _loaded(model: ir.Model | Path | str) -> ir.Model:
    return with_scales_as_initializers(unpacked(load(model)) if isinstance(model, Path | str) else model)


def unit_roundoff(options: SessionOptions) -> float:
    """Of the arithmetic on float32 that a provider's options say; float32's where they leave it open."""
    return (declared(options) or FLOAT32).roundoff


@dataclass(frozen=True)
class Findings:
    """What one run over all samples found; fields as in :class:`Verification`."""

    regions: tuple[RegionVerdict, ...]
    running: tuple[str, ...]
    undisturbed: bool
    end_to_end: EndToEnd | None


def _judge(
    reference: Reference,
    backend: OnnxRuntimeBackend | CompiledBackend,
    given: Samples,
    arithmetic: Arithmetic,
    end_to_end: bool,
    progress: Progress,
) -> Findings:
    """All samples through all regions."""
    shown = {w.model for w in backend.watched} | {value.name or "" for value in reference.inputs}
    shown.update(reference.outputs)
    integers = IntegerJudge.of(reference.model, backend.kernels, arithmetic.roundoff, backend.specs, backend.model)
    fixed = batch_of(reference.model)
    if fixed and len(given) % fixed:
        raise UsageError(f"the model takes {fixed} samples at a time; {len(given)} cannot be split so; give a multiple")
    steps = bounded(reference.steps, backend.tiles) if isinstance(backend, CompiledBackend) else reference.steps
    regions = cut(steps, reference.constants, shown)
    comparisons = [Comparison(region, reference, backend, arithmetic, integers, fixed) for region in regions]
    undisturbed, agree, error, done = True, 0, 0.0, 0
    for count, feeds in given.batches(fixed or BATCH):
        observation = backend.observe(feeds)
        undisturbed &= observation.same
        tensors = {**feeds, **observation.tensors}
        if integers is not None:
            integers.observe(tensors)
        for comparison in comparisons:
            comparison.add(done, tensors)
        if end_to_end:
            top, worst = _answers(reference, reference.run(feeds), observation)
            agree, error = agree + top, max(error, worst)
        done += count
        progress(done, len(given), "samples judged")
    whole = EndToEnd(done, agree, error) if end_to_end else None
    return Findings(tuple(comparison.verdict() for comparison in comparisons), backend.nodes, undisturbed, whole)


def _answers(reference: Reference, whole: Mapping[str, Array], observation: Observation) -> tuple[int, float]:
    """Samples with the same top-1 answer, and the largest difference, over the first output."""
    name = reference.outputs[0]
    expected, received = whole[name], observation.tensors[name].astype(np.float64)
    if expected.shape != received.shape or not expected.ndim:
        return 0, float("inf")
    rows = (len(expected), -1)
    top = expected.reshape(rows).argmax(1) == received.reshape(rows).argmax(1)
    return int(top.sum()), float(np.abs(expected - received).max(initial=0.0))
