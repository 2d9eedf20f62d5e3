from __future__ import annotations

import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from models.inputs import ImageInput
from toolchain.benchmark import Benchmark, Measurement, stats
from toolchain.benchmark.answer import AnswerCheck
from toolchain.benchmark.environment import Environment
from toolchain.benchmark.memory import Memory
from toolchain.benchmark.placement import NodePlace
from toolchain.benchmark.runner import Configuration
from toolchain.benchmark.timing import WarmUp
from toolchain.evaluate import judge
from toolchain.exported import Agreement, Exported
from toolchain.quantize import FloatLayer, Quantization, Scheme
from toolchain.report import Artifact, Findings, Gallery, Verdict, charts, notes, render
from toolchain.verify.verdict import EndToEnd, RegionVerdict, Verification, Worst

HOSTILE = "<img src=http://evil.example/x onerror=\"alert('1')\">]]></svg></style>$x^2$\x1b[31m{{ 7*7 }}"
VOID = {"meta", "img", "path", "use", "link", "br", "rect", "line", "circle"}


def region(name: str, sound: float, probable: float, problem: str = "") -> RegionVerdict:
    worst = Worst(0, (0, 1), 1.0, 1.5, 1e-6, 1e-7)
    return RegionVerdict(HOSTILE, (name, "relu"), ("Conv", "Relu"), 1234, sound, probable, 1e-7, 12, worst, problem)


def verification(*regions: RegionVerdict) -> Verification:
    return Verification("m", "ort-cpu", HOSTILE, 16, 2**-24, regions, (), ("Conv",), True, EndToEnd(16, 16, 1e-6))


def measurement(model: str, batch: int, ratio: float | None) -> Measurement:
    taken = np.linspace(1e-5, 3e-5, 800)
    return Measurement(
        configuration=Configuration(model, "cpu", 1, batch),
        io="host",
        check=AnswerCheck("reference", 0.0, 1.0),
        warm_up=WarmUp(40, True),
        samples=len(taken),
        latency=stats.percentiles(taken),
        throughput=stats.median(batch / taken),
        ratio=None if ratio is None else stats.Percentile(50.0, ratio, ratio - 0.01, ratio + 0.01),
        memory=Memory(10_000_000, 12_500_000),
        nodes={"cpu": 1},
        places=(NodePlace(HOSTILE, "Conv", "cpu"),),
        seconds=tuple(map(float, taken)),
    )


@pytest.fixture
def findings() -> Findings:
    labels = (HOSTILE, "1", "2")
    right = np.array([0, 1, 2, 2])
    scores = np.eye(3)[[0, 1, 2, 1]]
    before = judge(scores, right, model="m", data=HOSTILE, backend="b", names=labels)
    after = judge(np.eye(3)[[0, 1, 1, 1]], right, model="m", data="d", backend="b", names=labels)
    picture = ImageInput("image", "gray", (8, 8), (8, 8), None, (0.5,), (0.5,))
    answered = Gallery(
        np.zeros((4, 1, 8, 8), dtype=np.uint8), right, before.answers, after.answers, np.arange(4, dtype=np.int64)
    )
    return Findings(
        name="n",
        title=HOSTILE,
        recipe=HOSTILE,
        verdicts=(Verdict("verify", HOSTILE, "passed", HOSTILE, 1.0), Verdict("budget", "b", "passed", "d")),
        labels=labels,
        exported=Exported(
            HOSTILE, Path("model.onnx"), 1000, "a" * 64, 10, 3, 20, 10, picture, "dynamic", 3, None,
            Agreement(3, 0.0, 1e-7, 4e-7), 3, "conv", 0.1,
        ),
        verification=verification(region(HOSTILE, 0.2, 0.4), region("exact", 0.0, 0.0)),
        quantization=Quantization(
            "m", Path("model.int8.onnx"), Scheme(), "c", 8, before, after, 0.75, 1000, 400, None,
            (FloatLayer(HOSTILE, "Softmax", HOSTILE),), 0.1, (HOSTILE,),
            ir.Model(ir.Graph([], [], nodes=[]), ir_version=10),
        ),
        int8_verification=verification(region("conv", 0.3, 1.4), region("bad", math.inf, math.inf)),
        evaluation=before,
        benchmark=Benchmark(
            Environment(HOSTILE, 2, None, 0.5, "Linux", "3.11", ()), HOSTILE, False, False,
            (
                measurement("model.onnx", 1, None), measurement("model.onnx", 8, None),
                measurement("model.int8.onnx", 1, 0.5), measurement("model.int8.onnx", 8, 2.0),
            ),
        ),
        gallery=answered,
        artifacts=(Artifact("model.onnx", 1000, "a" * 64), Artifact("model.int8.onnx", 400, "b" * 64)),
        environment={"Processor": HOSTILE},
    )  # fmt: skip


