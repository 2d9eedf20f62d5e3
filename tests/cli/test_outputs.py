"""Outputs through the command line: refused, written whole or not at all, and nothing left behind by Ctrl-C."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Refused, contents
from tests.cli.test_main import ENVIRONMENT
from toolchain.cli.main import main

WRITERS = {
    "export": ("export", "lenet5", "-o", "{}"),
    "train": ("train", "lenet5", "--data", "mnist:train:64", "--epochs", "1", "-o", "{}"),
    "quantize": ("quantize", "digits.onnx", "--calibrate", "mnist:train:8", "-o", "{}"),
    "bundle": ("bundle", "digits.onnx", "--synthetic", "2", "-o", "{}"),
    "run": ("run", "recipe.toml", "-o", "{}"),
    "check": ("check", "recipe.toml", "--junit", "{}"),
}
RECIPE = 'model = "digits.onnx"\n[verify]\nsynthetic = 2\n'


def writing(verb: str, folder: Path, target: str) -> list[str]:
    if verb in ("export", "train"):
        pytest.importorskip("torch", reason="PyTorch comes with the extra `train`")
    (folder / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    return [part.format(target) for part in WRITERS[verb]]


@pytest.mark.parametrize("verb", WRITERS)
def test_an_output_that_exists_is_exit_2(refused: Refused, here: Path, verb: str) -> None:
    (here / "there.safetensors").write_bytes(b"precious")
    outcome = refused(*writing(verb, here, "there.safetensors"))
    assert outcome.code == 2
    assert "there.safetensors exists" in outcome.line
    assert "--force" in outcome.line


@pytest.mark.parametrize("verb", WRITERS)
def test_a_folder_that_does_not_exist_is_exit_5(refused: Refused, here: Path, verb: str) -> None:
    outcome = refused(*writing(verb, here, "none/out.safetensors"))
    assert outcome.code == 5
    assert "does not exist" in outcome.line


@contextmanager
def small_disk(size: int) -> Iterator[None]:
    """No file may grow beyond ``size`` bytes: what a write then raises is an OSError as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("verb", ["export", "train", "quantize", "bundle"])
def test_a_full_disk_is_exit_5_and_leaves_nothing(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    arguments = writing(verb, here, "out.safetensors")
    before = contents(here)
    if verb == "export":  # its judge needs a file that is as large, elsewhere
        from toolchain import files

        def write_bytes(*facts: Any, **options: Any) -> None:
            with small_disk(1000):
                files.write_bytes(*facts, **options)

        monkeypatch.setattr(sys.modules["toolchain.export"], "write_bytes", write_bytes)
        code = main(arguments)
    else:
        with small_disk(1000):
            code = main([*arguments, "--quiet"] if verb == "train" else arguments)
    shown = capsys.readouterr()
    assert code == 5, shown.err
    assert shown.err.count("\n") == 1
    assert "cannot write out." in shown.err
    assert contents(here) == before


# Ctrl-C

AT_STEP = """
import os, signal, sys
from toolchain.cli import common
from toolchain.cli.main import main

class Watcher:
    def __enter__(self): return self
    def __exit__(self, *facts): return False
    def __call__(self, done, total, what):
        if done: os.kill(os.getpid(), signal.SIGINT)

common.progress_bar = Watcher
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("verb", ["quantize", "bundle", "benchmark", "evaluate", "verify", "export"])
def test_ctrl_c_at_work_is_exit_130_and_leaves_nothing(here: Path, verb: str) -> None:
    if verb == "benchmark":
        arguments = ["benchmark", "digits.onnx", "--data", "mnist:test:4", "--seconds", "0.2", "--no-memory"]
    elif verb in ("evaluate", "verify"):
        arguments = [verb, "digits.onnx", "--data", "mnist:test:4"]
    else:
        arguments = writing(verb, here, "out.onnx")
    before = contents(here)
    done = subprocess.run(
        [sys.executable, "-c", AT_STEP, *arguments],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        cwd=here,
        timeout=120,
        check=False,
    )
    assert done.returncode == 130, done.stderr
    assert done.stderr.strip() == "onnx-edge: interrupted; nothing half-written is left"
    assert done.stdout == ""
    assert contents(here) == before


def test_sigterm_is_exit_143_and_leaves_nothing(here: Path) -> None:
    """What CI and ``timeout`` send."""
    arguments = writing("quantize", here, "out.onnx")
    before = contents(here)
    done = subprocess.run(
        [sys.executable, "-c", AT_STEP.replace("SIGINT", "SIGTERM"), *arguments],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        cwd=here,
        timeout=120,
        check=False,
    )
    assert done.returncode == 143, done.stderr
    assert done.stderr.strip() == "onnx-edge: terminated; nothing half-written is left"
    assert contents(here) == before


WHILE_IMPORTING = """
import sys, types
class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "rich_click": raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupting())
from toolchain.cli.entry import main
sys.exit(main())
"""


def test_ctrl_c_while_the_command_line_is_imported_is_exit_130() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WHILE_IMPORTING], capture_output=True, text=True, env=ENVIRONMENT, check=False
    )
    assert done.returncode == 130
    assert done.stderr.strip() == "onnx-edge: interrupted; nothing half-written is left"


@pytest.mark.skipif(not Path("/dev/null").is_char_device(), reason="there is no /dev/null")
def test_a_device_is_never_replaced(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is renamed over it would take its place for every program, with the rights to do so."""
    device = here / "device"
    os.mkfifo(device)
    for target in (device, Path("/dev/null")):
        code = main(["export", "lenet5", "-o", str(target), "--force"])
        shown = capsys.readouterr()
        assert code == 5, shown.err
        assert f"cannot write {target}: it is no plain file" in shown.err
    assert device.is_fifo()
    assert Path("/dev/null").is_char_device()
