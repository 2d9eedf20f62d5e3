"""What other people's CI runs: the GitHub Action's scripts, and the pre-commit hooks."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.conftest import ROOT, Result
from tests.toolchain import digits
from toolchain import hooks

yaml = pytest.importorskip("yaml", reason="comes with pre-commit")
pytest.importorskip("onnxruntime", reason="verify needs the extra `cpu`")

ACTION = yaml.safe_load((ROOT / ".github" / "actions" / "check" / "action.yml").read_text(encoding="utf-8"))
HOOKS = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
STEPS = {step["id"]: step for step in ACTION["runs"]["steps"] if "id" in step}
GUIDE = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
RECIPE = 'model = "digits.onnx"\ndata = "mnist:test:40"\n[verify]\ndata = "mnist:test:2"\n'

needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="the runner's shell")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Their repository, with a model, a recipe that passes, and one that fails."""
    digits.write(tmp_path / "digits.onnx")
    (tmp_path / "good.toml").write_text(RECIPE, encoding="utf-8")
    (tmp_path / "bad.toml").write_text(f"{RECIPE}[budgets]\nmax_size = 10\n", encoding="utf-8")
    return tmp_path


@dataclass(frozen=True)
class Step(Result):
    outputs: dict[str, str]
    summary: str


def program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


def step(folder: Path, name: str, **inputs: str) -> Step:
    """Run a step's script as the runner does: its shell, its variables, and inputs that are not given as defaults."""
    tools = folder / ".tools"
    tools.mkdir(exist_ok=True)
    if not (tools / "onnx-edge").exists():
        program(tools, "onnx-edge", f'#!/bin/sh\nexec "{sys.executable}" -P -m toolchain.cli.main "$@"\n')
    if not (tools / "python").exists():
        program(tools, "python", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (folder / ".output").write_text("", encoding="utf-8")
    (folder / ".summary").write_text("", encoding="utf-8")
    names = {match[1]: variable for variable, text in STEPS[name]["env"].items() if (match := EXPRESSION.match(text))}
    values = {names[key]: str(ACTION["inputs"][key]["default"]) for key in names}
    values |= {names[key.replace("_", "-")]: value for key, value in inputs.items()}
    script = folder / ".script.sh"
    script.write_text(STEPS[name]["run"], encoding="utf-8")
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)],
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=240,
        check=False,
        env={
            **os.environ,
            **values,
            "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "GITHUB_ACTION_PATH": str(ROOT / ".github" / "actions" / "check"),
            "GITHUB_OUTPUT": str(folder / ".output"),
            "GITHUB_STEP_SUMMARY": str(folder / ".summary"),
        },
    )
    lines = (folder / ".output").read_text(encoding="utf-8").splitlines()
    outputs = dict(line.split("=", 1) for line in lines)
    assert len(outputs) == len(lines)
    summary = (folder / ".summary").read_text(encoding="utf-8")
    return Step(done.returncode, done.stdout, done.stderr, outputs, summary)


EXPRESSION = re.compile(r"^\$\{\{ inputs\.([a-z-]+) \}\}$")


def test_the_action_is_well_formed() -> None:
    assert set(ACTION) == {"name", "description", "inputs", "outputs", "runs"}
    assert ACTION["runs"]["using"] == "composite"
    for described in ACTION["inputs"].values():
        assert set(described) == {"description", "default"}
        assert isinstance(described["default"], str)
    for value in (output["value"] for output in ACTION["outputs"].values()):
        match = re.fullmatch(r"\$\{\{ steps\.(\w+)\.outputs\.([a-z-]+) \}\}", value)
        assert match is not None
        assert f"{match[2]}=%s" in STEPS[match[1]]["run"]
    for used in ACTION["runs"]["steps"]:
        assert ("run" in used) == (used.get("shell") == "bash")


def test_no_input_is_pasted_into_a_script() -> None:
    taken = set()
    for used in ACTION["runs"]["steps"]:
        assert "${{" not in used.get("run", "")
        for text in {**used.get("env", {}), **used.get("with", {})}.values():
            match = EXPRESSION.match(text)
            assert match is not None, text
            taken.add(match[1])
    assert taken == set(ACTION["inputs"]), "every input is used"