class Page(HTMLParser):
    """What a browser would see: tags, attributes, text; raises where tags do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open, self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def test_the_page_needs_nothing_but_itself(findings: Findings) -> None:
    text = render(findings)
    page = Page(text)
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "link", "iframe", "object", "embed", "base", "form", "foreignobject"}
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")], tag
        for name in ("src", "href", "xlink:href", "srcset", "action", "poster", "background"):
            value = attributes.get(name)
            assert value is None or value.startswith("data:image/png;base64,") or value[1:] in ids, (tag, value)
        for value in attributes.values():
            assert all(target in ids for target in re.findall(r"url\(#([^)]*)\)", value))
            assert not re.search(r"url\((?!#)", value)
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert style is not None
    assert "url(" not in style[1]
    assert "@import" not in style[1]
    assert text.count("<style>") == 1


def test_names_of_models_are_text(findings: Findings) -> None:
    text = render(findings)
    page = Page(text)
    assert "evil.example" not in "".join(str(attributes) for tag, attributes in page.tags if tag != "img")
    assert not [a for tag, a in page.tags if tag == "img" and not a["src"].startswith("data:")]
    assert page.words.count("<img src=http://evil.example/x") > 10
    assert "{{ 7*7 }}" in page.words, "a name is no template"
    assert "\x1b" not in "".join(re.findall(r"<svg.*?</svg>", text, re.DOTALL))


def test_the_same_findings_give_the_same_bytes(findings: Findings) -> None:
    assert render(findings) == render(findings)


def test_the_page_says_what_was_found(findings: Findings) -> None:
    words = Page(render(findings)).words
    assert "All 2 verdicts passed" in words
    assert "75.00%" in words  # float
    assert "50.00%" in words  # int8
    assert "25.00 pp" in words
    assert "int8 is slower than float at batch 1: 0.50 times its speed" in words
    assert "faster" not in words
    assert "a" * 64 in words


def test_a_failed_verdict_is_the_headline(findings: Findings) -> None:
    failed = replace(findings, verdicts=(*findings.verdicts, Verdict("budget", "max_size", "failed", "too large")))
    page = Page(render(failed))
    assert "1 of 3 verdicts failed: budget: max_size" in page.words
    assert ("header", {"class": "failed"}) in page.tags
    warned = replace(findings, verdicts=(Verdict("verify", "v", "warned", "d"),))
    assert ("header", {"class": "warned"}) in Page(render(warned)).tags
    assert ("header", {"class": "passed"}) in Page(render(findings)).tags


def test_nothing_found_is_no_success() -> None:
    empty = Findings("n", "", "")
    assert not empty.ok
    page = Page(render(empty))
    assert ("header", {"class": "failed"}) in page.tags
    assert "Nothing was judged" in page.words


def test_pictures_show_every_wrong_answer_of_either_model(findings: Findings) -> None:
    page = Page(render(findings))
    shown = [attributes["class"] for tag, attributes in page.tags if tag == "li" and "class" in attributes]
    assert shown == ["good", "good", "wrong", "wrong"]


def test_many_classes_show_pairs_and_no_table(findings: Findings) -> None:
    many = 30
    evaluation = judge(np.eye(many)[np.r_[1, 1, 2:many]], np.arange(many), model="m", data="d", backend="b", names=None)
    page = Page(
        render(
            replace(findings, evaluation=evaluation, quantization=None, gallery=None, labels=evaluation_labels(many))
        )
    )
    assert "class 0 taken for class 1 (1)" in page.words
    assert not [1 for tag, attributes in page.tags if attributes.get("class") == "confusion"]


def evaluation_labels(count: int) -> tuple[str, ...]:
    return tuple(f"class {index}" for index in range(count))


def test_layers_beyond_their_limit_are_drawn_in_the_colour_of_failure() -> None:
    good = charts.layers("a", [region("conv", 0.5, 0.9)])
    bad = charts.layers("a", [region("conv", 2.0, 3.0)])
    assert good.count("fill: var(--bad)") == 0
    assert bad.count("fill: var(--bad)") == 2
    assert "exact" in charts.layers("a", [region("pool", 0.0, 0.0)])
    assert "fill: var(--bad)" in charts.layers("a", [region("broken", math.inf, math.inf)])


def test_what_was_not_compared_is_not_called_exact() -> None:
    svg = charts.layers("a", [region("conv", 0.0, 0.0, "its shape differs")])
    assert "exact" not in svg
    assert "not compared" in svg


def test_charts_of_deep_networks_stay_readable() -> None:
    svg = charts.layers("a", [region(f"conv{i}", i / 1000, 0.1) for i in range(100)])
    assert "conv99 + relu" in svg
    assert "conv5 + relu" not in svg


def test_results_hold_every_stage(findings: Findings) -> None:
    facts = findings.to_dict()
    for stage in ("export", "verify", "quantize", "verify_int8", "evaluate", "benchmark"):
        assert facts[stage] is not None
    assert facts["ok"] is True


def test_notes_do_not_call_noise_a_loss(findings: Findings) -> None:
    assert findings.benchmark is not None
    unclear = replace(findings.benchmark.measurements[2], ratio=stats.Percentile(50.0, 0.99, 0.95, 1.02))
    measured = replace(findings.benchmark, measurements=(unclear,))
    assert notes(replace(findings, benchmark=measured, quantization=None)) == ()
