"""Every ulp budget has a measurement behind it, and the measurement is of the budget that is in force."""

from __future__ import annotations

import importlib
import json
import pkgutil
from types import ModuleType

import pytest

from benchmarks import composed, ulps
from tests.house.generated_operators import ULP, bound_kinds
from toolchain import ops
from toolchain.ops import registry
from toolchain.ops.unary import Budget

COMPOSED = {
    "DynamicQuantizeLinear": "its scale is a difference over 255; the rest is a step at a tie",
    "Upsample": "nearest moves values; linear is a sum of weights, bounded as Resize is",
}
"""Bounded relatively, and not by a budget for one function."""
KEPT = json.loads(ulps.RESULTS.read_text(encoding="utf-8"))
OPERATORS = {".".join(filter(None, key)): operator for key, operator in registry().items()}
BUDGETED = sorted(name for name, operator in OPERATORS.items() if operator.budget)
NEVER_OFF = {
    "Mod": "the remainder of two floats is a float",
    "com.microsoft.QLinearSoftmax": "of 1,536,000 quotients none is rounded to the other side of a tie",
}
"""What used none of its budget."""


@pytest.mark.parametrize("name", BUDGETED)
def test_a_budget_is_measured_and_kept(name: str) -> None:
    kept = [case for case in KEPT["cases"] if case["operator"] == name]
    assert kept, f"{name} has the budget {OPERATORS[name].budget} and no measurement: python -m benchmarks.ulps"
    assert {case["budget"] for case in kept} == {OPERATORS[name].budget}, "measured for another budget"
    used = max(case["used"] for case in kept)
    assert used <= 1
    assert (used == 0) == (name in NEVER_OFF)


def _constants(module: ModuleType) -> set[str]:
    """Names of the budgets that a module states, beside those in its operators."""
    return {
        name
        for name, value in vars(module).items()
        if (name.lstrip("_").endswith("ULPS") and isinstance(value, int | float)) or isinstance(value, Budget)
    }


def test_no_file_of_an_operator_states_a_budget_that_is_not_measured() -> None:
    modules = [importlib.import_module(f"toolchain.ops.{info.name}") for info in pkgutil.iter_modules(ops.__path__)]
    stated = {module.__name__.rpartition(".")[2]: _constants(module) for module in modules}
    assert {name: constants for name, constants in stated.items() if constants} == {
        "lrn": {"POWER_ULPS"},
        "lppool": {"POWER_ULPS"},
        "softmax": {"EXP_ULPS", "LOG_ULPS"},
        "reductions": {"LOG_ULPS"},
        "qlinear": {"SIGMOID", "SOFTMAX_ULPS"},
    }
    inside = {case.operator for case in composed.cases()}
    assert inside == {
        "LRN", "LpPool", "GlobalLpPool", "Softmax", "LogSoftmax", "ReduceLogSum", "ReduceLogSumExp",
        "com.microsoft.QLinearSigmoid", "com.microsoft.QLinearSoftmax",
    }  # fmt: skip
    assert inside <= set(BUDGETED)


@pytest.mark.parametrize("case", list(composed.cases()), ids=str)
def test_the_runtime_here_stays_within_these_budgets(case: composed.Composed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(composed, "SCALES", 50)
    pytest.importorskip("onnxruntime")
    errors, at = case.measure(ulps.sweep(4_000_037))
    assert errors.size == at.size > 100
    assert (errors <= (1 if case.share else case.budget)).all()


def test_every_kept_case_is_still_a_case_and_the_other_way_round() -> None:
    assert [case["case"] for case in KEPT["cases"]] == [str(case) for case in (*ulps.CASES, *composed.cases())]
    assert KEPT["inputs"] > 1_000_000


def test_every_relative_bound_of_a_function_comes_from_a_budget() -> None:
    relative = {name for (domain, name), kind in bound_kinds().items() if kind == ULP and not domain}
    assert relative - set(BUDGETED) == set(COMPOSED)
    assert {"Add", "Exp", "Gelu", "Pow", "Tanh", "PRelu"} <= relative
