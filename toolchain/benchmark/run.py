"""Latency, throughput and memory of models under several configurations."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir

from toolchain import data as data_module
from toolchain.benchmark import answer, memory, placement, stats, timing
from toolchain.benchmark.environment import Environment, environment
from toolchain.benchmark.runner import ON_DEVICE, Configuration, Runner, session_options
from toolchain.data import Array, Samples
from toolchain.errors import UsageError
from toolchain.load import load
from toolchain.progress import Progress, silent
from toolchain.session import SessionOptions, serialized

SAMPLES = 1000
SECONDS = 10.0
# The reference interpreter is slow: it judges a few samples of the batch, not all.
CHECKED = 4


@dataclass(frozen=True)
class Measurement:
    """One configuration.

    Attributes:
        configuration: what was timed.
        io: where inputs and outputs lay.
        check: the answer, checked before.
        warm_up: calls before the first that counted.
        samples: timed calls.
        latency: seconds a call; only the percentiles that there are samples enough for.
        throughput: samples a second at the median, with its interval.
        ratio: speed against the first configuration of the same batch size, over pairs of calls; ``None`` for
            that one.
        memory: ``None`` where it was not measured.
        nodes: nodes of the running graph by provider.
        places: every node of the running graph and its provider.
        seconds: of every timed call; not in :meth:`to_dict`.
    """

    configuration: Configuration
    io: str
    check: answer.AnswerCheck
    warm_up: timing.WarmUp
    samples: int
    latency: tuple[stats.Percentile, ...]
    throughput: stats.Percentile | None
    ratio: stats.Percentile | None
    memory: memory.Memory | None
    nodes: dict[str, int]
    places: tuple[placement.NodePlace, ...]
    seconds: tuple[float, ...]

    def to_dict(self) -> dict[str, object]:
        """As JSON-able values; latency in seconds."""
        facts = asdict(self)
        del facts["seconds"]
        if self.memory is not None:
            facts["memory"]["added"] = self.memory.added
        return {"name": self.configuration.name, **facts}


@dataclass(frozen=True)
class Benchmark:
    """All configurations of one run, timed in turns.

    Attributes:
        environment: the machine.
        data: what was fed.
        spinning: whether waiting threads of the runtime burned their core.
        tf32: whether the CUDA provider was allowed to round to TF32.
        measurements: in the order of models, providers, threads, batches.
    """

    environment: Environment
    data: str
    spinning: bool
    tf32: bool
    measurements: tuple[Measurement, ...]

    def to_dict(self) -> dict[str, object]:
        """As JSON-able values."""
        return {
            "environment": asdict(self.environment),
            "data": self.data,
            "spinning": self.spinning,
            "tf32": self.tf32,
            "confidence": stats.CONFIDENCE,
            "measurements": [measurement.to_dict() for measurement in self.measurements],
        }


@dataclass(frozen=True)
class _Setup:
    """What all configurations of a run share; see :func:`benchmark`."""

    allow_fallback: bool
    spinning: bool
    tf32: bool
    with_memory: bool


@dataclass(frozen=True)
class _Ready:
    """A configuration that has answered right and is warm."""

    configuration: Configuration
    runner: Runner
    check: answer.AnswerCheck
    places: tuple[placement.NodePlace, ...]
    memory: memory.Memory | None
    warm_up: timing.WarmUp


def benchmark(
    models: Sequence[Path | str],
    *,
    providers: Sequence[str] = ("cpu",),
    threads: Sequence[int] = (1,),
    batches: Sequence[int] | None = None,
    data: str | None = None,
    synthetic: int | None = None,
    samples: int = SAMPLES,
    seconds: float = SECONDS,
    allow_fallback: bool = False,
    spinning: bool = False,
    tf32: bool = False,
    with_memory: bool = True,
    seed: int = 0,
    progress: Progress | None = None,
) -> Benchmark:
    """Check every configuration's answer, then time all of them in turns.

    Args:
        models: ONNX files; all are fed the same samples.
        providers: execution providers.
        threads: threads inside an operator; does not apply to GPUs.
        batches: samples a call; by default the model's own size, or 1 where it is free.
        data: what to feed; the first samples fill the batches.
        synthetic: feed that many random samples instead.
        samples: rounds wanted; p99 needs 662.
        seconds: time for each configuration at most.
        allow_fallback: nodes that a provider cannot run may go to the CPU.
        spinning: let waiting threads burn their core; in a run that interleaves, it burns the others' time.
        tf32: let the CUDA provider round float32 to TF32.
        with_memory: also measure peak memory, each in a process of its own.
        seed: of the order within rounds and of synthetic samples.
        progress: told how far the work is.

    Raises:
        MissingError: a provider is not installed, or (FallbackError) did not run every node.
        GateFailedError: a configuration answers wrong; nothing is timed then.
        UsageError: no samples, a batch size that a model does not take, the same file name twice.
    """
    tell = progress or silent
    facts = environment()
    files = [Path(model) for model in models]
    _check_request(files, providers, threads, batches, samples)
    setup = _Setup(allow_fallback, spinning, tf32, with_memory)
    ready: list[_Ready] = []
    fed = ""
    for path in files:
        model = load(path)
        chosen = data_module.samples(model, data, synthetic=synthetic, seed=seed)
        fed = chosen.name
        wanted = _configurations(path, model, providers, threads, batches)
        ready += _prepare_all(model, wanted, chosen, setup, tell)
    calls = {item.configuration.name: item.runner for item in ready}
    times = timing.interleave(calls, samples=samples, seconds=seconds * len(ready), seed=seed, progress=tell)
    return Benchmark(facts, fed, spinning, tf32, tuple(_measure(item, ready, times) for item in ready))


def _check_request(
    files: Sequence[Path],
    providers: Sequence[str],
    threads: Sequence[int],
    batches: Sequence[int] | None,
    samples: int,
) -> None:
    if not files or not providers or not threads:
        raise UsageError("nothing to time; give a model, a provider and a number of threads")
    if len({path.name for path in files}) != len(files):
        raise UsageError("two models have the same file name, the results would too; rename one")
    if min((*threads, *(batches or (1,)), samples)) < 1:
        raise UsageError("threads, batch sizes and samples are positive whole numbers")


def _configurations(
    path: Path,
    model: ir.Model,
    providers: Sequence[str],
    threads: Sequence[int],
    batches: Sequence[int] | None,
) -> list[Configuration]:
    fixed = data_module.batch_of(model)
    wanted = tuple(dict.fromkeys(batches or (fixed or 1,)))
    wrong = [batch for batch in wanted if fixed not in (None, batch)]
    if wrong:
        raise UsageError(
            f"{path}: batch {wrong[0]} was asked for, the model takes {fixed} only; export it with a dynamic "
            "batch, or leave --batch out"
        )
    found = []
    for provider in dict.fromkeys(providers):
        counts: Sequence[int | None] = (None,) if provider in ON_DEVICE else tuple(dict.fromkeys(threads))
        found += [Configuration(path.name, provider, t, b) for t, b in itertools.product(counts, wanted)]
    return found


def _prepare_all(
    model: ir.Model, wanted: Sequence[Configuration], samples: Samples, setup: _Setup, tell: Progress
) -> list[_Ready]:
    expected = {batch: _expected(model, samples, batch) for batch in {c.batch for c in wanted}}
    found = []
    for done, configuration in enumerate(wanted, start=1):
        found.append(_prepare(model, configuration, samples, expected[configuration.batch], setup))
        tell(done, len(wanted), f"check answers of {configuration.model}")
    return found


def _expected(model: ir.Model, samples: Samples, batch: int) -> answer.Expected:
    # The interpreter takes any batch; a fixed size must be kept.
    checked = batch if data_module.batch_of(model) is not None else min(batch, CHECKED)
    return answer.expect(model, {name: a[:checked] for name, a in _feeds(samples, batch).items()})


def _prepare(
    model: ir.Model,
    configuration: Configuration,
    samples: Samples,
    expected: answer.Expected,
    setup: _Setup,
) -> _Ready:
    """Place, check, measure memory, warm up."""
    batch = configuration.batch
    options = session_options(
        configuration, allow_fallback=setup.allow_fallback, spinning=setup.spinning, tf32=setup.tf32
    )
    feeds = _feeds(samples, batch)
    content = serialized(model)
    runner = Runner(content, options, feeds)
    places = placement.placement(content, options, feeds)
    placement.check_placement(places, configuration.provider, allow_fallback=setup.allow_fallback)
    # The reference judged the first samples of the batch; an output without a batch is taken whole.
    outputs = {
        name: array[: len(expected.outputs[name])] if array.shape[:1] == (batch,) else array
        for name, array in runner.answer().items()
    }
    on_cuda = setup.tf32 and configuration.provider in ON_DEVICE
    check = answer.check_answer(configuration.name, expected, outputs, tf32=on_cuda)
    used = _memory(content, options, feeds) if setup.with_memory else None
    return _Ready(configuration, runner, check, places, used, timing.warm_up(runner))


def _feeds(samples: Samples, batch: int) -> dict[str, Array]:
    """One batch; samples are repeated where there are fewer."""
    feeds = samples.feeds(0, min(batch, len(samples)))
    return {
        name: np.resize(array, (batch, *array.shape[1:])) if len(array) < batch else array
        for name, array in feeds.items()
    }


def _memory(content: bytes, options: SessionOptions, feeds: dict[str, Array]) -> memory.Memory | None:
    with tempfile.TemporaryDirectory() as folder:
        path, inputs = Path(folder) / "model.onnx", Path(folder) / "feeds.npz"
        path.write_bytes(content)
        with inputs.open("wb") as file:
            np.savez(file, **feeds)  # type: ignore[arg-type]
        return memory.peak_memory(path, options, inputs)


def _measure(item: _Ready, all_ready: Sequence[_Ready], times: dict[str, Array]) -> Measurement:
    configuration = item.configuration
    taken = times[configuration.name]
    enough = len(taken) >= stats.MIN_SAMPLES[50.0]
    base = next(r.configuration for r in all_ready if r.configuration.batch == configuration.batch)
    compared = enough and base != configuration
    ratio = timing.ratios(times, base.name, [configuration.name])[configuration.name]
    return Measurement(
        configuration=configuration,
        io=item.runner.io,
        check=item.check,
        warm_up=item.warm_up,
        samples=len(taken),
        latency=stats.percentiles(taken),
        throughput=stats.median(configuration.batch / taken) if enough else None,
        ratio=stats.median(ratio) if compared else None,
        memory=item.memory,
        nodes=placement.count(item.places),
        places=item.places,
        seconds=tuple(map(float, taken)),
    )
