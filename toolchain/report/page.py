"""Findings as one HTML page that needs nothing but itself: no network, no script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from toolchain.benchmark import Measurement
from toolchain.report import charts, errors, pictures
from toolchain.report.findings import Findings, Verdict
from toolchain.verify import Verification

FLOAT_MODEL = "model.onnx"
INT8_MODEL = "model.int8.onnx"
SERIES = {FLOAT_MODEL: "float", INT8_MODEL: "int8"}
NOTICED = 3


@dataclass(frozen=True)
class Card:
    """A figure in large type."""

    what: str
    figure: str
    note: str


@dataclass(frozen=True)
class Table:
    """A table; ``numbers`` are the columns aligned to the right."""

    heads: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    numbers: tuple[int, ...] = ()


@dataclass(frozen=True)
class Judged:
    """A verification: its picture, a line about it, and its table."""

    title: str
    summary: str
    chart: Markup
    table: Table
    errors: tuple[errors.Shown, ...] = ()


@dataclass(frozen=True)
class Size:
    """A bar of the picture of sizes."""

    name: str
    kind: str
    percent: str
    value: str


@dataclass(frozen=True)
class Place:
    """Where the nodes of one model ran."""

    title: str
    table: Table


def render(findings: Findings) -> str:
    """The page.

    Names of nodes, tensors and labels come from models and are escaped.

    Args:
        findings: what it shows; what is ``None`` in it is left out.
    """
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    template = environment.from_string(_resource("page.html"))
    return template.render(v=_view(findings))


def _resource(name: str) -> str:
    return resources.files("toolchain.report").joinpath(name).read_text(encoding="utf-8")


def _view(findings: Findings) -> dict[str, Any]:
    """What the template asks for."""
    right, wrong = pictures.split(findings.gallery, findings.labels)
    evaluation = findings.evaluation
    return {
        "css": Markup(_resource("page.css")),  # noqa: S704 - our own file
        "name": findings.name,
        "title": findings.title or findings.name,
        "status": _status(findings),
        "outcome": _outcome(findings),
        "cards": _cards(findings),
        "verdicts": [_line(verdict) for verdict in findings.verdicts],
        "right": right,
        "wrong": wrong,
        "wrong_title": f"Went wrong ({len(wrong)} of those that did)" if wrong else "",
        "data": evaluation.data if evaluation else "",
        "matrices": _matrices(findings),
        "judged": _judged(findings),
        **_speed(findings),
        "sizes": _sizes(findings),
        "notes": notes(findings),
        "places": _places(findings),
        "network": _network(findings),
        "artifacts": _artifacts(findings),
        "environment": list(findings.environment.items()),
        "recipe": findings.recipe,
    }


def notes(findings: Findings) -> tuple[str, ...]:
    """What did not pay, said plainly."""
    said = list(findings.quantization.notes) if findings.quantization else []
    for m in findings.benchmark.measurements if findings.benchmark else ():
        if m.configuration.model == INT8_MODEL and m.ratio is not None and m.ratio.high < 1.0:
            said.append(
                f"int8 is slower than float at batch {m.configuration.batch}: {m.ratio.value:.2f} times its speed "
                f"({m.ratio.low:.2f} to {m.ratio.high:.2f})"
            )
    return tuple(said)


def _status(findings: Findings) -> str:
    if not findings.ok:
        return "failed"
    return "warned" if any(v.status == "warned" for v in findings.verdicts) else "passed"


def _outcome(findings: Findings) -> str:
    judged = [v for v in findings.verdicts if v.status != "skipped"]
    failed = [v for v in judged if not v.ok]
    warned = sum(v.status == "warned" for v in judged)
    if failed:
        named = ", ".join(f"{v.stage}: {v.name}" for v in failed[:NOTICED])
        return f"{len(failed)} of {len(judged)} verdicts failed: {named}{' …' if failed[NOTICED:] else ''}"
    if not judged:
        return "Nothing was judged"
    return f"All {len(judged)} verdicts passed" + (f", {warned} with something to know" if warned else "")


def _line(verdict: Verdict) -> dict[str, str]:
    seconds = f"{verdict.seconds:.1f}" if verdict.seconds else ""
    return {
        "stage": verdict.stage,
        "name": verdict.name,
        "status": verdict.status,
        "detail": verdict.detail,
        "seconds": seconds,
    }


def _cards(findings: Findings) -> list[Card]:
    """The figures that people look for first."""
    cards = []
    evaluation, quantization, exported = findings.evaluation, findings.quantization, findings.exported
    if evaluation is not None:
        cards.append(Card("Accuracy, float", _percent(evaluation.top1), _interval(evaluation.interval)))
    if quantization is not None:
        after = quantization.after
        cards += [
            Card("Accuracy, int8", _percent(after.top1), _interval(after.interval)),
            Card("Lost to int8", f"{quantization.drop:.2f} pp", f"{after.total:,} samples"),
            Card("Same answer", _percent(quantization.agreement), "float and int8"),
            Card("Size, int8", _bytes(quantization.size_after), f"float {_bytes(quantization.size_before)}"),
        ]
    elif exported is not None:
        cards.append(Card("Size", _bytes(exported.size), f"{exported.parameters:,} parameters"))
    for model, series in SERIES.items():
        found = _at_batch_1(findings, model)
        if found is not None and found.latency:
            middle = found.latency[0]
            cards.append(
                Card(
                    f"Latency, {series}", f"{_us(middle.value)} µs", f"median, {_us(middle.low)} to {_us(middle.high)}"
                )
            )
    verification = findings.verification
    if verification is not None and verification.worst is not None:
        cards.append(
            Card("Worst error, float", f"{verification.worst.sound_ratio:.2g}", "of what rounding can explain")
        )
    return cards


def _matrices(findings: Findings) -> list[pictures.Matrix]:
    found = [("Float model", findings.evaluation)]
    if findings.quantization is not None:
        found.append(("int8 model", findings.quantization.after))
    return [pictures.matrix(title, findings.labels, e.confusion) for title, e in found if e is not None]


def _judged(findings: Findings) -> list[Judged]:
    found = [
        ("Float model", "float", findings.verification),
        ("int8 model", "int8", findings.int8_verification),
    ]
    return [
        Judged(
            title,
            _summary(v),
            Markup(charts.layers(f"layers-{name}", v.regions)),  # noqa: S704 - charts escape
            _regions(v),
            errors.shown(name, v),
        )
        for title, name, v in found
        if v is not None and v.regions
    ]


def _summary(v: Verification) -> str:
    worst = f"; closest to its limit: {v.worst.describe()}" if v.worst is not None else ""
    whole = ""
    if v.end_to_end is not None:
        whole = f" From input to output, {v.end_to_end.agree} of {v.end_to_end.samples} answers are the same."
    doubts = f" Suspicious: {v.suspects[0].describe()}." if v.suspects else ""
    asked = f" Arithmetic: {v.probe.describe()}." if v.probe is not None and v.probe.describe() else ""
    found = v.deviations
    integers = f" Not the exact integers: {found.counts()} of {found.elements:,}." if found.elements else ""
    return f"{v.backend}, {v.samples} samples of {v.data}{worst}.{whole}{integers}{doubts}{asked}"


def _regions(v: Verification) -> Table:
    rows = tuple(
        (
            r.name,
            " + ".join(r.operators),
            f"{r.elements:,}",
            f"{r.max_error:.3g}",
            f"{r.sound_ratio:.3g}",
            f"{r.probable_ratio:.3g}",
            r.status,
            *(("" if r.deviations is None else r.deviations.counts(),) if v.deviations.elements else ()),
        )
        for r in v.regions
    )
    heads = ("Nodes", "Operators", "Elements", "Largest error", "of sound", "of probable", "Status")
    exact = ("Not the exact integer",) if v.deviations.elements else ()
    return Table((*heads, *exact), rows, (2, 3, 4, 5))


def _at_batch_1(findings: Findings, model: str) -> Measurement | None:
    measured = findings.benchmark.measurements if findings.benchmark else ()
    return next((m for m in measured if m.configuration.model == model and m.configuration.batch == 1), None)


def _speed(findings: Findings) -> dict[str, Any]:
    benchmark = findings.benchmark
    if benchmark is None:
        return {"timed": "", "latency": None, "speed": None, "throughput": None}
    latencies = {
        series: np.asarray(found.seconds)
        for model, series in SERIES.items()
        if (found := _at_batch_1(findings, model)) is not None and len(found.seconds) > 1
    }
    rates: dict[str, list[tuple[int, float]]] = {}
    for m in benchmark.measurements:
        if m.throughput is not None:
            series = SERIES.get(m.configuration.model, m.configuration.model)
            rates.setdefault(series, []).append((m.configuration.batch, m.throughput.value))
    several = len({batch for points in rates.values() for batch, _ in points}) > 1
    first = benchmark.measurements[0].configuration
    threads = "" if first.threads is None else f", {first.threads} thread{'s' if first.threads > 1 else ''}"
    return {
        "timed": f"onnxruntime on {first.provider}{threads}, {benchmark.environment.cpu}; both models in turns, after "
        "their answers were checked. Percentiles stand only where there are samples enough for them.",
        "latency": Markup(charts.latency("latency", latencies)) if latencies else None,  # noqa: S704
        "speed": _timings(benchmark.measurements),
        "throughput": Markup(charts.throughput("throughput", rates)) if several else None,  # noqa: S704
    }


def _timings(measurements: Sequence[Measurement]) -> Table:
    heads = ("Model", "Batch", "Calls", "p50 µs", "p90 µs", "p99 µs", "Samples/s", "Speed-up", "Memory")
    rows = []
    for m in measurements:
        known = {p.percent: _us(p.value) for p in m.latency}
        rows.append(
            (
                SERIES.get(m.configuration.model, m.configuration.model),
                m.configuration.batch,
                f"{m.samples:,}",
                *(known.get(percent, "–") for percent in (50.0, 90.0, 99.0)),
                f"{m.throughput.value:,.0f}" if m.throughput else "–",
                f"{m.ratio.value:.2f}" if m.ratio else "–",
                _bytes(m.memory.added) if m.memory else "–",
            )
        )
    return Table(heads, tuple(rows), tuple(range(1, len(heads))))


def _sizes(findings: Findings) -> list[Size]:
    found = [(a.name, SERIES.get(a.name, "other"), a.size) for a in findings.artifacts if a.name in SERIES]
    largest = max((size for _, _, size in found), default=1)
    return [Size(name, kind, f"{100 * size / largest:.1f}", _bytes(size)) for name, kind, size in found]


def _places(findings: Findings) -> list[Place]:
    found = []
    for model, series in SERIES.items():
        measured = _at_batch_1(findings, model)
        if measured is None:
            continue
        counted = ", ".join(f"{count} on {provider}" for provider, count in measured.nodes.items())
        rows = tuple((p.node, p.op_type, p.provider) for p in measured.places)
        found.append(Place(f"{series.capitalize()} model: {counted}", Table(("Node", "Operator", "Provider"), rows)))
    return found


def _network(findings: Findings) -> list[tuple[str, str]]:
    exported = findings.exported
    if exported is None:
        return []
    image = exported.input
    return [
        ("Network", exported.network),
        ("Parameters", f"{exported.parameters:,}"),
        ("Input", f"{image.color} {image.size[0]} × {image.size[1]}, named {image.name}"),
        ("Normalisation", f"mean {_numbers(image.mean)}, std {_numbers(image.std)}"),
        ("Nodes", str(exported.nodes)),
        ("Opset, IR version", f"{exported.opset}, {exported.ir_version}"),
        ("Weights, sha256", exported.weights_sha256 or "random (seeded), not trained"),
    ]


def _artifacts(findings: Findings) -> Table | None:
    rows = tuple((a.name, _bytes(a.size), a.sha256) for a in findings.artifacts)
    return Table(("File", "Size", "sha256"), rows, (1,)) if rows else None


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _percent(share: float) -> str:
    return f"{100 * share:.2f}%"


def _interval(interval: tuple[float, float]) -> str:
    return f"95%: {100 * interval[0]:.2f} to {100 * interval[1]:.2f}"


def _us(seconds: float) -> str:
    return f"{seconds * 1e6:,.1f}" if seconds < 1e-3 else f"{seconds * 1e6:,.0f}"


def _bytes(count: int) -> str:
    if abs(count) < 1000:
        return f"{count} B"
    for unit, scale in (("kB", 1e3), ("MB", 1e6)):
        if abs(count) < 1000 * scale:
            return f"{count / scale:,.1f} {unit}"
    return f"{count / 1e9:,.2f} GB"
