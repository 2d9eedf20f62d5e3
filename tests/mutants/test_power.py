"""Planted faults are found and named, and what is published of them is what was measured."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("onnxruntime", reason="faults are planted into ONNX Runtime's graphs")
pytest.importorskip("torch", reason="the networks are PyTorch modules")

from benchmarks.power import summary, table
from benchmarks.power.__main__ import RESULTS
from benchmarks.power.effect import Baseline, as_backend, faulty
from benchmarks.power.faults import faults
from benchmarks.power.judging import Judge
from benchmarks.power.measure import measured
from benchmarks.power.networks import FORMS, LARGE, NAMES, PROBE, Subject, observed, subject
from benchmarks.power.plant import Record, _drawn, planted, unharmed, verified
from benchmarks.power.wrong import Edit, Place, Wrong, run
from toolchain.data import Samples
from toolchain.verify.cause import KINDS

SHARE = 0.1
"""Of the faults of the probe that every run plants."""


@pytest.fixture(scope="module", params=FORMS)
def probe(request: pytest.FixtureRequest) -> Subject:
    return subject(PROBE, request.param)


def of(made: Subject, operator: str) -> Baseline:
    region = next(r for r in made.regions if any(s.operator.name == operator for s in r.steps))
    return Baseline(Place(made, region))


def assert_reached(records: list[Record]) -> None:
    counts = summary.counted(records)
    whole = summary.total(counts)
    said = [table.wrong({"missed": summary.missed(records), "misnamed": summary.misnamed(records)})]
    assert whole.real > 0
    assert whole.flagged >= table.FLAGGED_GOAL, said
    assert whole.named >= table.NAMED_GOAL, said
    assert not summary.alarms(records)["flagged"]
    verified = summary.total(counts, route="whole model")
    assert verified.elsewhere <= table.ELSEWHERE_LIMIT * verified.real, [r for r in records if r.elsewhere]


def test_a_share_of_the_probes_faults_is_found_and_named(probe: Subject) -> None:
    records = list(planted(probe, seed=1, keep=SHARE))
    assert len(records) > 12
    assert {r.route for r in records} == {"model", "backend"}
    assert_reached(records)


@pytest.mark.slow
def test_the_faults_of_all_networks_are_found_and_named() -> None:
    assert_reached(measured(jobs=2))


@pytest.mark.parametrize("form", FORMS)
def test_a_whole_verification_flags_the_faulty_region_alone(form: str) -> None:
    made = subject(PROBE, form)
    pool = next(r for r in made.regions if any(s.operator.name == "AveragePool" for s in r.steps))
    records = list(verified(replace(made, regions=(pool,)), seed=0))
    # In int8 also a node behind QuantizeLinear, and a scale that QuantizeLinear alone has.
    assert {"pad", "stride", "channel order", "layout"} <= {r.kind for r in records}
    assert form == "float" or {"scale", "zero point"} <= {r.kind for r in records}
    assert all(r.flagged for r in records), [r for r in records if not r.flagged]
    assert not any(r.elsewhere for r in records), [r for r in records if r.elsewhere]


def test_the_correct_backend_is_not_flagged(probe: Subject) -> None:
    records = list(unharmed(probe))
    assert len(records) == len(probe.regions)
    assert summary.alarms(records) == {"regions": len(records), "flagged": []}


def test_the_correct_backend_is_no_change(probe: Subject) -> None:
    for region in probe.regions:
        baseline = Baseline(Place(probe, region))
        same = Wrong("pad", "nothing", region.steps)
        assert not baseline.real(faulty(baseline, same))
        assert np.array_equal(as_backend(baseline, faulty(baseline, same)), baseline.received, equal_nan=True)
        # Alone a region may run in another kernel, which rounds otherwise but no less rightly.
        assert Judge(baseline.place).judge(run(baseline.place, same)).status == "ok"


def test_a_change_is_real_from_four_times_the_measured_rounding_on() -> None:
    baseline = of(subject(PROBE, "float"), "Gemm")
    allowed = baseline.allowance
    assert (allowed > 0).all()
    for share, real in ((0.9, False), (1.1, True)):
        changed = baseline.exact.copy()
        changed[1, 3] += share * allowed[1, 3]
        assert baseline.real(changed) is real


def test_the_measure_lies_below_the_limits_of_the_verdict() -> None:
    baseline = of(subject(PROBE, "float"), "Gemm")
    changed = baseline.exact.copy()
    changed[1, 3] += 1.1 * baseline.allowance[1, 3]
    # Real by the measure, and yet a legal rounding of one element: the figures are no tautology.
    assert baseline.real(changed)
    assert Judge(baseline.place).judge(changed.astype(np.float32)).status == "ok"


def test_an_integer_next_to_a_tie_is_rounding_and_elsewhere_a_change() -> None:
    baseline = of(subject(PROBE, "int8"), "Conv")
    quotient = baseline.quotient
    assert quotient is not None
    far = np.unravel_index(int(np.abs(np.abs(quotient - np.floor(quotient)) - 0.5).argmax()), quotient.shape)
    changed = baseline.exact.copy()
    changed[far] += 1
    assert baseline.real(changed)
    baseline.__dict__["quotient"] = np.where(np.arange(quotient.size).reshape(quotient.shape) == 0, 0.0, quotient)
    first = (0,) * quotient.ndim
    baseline.values[baseline.place.region.tensor][first] = 7
    baseline.__dict__["quotient"][first] = 7.5
    tied = baseline.exact.copy()
    tied[first] = 8
    assert not baseline.real(tied)


def test_another_shape_is_always_real() -> None:
    baseline = of(subject(PROBE, "float"), "MaxPool")
    at = baseline.place.find("MaxPool")
    assert at is not None
    wrong = baseline.place.change("ceil_mode", "off", Edit(at, {"ceil_mode": 0}))
    assert baseline.real(faulty(baseline, wrong))
    assert run(baseline.place, wrong).shape == faulty(baseline, wrong).shape != baseline.exact.shape


def test_padding_of_a_map_that_is_zero_at_its_edge_is_equivalent() -> None:
    made = subject(PROBE, "float")
    dark = np.zeros_like(made.feeds["image"])
    region = made.regions[0]
    still = observed(PROBE, "float", made.model, Samples("dark", {"image": dark}, None))
    alone = replace(still, regions=(region,))
    records = list(planted(alone, seed=0, kinds=("pad",)))
    unchanged = [r for r in records if not r.real]
    assert unchanged, "zeros beside zeros"
    assert all(r.status == "ok" for r in unchanged)


@pytest.mark.parametrize("keep", [0.06, 0.2, 0.6, 1.0])
def test_faults_are_drawn_evenly(keep: float) -> None:
    drawn = [i for i in range(1000) if _drawn(i, keep, seed=3)]
    assert 0.9 * keep * 1000 <= len(drawn) <= 1.0 * keep * 1000 + 1
    assert max(np.diff(drawn)) <= 3 / keep


def test_every_kind_can_be_planted() -> None:
    kinds = {
        wrong.kind
        for form in FORMS
        for made in [subject(PROBE, form)]
        for region in made.regions
        for wrong in faults(Place(made, region), np.random.default_rng(0))
    }
    assert kinds == set(KINDS) - {"unknown"}


def published(name: str) -> dict[str, object]:
    found: dict[str, object] = json.loads((RESULTS / name).read_text(encoding="utf-8"))
    return found


def test_what_is_published_reaches_the_goals() -> None:
    facts = published("power.json")
    counts = table.counts_of(facts)
    assert table.reached(facts)
    assert {(c.network, c.form) for c in counts} == {(network, form) for network in NAMES for form in FORMS}
    assert {c.network for c in counts if c.route == "whole model"} == set(NAMES) - set(LARGE)
    assert {c.kind for c in counts} == set(KINDS) - {"unknown"}


def test_no_correct_graph_of_ten_thousand_was_called_a_defect() -> None:
    facts = published("alarms.json")
    assert facts["graphs"] + facts["overflowing"] + facts["refused"] >= 10_000  # type: ignore[operator]
    assert facts["graphs"] >= 10_000  # type: ignore[operator]
    assert facts["defects"] == 0
