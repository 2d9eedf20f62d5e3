"""Every ulp budget has a measurement behind it, and the measurement is of the budget that is in force."""

from __future__ import annotations

import json

import pytest

from benchmarks import ulps
from tests.house.generated_operators import ULP, bound_kinds
from toolchain.ops import registry

COMPOSED = {
    "DynamicQuantizeLinear": "its scale is a difference over 255; the rest is a step at a tie",
    "Upsample": "nearest moves values; linear is a sum of weights, bounded as Resize is",
}
"""Bounded relatively, and not by a budget for one function."""
KEPT = json.loads(ulps.RESULTS.read_text(encoding="utf-8"))
BUDGETED = sorted(name for (domain, name), operator in registry().items() if operator.budget and not domain)


@pytest.mark.parametrize("name", BUDGETED)
def test_a_budget_is_measured_and_kept(name: str) -> None:
    kept = [case for case in KEPT["cases"] if case["operator"] == name]
    assert kept, f"{name} has the budget {registry()['', name].budget} and no measurement: python -m benchmarks.ulps"
    assert {case["budget"] for case in kept} == {registry()["", name].budget}, "measured for another budget"
    assert 0 < max(case["used"] for case in kept) <= 1 or name == "Mod"


def test_every_kept_case_is_still_a_case_and_the_other_way_round() -> None:
    assert [case["case"] for case in KEPT["cases"]] == [str(case) for case in ulps.CASES]
    assert KEPT["inputs"] > 1_000_000


def test_every_relative_bound_of_a_function_comes_from_a_budget() -> None:
    relative = {name for (domain, name), kind in bound_kinds().items() if kind == ULP and not domain}
    assert relative - set(BUDGETED) == set(COMPOSED)
    assert {"Add", "Exp", "Gelu", "Pow", "Tanh", "PRelu"} <= relative