@needs_bash
def test_the_package_is_installed_from_the_actions_own_checkout(folder: Path) -> None:
    (folder / ".tools").mkdir()
    program(folder / ".tools", "python", "#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    done = step(folder, "install")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"{ROOT}[cpu]"
    assert step(folder, "install", extras="cpu,train").stdout.splitlines()[-1] == f"{ROOT}[cpu,train]"
    for wrong in ("", "cpu]; touch pwned #", "$(touch pwned)", "cpu,", "--index-url=x"):
        refused = step(folder, "install", extras=wrong)
        assert refused.exit_code == 2
        assert refused.stdout == ""
    assert not (folder / "pwned").exists()


@needs_bash
def test_a_recipe_passes_or_fails_with_its_verdicts(folder: Path) -> None:
    good = step(folder, "judge", recipe="good.toml")
    assert good.exit_code == 0, good.stdout
    assert good.outputs == {"verdict": "passed", "exit-code": "0", "junit": "onnx-edge-junit.xml"}
    assert good.summary.startswith("### onnx-edge check: passed\n\n    ✓ import")
    suite = ElementTree.parse(folder / "onnx-edge-junit.xml").getroot()[0]  # noqa: S314 - our own output
    assert suite.get("failures") == "0"
    bad = step(folder, "judge", recipe="bad.toml", junit="out.xml")
    assert bad.exit_code == 1
    assert bad.outputs == {"verdict": "failed", "exit-code": "1", "junit": "out.xml"}
    assert "budget at most 10 bytes" in bad.stdout
    assert "budget at most 10 bytes" in bad.summary
    assert re.fullmatch(
        r"::error title=onnx-edge failed::1 of \d verdicts failed: max_size", bad.stdout.splitlines()[-1]
    )
    missing = step(folder, "judge", recipe="no.toml")
    assert missing.exit_code == 5
    assert missing.outputs == {"verdict": "error", "exit-code": "5", "junit": ""}, "an older file is not this run's"


@needs_bash
def test_models_are_judged_with_the_inputs_data(folder: Path) -> None:
    done = step(folder, "judge", model="digits.onnx")
    assert done.exit_code == 0, done.stdout
    assert done.outputs == {"verdict": "passed", "exit-code": "0", "junit": ""}
    assert "2 samples of synthetic:2" in done.stdout
    assert all(line.startswith("    ") for line in done.summary.splitlines()[2:] if line)
    done = step(folder, "judge", model="digits.onnx", other="digits.onnx", data="mnist:test:3", optimization="basic")
    assert "equivalent (ort-cpu, optimization basic, 3 samples of mnist:test:3)" in done.stdout
    assert step(folder, "judge", model="digits.onnx", backend="ort-cup").outputs["verdict"] == "error"


@needs_bash
def test_a_models_names_are_no_commands_to_the_runner(folder: Path) -> None:
    (folder / ".tools").mkdir()
    program(folder / ".tools", "onnx-edge", "#!/bin/sh\necho '::add-path::x'\nprintf '```\\n# 100%%\\n'\nexit 1\n")
    done = step(folder, "judge", model="m.onnx")
    lines = done.stdout.splitlines()
    token = re.fullmatch(r"::stop-commands::([0-9a-f]{32})", lines[0])
    assert token is not None
    assert lines[1:4] == ["::add-path::x", "```", "# 100%"]
    assert lines[4] == f"::{token[1]}::"
    assert lines[5] == "::error title=onnx-edge failed::# 100%25"
    assert done.summary == "### onnx-edge verify: failed\n\n    ::add-path::x\n    ```\n    # 100%\n\n"


HOSTILE = ("$(touch pwned)", '"; touch pwned; "', "`touch pwned`", "--help", "a b\tc", "x' ; touch pwned '")


@needs_bash
@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_inputs_are_words_and_nothing_more(folder: Path, value: str) -> None:
    (folder / ".tools").mkdir()
    program(folder / ".tools", "onnx-edge", "#!/bin/sh\nprintf '<%s>\\n' \"$@\"\n")
    done = step(folder, "judge", model=value, other=value, data=value, backend=value)
    assert done.exit_code == 0, done.stderr
    words = re.findall(r"<(.*)>", done.stdout)
    expected = ["verify", "--optimization=all", f"--backend={value}", f"--data={value}", "--", value, value]
    assert words == expected
    done = step(folder, "judge", recipe=value, junit="j.xml")
    assert re.findall(r"<(.*)>", done.stdout) == ["check", "--force", "--junit=j.xml", "--", value]
    assert not (folder / "pwned").exists()


@needs_bash
@pytest.mark.parametrize(
    ("inputs", "word"),
    [
        ({}, "either recipe or model"),
        ({"recipe": "a", "model": "b"}, "either recipe or model"),
        ({"recipe": "a", "data": "b"}, "belong to model"),
        ({"recipe": "a", "junit": "x\nverdict=passed"}, "control characters"),
    ],
)
def test_inputs_that_make_no_sense_are_an_error(folder: Path, inputs: dict[str, str], word: str) -> None:
    done = step(folder, "judge", **inputs)
    assert done.exit_code == 2
    assert word in done.stdout
    assert done.outputs == {"verdict": "error", "exit-code": "2", "junit": ""}


# --- pre-commit


def test_the_hooks_are_defined_as_pre_commit_reads_them() -> None:
    assert [hook["id"] for hook in HOOKS] == ["onnx-edge-verify", "onnx-edge-check"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for hook in HOOKS:
        command, verb = hook["entry"].split()
        assert project["scripts"][command] == "toolchain.hooks:main"
        assert verb in hooks.SUFFIXES
        assert re.search(hook["files"], f"deep/model{'.onnx' if verb == 'verify' else '.edge.toml'}")
        assert not re.search(hook["files"], "pyproject.toml")
    clientlib = pytest.importorskip("pre_commit.clientlib")
    assert len(clientlib.load_manifest(str(ROOT / ".pre-commit-hooks.yaml"))) == len(HOOKS)


@pytest.mark.parametrize(
    ("arguments", "options", "files"),
    [
        ([], [], []),
        (["a.onnx"], [], ["a.onnx"]),
        (["--synthetic", "2", "a.onnx", "b c.ONNX"], ["--synthetic", "2"], ["a.onnx", "b c.ONNX"]),
        (["--data", "x.npz"], ["--data", "x.npz"], []),
        (["--strict", "--", "model", "-x"], ["--strict"], ["model", "-x"]),
        (["a.onnx", "--strict"], ["a.onnx", "--strict"], []),
    ],
)
def test_options_and_files_are_told_apart(arguments: list[str], options: list[str], files: list[str]) -> None:
    assert hooks.split(arguments, ".onnx") == (options, files)


def hook(folder: Path, *arguments: str) -> Result:
    done = subprocess.run(
        [sys.executable, "-m", "toolchain.hooks", *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=240,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    return Result(done.returncode, done.stdout, done.stderr)


def test_every_file_is_judged_and_the_highest_code_is_returned(folder: Path) -> None:
    (folder / "broken.onnx").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    (folder / "models").mkdir()  # theirs, not ours
    (folder / "models" / "__init__.py").write_text("raise SystemExit('theirs')\n", encoding="utf-8")
    (entry,) = (h["entry"].split()[1:] + h["args"] for h in HOOKS if h["id"] == "onnx-edge-verify")
    done = hook(folder, *entry, "digits.onnx", "broken.onnx", "digits.onnx")
    assert done.exit_code == 5
    assert done.stdout.count("\nequivalent (") == 2, "what follows a broken file is judged too"
    assert done.stdout.startswith("digits.onnx:\n")
    assert "broken.onnx is no ONNX file" in done.stderr
    assert hook(folder, *entry, "digits.onnx").exit_code == 0


def test_recipes_are_judged(folder: Path) -> None:
    assert hook(folder, "check", "good.toml").exit_code == 0
    done = hook(folder, "check", "bad.toml", "good.toml")
    assert done.exit_code == 1
    assert "max_size" in done.stdout


@pytest.mark.parametrize("arguments", [[], ["verfy", "a.onnx"], ["verify"], ["verify", "--synthetic", "2"]])
def test_nothing_to_judge_is_no_success(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert hooks.main(arguments) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_runtime_that_dies_is_a_failure_and_an_interrupt_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def answer(command: list[str], **_: Any) -> subprocess.CompletedProcess[bytes]:
        seen.append(command[-1])
        if command[-1] == "stop.onnx":
            raise KeyboardInterrupt
        return subprocess.CompletedProcess(command, -11 if command[-1] == "dies.onnx" else 0)

    monkeypatch.setattr(subprocess, "run", answer)
    assert hooks.main(["verify", "dies.onnx", "good.onnx"]) == 139
    assert hooks.main(["verify", "good.onnx", "stop.onnx", "never.onnx"]) == 130
    assert seen == ["dies.onnx", "good.onnx", "good.onnx", "stop.onnx"]


# --- the document


def test_the_documents_blocks_use_what_exists() -> None:
    found = re.findall(r"^```yaml\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    assert len(found) == 5
    text = "\n".join(found)
    assert set(re.findall(r"- id: (onnx-edge-\S+)", text)) == {hook["id"] for hook in HOOKS}
    for block in found:
        parsed = yaml.safe_load(block)
        steps = parsed["jobs"]["models"]["steps"] if "jobs" in parsed else parsed
        for used in steps if isinstance(steps, list) else ():
            if "onnx-edge/.github/actions/check" in used.get("uses", ""):
                assert set(used["with"]) <= set(ACTION["inputs"])
    table = GUIDE[GUIDE.index("| input |") : GUIDE.index("The outputs are")]
    rows = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`([a-z-]+)`", row)} == set(ACTION["inputs"])
    sentence = GUIDE[GUIDE.index("The outputs are") : GUIDE.index("stands in the log")]
    assert set(ACTION["outputs"]) <= set(re.findall(r"`([a-z-]+)`", sentence))
