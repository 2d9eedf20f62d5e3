"""Budgets of a recipe against what was found: which is exceeded, and by how much."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from toolchain.recipe.schema import Recipe
from toolchain.report import FLOAT_MODEL, INT8_MODEL, Findings, Verdict

SLACK = 1e-9
"""Budgets are decimal fractions: what is equal to one in decimals must not fail by a binary rounding."""


@dataclass(frozen=True)
class Measure:
    """How a budget is read off.

    Attributes:
        what: in words.
        unit: of the budget and the value.
        value: ``None`` where it was not measured.
        at_least: the budget is a lower limit.
        digits: shown after the point.
    """

    what: str
    unit: str
    value: Callable[[Findings], float | None]
    at_least: bool
    digits: int = 2


def judge(recipe: Recipe, findings: Findings) -> tuple[Verdict, ...]:
    """A verdict for every budget of the recipe, in the order of the schema."""
    wanted = recipe.budgets.model_dump(exclude_none=True)
    return tuple(_verdict(name, float(limit), findings) for name, limit in wanted.items())


def _verdict(name: str, limit: float, findings: Findings) -> Verdict:
    measure = MEASURES[name]
    value = measure.value(findings)
    word = "at least" if measure.at_least else "at most"
    budget = f"budget {word} {_figure(limit, measure)}"
    if value is None:
        return Verdict("budget", name, "error", f"{measure.what} was not measured ({budget})")
    over = limit - value if measure.at_least else value - limit
    found = f"{measure.what} is {_figure(value, measure)}, {budget}"
    if over <= SLACK * max(1.0, abs(limit)):
        return Verdict("budget", name, "passed", found)
    side = "below" if measure.at_least else "over"
    return Verdict("budget", name, "failed", f"{found}: {_distance(over, measure)} {side}")


def _figure(value: float, measure: Measure) -> str:
    space = "" if measure.unit in ("", "%") else " "
    return f"{value:,.{measure.digits}f}{space}{measure.unit}"


def _distance(value: float, measure: Measure) -> str:
    """A difference of shares is in percentage points, not in percent."""
    figure = _figure(value, measure)
    return figure.removesuffix("%") + " percentage points" if measure.unit == "%" else figure


def _accuracy(findings: Findings) -> float | None:
    return None if findings.evaluation is None else 100.0 * findings.evaluation.top1


def _int8_accuracy(findings: Findings) -> float | None:
    return None if findings.quantization is None else 100.0 * findings.quantization.after.top1


def _drop(findings: Findings) -> float | None:
    return None if findings.quantization is None else findings.quantization.drop


def _agreement(findings: Findings) -> float | None:
    return None if findings.quantization is None else 100.0 * findings.quantization.agreement


def _size(name: str) -> Callable[[Findings], float | None]:
    def value(findings: Findings) -> float | None:
        return next((float(a.size) for a in findings.artifacts if a.name == name), None)

    return value


def _compression(findings: Findings) -> float | None:
    before, after = _size(FLOAT_MODEL)(findings), _size(INT8_MODEL)(findings)
    return None if before is None or after is None else before / after


def _latency(model: str) -> Callable[[Findings], float | None]:
    def value(findings: Findings) -> float | None:
        """The median of the smallest batch, microseconds."""
        measured = (
            [m for m in findings.benchmark.measurements if m.configuration.model == model] if findings.benchmark else []
        )
        first = min(measured, key=lambda m: m.configuration.batch, default=None)
        return None if first is None or not first.latency else 1e6 * first.latency[0].value

    return value


def _speedup(findings: Findings) -> float | None:
    before, after = _latency(FLOAT_MODEL)(findings), _latency(INT8_MODEL)(findings)
    return None if before is None or after is None else before / after


MEASURES: dict[str, Measure] = {
    "min_accuracy": Measure("top-1 of the float model", "%", _accuracy, at_least=True),
    "min_int8_accuracy": Measure("top-1 of the int8 model", "%", _int8_accuracy, at_least=True),
    "max_accuracy_drop": Measure("loss of top-1 to int8", "percentage points", _drop, at_least=False),
    "min_agreement": Measure("share of equal answers", "%", _agreement, at_least=True),
    "max_size": Measure("the float file", "bytes", _size(FLOAT_MODEL), at_least=False, digits=0),
    "max_int8_size": Measure("the int8 file", "bytes", _size(INT8_MODEL), at_least=False, digits=0),
    "min_compression": Measure("float size over int8 size", "", _compression, at_least=True),
    "max_latency_us": Measure("median latency of the float model", "µs", _latency(FLOAT_MODEL), at_least=False),
    "max_int8_latency_us": Measure("median latency of the int8 model", "µs", _latency(INT8_MODEL), at_least=False),
    "min_speedup": Measure("float latency over int8 latency", "", _speedup, at_least=True),
}
