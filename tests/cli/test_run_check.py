from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import onnx_ir as ir
import pytest

from tests.conftest import ROOT, RunCli
from tests.toolchain import digits
from toolchain.load import load

RECIPE = """\
model = "digits.onnx"
data = "mnist:test:40"
[verify]
data = "mnist:test:4"
[quantize]
calibrate = "mnist:train:32"
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    digits.write(tmp_path / "digits.onnx")
    path = tmp_path / "digits.toml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


def test_run_prints_a_line_a_stage_and_ends_with_the_report(run_cli: RunCli, recipe: Path, tmp_path: Path) -> None:
    done = run_cli("run", recipe, "-o", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[:2] for line in lines[:3]] == [["✓", "import"], ["✓", "verify"], ["✓", "quantize"]]
    assert lines[-1] == f"report: {tmp_path / 'out' / 'report.html'}"
    assert (tmp_path / "out" / "report.html").is_file()
    assert done.stderr == ""
    again = run_cli("run", recipe, "-o", tmp_path / "out")
    assert again.exit_code == 2
    assert "--force" in again.stderr
    assert len(again.stderr.splitlines()) == 1


def test_run_as_json_is_json_alone(run_cli: RunCli, recipe: Path, tmp_path: Path) -> None:
    done = run_cli("run", recipe, "-o", tmp_path / "out", "--json")
    facts = json.loads(done.stdout)
    assert (facts["version"], facts["verb"], facts["ok"]) == (1, "run", True)
    assert facts["report"] == str(tmp_path / "out" / "report.html")


def test_an_exceeded_budget_is_exit_1_and_a_junit_failure(run_cli: RunCli, recipe: Path, tmp_path: Path) -> None:
    recipe.write_text(RECIPE + "[budgets]\nmax_size = 1000\nmin_agreement = 10\n", encoding="utf-8")
    done = run_cli("check", recipe, "--junit", tmp_path / "j.xml")
    assert done.exit_code == 1
    assert "1 of 8 verdicts failed: max_size" in done.stdout
    assert "budget at most 1,000 bytes" in done.stdout
    suite = ElementTree.parse(tmp_path / "j.xml").getroot()[0]  # noqa: S314 - our own output
    failures = {case.get("name"): case.find("failure") for case in suite.findall("testcase")}
    assert [name for name, failure in failures.items() if failure is not None] == ["max_size"]
    refused = run_cli("check", recipe, "--junit", tmp_path / "j.xml")
    assert refused.exit_code == 2
    assert "--force" in refused.stderr


def test_check_of_a_good_recipe_is_exit_0(run_cli: RunCli, recipe: Path) -> None:
    done = run_cli("check", recipe)
    assert done.exit_code == 0, done.stdout
    assert done.stdout.splitlines()[-1] == "all 6 verdicts passed"


@pytest.mark.parametrize("verb", ["run", "check"])
def test_an_unknown_key_is_usage_with_the_nearest_match(run_cli: RunCli, tmp_path: Path, verb: str) -> None:
    path = tmp_path / "r.toml"
    path.write_text('netwrok = "lenet5"\n', encoding="utf-8")
    done = run_cli(verb, path, *(["-o", tmp_path / "out"] if verb == "run" else []))
    assert done.exit_code == 2
    assert done.stderr == f"onnx-edge: {path}: key 'netwrok' is not known; did you mean 'network'?\n"


@pytest.mark.parametrize("verb", ["run", "check"])
def test_missing_weights_are_exit_5(run_cli: RunCli, tmp_path: Path, verb: str) -> None:
    pytest.importorskip("torch", reason="exporting needs the extra `train`")
    path = tmp_path / "r.toml"
    path.write_text('network = "lenet5"\nweights = "no.safetensors"\n[verify]\nsynthetic = 1\n', encoding="utf-8")
    arguments = ["-o", tmp_path / "out"] if verb == "run" else ["--junit", tmp_path / "j.xml"]
    done = run_cli(verb, path, *arguments)
    assert done.exit_code == 5
    assert len(done.stderr.splitlines()) == 1
    assert "no.safetensors" in done.stderr
    assert not (tmp_path / "out").exists()
    if verb == "check":
        suite = ElementTree.parse(tmp_path / "j.xml").getroot()[0]  # noqa: S314 - our own output
        assert suite.get("errors") == "1"


def test_a_missing_recipe_and_a_missing_folder_are_exit_5(run_cli: RunCli, recipe: Path, tmp_path: Path) -> None:
    assert run_cli("run", tmp_path / "no.toml", "-o", tmp_path / "out").exit_code == 5
    done = run_cli("run", recipe, "-o", tmp_path / "no" / "out")
    assert done.exit_code == 5
    assert "does not exist" in done.stderr


def test_an_interrupted_run_leaves_nothing(recipe: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    process = subprocess.Popen(
        [sys.executable, "-m", "toolchain.cli.main", "run", str(recipe), "-o", str(tmp_path / "out")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    assert "import" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.strip() == "onnx-edge: interrupted; nothing half-written is left"
    assert sorted(tmp_path.iterdir()) == before


def test_bundle_lists_its_files(run_cli: RunCli, recipe: Path, tmp_path: Path) -> None:
    done = run_cli("bundle", tmp_path / "digits.onnx", "-o", tmp_path / "b", "--data", "mnist:test:4", "--json")
    assert done.exit_code == 0, done.stderr
    facts = json.loads(done.stdout)
    assert {file["name"] for file in facts["files"]} == {path.name for path in (tmp_path / "b").iterdir()}
    shown = run_cli("bundle", tmp_path / "digits.onnx", "-o", tmp_path / "b", "--force")
    assert shown.exit_code == 0
    assert "manifest.json" in shown.stdout


def changed(path: Path, target: Path) -> Path:
    """The same network with one weight of its first layer changed."""
    model = load(path)
    weight = model.graph.initializers["filters"]
    assert weight.const_value is not None
    values = weight.const_value.numpy().copy()
    values[0, 0, 0, 0] += 0.01
    weight.const_value = ir.tensor(values, name="filters")
    ir.save(model, target)
    return target


def test_verify_names_the_worst_node(run_cli: RunCli, recipe: Path, tmp_path: Path) -> None:
    model = tmp_path / "digits.onnx"
    good = run_cli("verify", model, "--data", "mnist:test:4")
    assert good.exit_code == 0, good.stdout
    assert "equivalent (ort-cpu, optimization all, 4 samples of mnist:test:4)" in good.stdout
    other = changed(model, tmp_path / "other.onnx")
    bad = run_cli("verify", model, other, "--data", "mnist:test:4")
    assert bad.exit_code == 1
    assert "not equivalent" in bad.stdout.splitlines()[-1]
    assert "conv" in bad.stdout.splitlines()[-1]
    facts = json.loads(run_cli("verify", model, other, "--data", "mnist:test:4", "--json").stdout)
    assert facts["ok"] is False
    assert facts["worst"].startswith("conv")


def test_verify_of_an_unknown_backend_or_level_offers_the_nearest(
    run_cli: RunCli, recipe: Path, tmp_path: Path
) -> None:
    model = tmp_path / "digits.onnx"
    done = run_cli("verify", model, "--synthetic", "1", "--backend", "ort-cup")
    assert done.exit_code == 2
    assert "did you mean 'ort-cpu'?" in done.stderr
    done = run_cli("verify", model, "--synthetic", "1", "--optimization", "extnded")
    assert done.exit_code == 2
    assert "did you mean 'extended'?" in done.stderr
    assert run_cli("verify", model).exit_code == 2
