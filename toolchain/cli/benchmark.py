"""``onnx-edge benchmark``."""

from __future__ import annotations

from pathlib import Path

import rich_click as click
from rich.console import Group, RenderableType

from toolchain.benchmark import Benchmark, Measurement, benchmark
from toolchain.benchmark.stats import MIN_SAMPLES, Percentile
from toolchain.cli.common import MODEL, data_option, emit, json_option, progress_bar, synthetic_option, table


class _Numbers(click.ParamType[tuple[int, ...]]):
    """Positive whole numbers, separated by commas."""

    name = "N,N,..."

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """Parse ``1,8,32``."""
        if isinstance(value, tuple):
            return value
        parts = str(value).split(",")
        if not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
            self.fail(f"{value!r} is no list of positive whole numbers such as 1,8,32", param, ctx)
        return tuple(map(int, parts))


@click.command
@click.argument("models", type=MODEL, nargs=-1, required=True)
@click.option(
    "--provider",
    default="cpu",
    show_default=True,
    metavar="NAME,NAME,...",
    help="Execution providers of ONNX Runtime: cpu, cuda, tensorrt, ...",
)
@click.option("--threads", type=_Numbers(), default="1", show_default=True, help="Threads inside an operator.")
@click.option("--batch", type=_Numbers(), help="Samples a call; by default the model's own, or 1.")
@data_option()
@synthetic_option
@click.option("--samples", type=click.IntRange(min=1), default=1000, show_default=True, help="Calls to time, each.")
@click.option("--seconds", type=click.FloatRange(min=0.1), default=10.0, show_default=True, help="At most, each.")
@click.option("--allow-fallback", is_flag=True, help="Accept nodes that another provider ran.")
@click.option("--spinning", is_flag=True, help="Let waiting threads burn their core.")
@click.option("--tf32", is_flag=True, help="Let CUDA round float32 to TF32.")
@click.option("--no-memory", is_flag=True, help="Leave peak memory out.")
@click.option("--nodes", is_flag=True, help="Also print the provider of every node.")
@json_option
def command(
    models: tuple[Path, ...],
    provider: str,
    threads: tuple[int, ...],
    batch: tuple[int, ...] | None,
    data: str | None,
    synthetic: int | None,
    samples: int,
    seconds: float,
    allow_fallback: bool,
    spinning: bool,
    tf32: bool,
    no_memory: bool,
    nodes: bool,
    as_json: bool,
) -> None:
    """Latency, throughput and memory, after checking the answers.

    All combinations of models, providers, threads and batch sizes are timed in turns, within one run.
    """
    with progress_bar() as progress:
        result = benchmark(
            models,
            providers=tuple(name.strip() for name in provider.split(",")),
            threads=threads,
            batches=batch,
            data=data,
            synthetic=synthetic,
            samples=samples,
            seconds=seconds,
            allow_fallback=allow_fallback,
            spinning=spinning,
            tf32=tf32,
            with_memory=not no_memory,
            progress=progress,
        )
    emit("benchmark", result, as_json, lambda found: render(found, nodes))


def render(found: Benchmark, nodes: bool) -> RenderableType:
    """For people."""
    machine = found.environment
    packages = ", ".join(f"{name} {version}" for name, version in machine.packages)
    title = (
        f"{machine.cpu}, {machine.cores} cores, load {machine.load}, governor {machine.governor or 'unknown'}; "
        f"{packages}; fed {found.data}; spinning {'on' if found.spinning else 'off'}"
    )
    shown = [p for p in MIN_SAMPLES if any(p in _by_percent(m) for m in found.measurements)]
    columns = [f"p{p:g} us" for p in shown]
    right = (*columns, "calls", "samples/s", "MB")
    made = table("configuration", "calls", *columns, "samples/s", "speed", "MB", "nodes", right=right)
    for m in found.measurements:
        latency = _by_percent(m)
        made.add_row(
            m.configuration.name,
            str(m.samples),
            *(_interval(latency.get(p), 1e6) for p in shown),
            "-" if m.throughput is None else f"{m.throughput.value:,.0f}",
            "1x" if m.ratio is None else f"{m.ratio.value:.2f}x [{m.ratio.low:.2f}, {m.ratio.high:.2f}]",
            "-" if m.memory is None else f"{m.memory.added / 1e6:.1f}",
            ", ".join(f"{count} {name}" for name, count in m.nodes.items()),
        )
    judge = found.measurements[0].check.judge
    notes = [
        f"answers checked first against: {judge}; intervals at 95%; MB: resident memory added by the session; "
        "speed: against the first configuration of the same batch size"
    ]
    unsettled = [m.configuration.name for m in found.measurements if not m.warm_up.stable]
    if unsettled:
        notes.append(f"note: not settled when the warm-up ended: {'; '.join(unsettled)}")
    if not nodes:
        return Group(title, made, *notes)
    where = table("configuration", "node", "operator", "provider")
    for m in found.measurements:
        for place in m.places:
            where.add_row(m.configuration.name, place.node, place.op_type, place.provider)
    return Group(title, made, *notes, "", where)


def _by_percent(measurement: Measurement) -> dict[float, Percentile]:
    return {p.percent: p for p in measurement.latency}


def _interval(value: Percentile | None, factor: float) -> str:
    if value is None:
        return "-"
    return f"{value.value * factor:.1f} [{value.low * factor:.1f}, {value.high * factor:.1f}]"
