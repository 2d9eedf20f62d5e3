"""Fixtures for commands that must fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.toolchain import digits
from toolchain.cli.main import main


@dataclass(frozen=True)
class Outcome:
    code: int
    line: str


Refused = Callable[..., Outcome]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a good model in it, and the current one."""
    digits.write(tmp_path / "digits.onnx")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def refused(here: Path, capsys: pytest.CaptureFixture[str]) -> Refused:
    """Run a command that must fail: one line on standard error, nothing on standard output, no new file."""

    def run(*arguments: object) -> Outcome:
        before = contents(here)
        code = main([str(argument) for argument in arguments])
        shown = capsys.readouterr()
        assert code != 0
        assert shown.out == ""
        assert shown.err.startswith("onnx-edge: ")
        assert shown.err.count("\n") == 1
        assert shown.err.endswith("\n")
        assert contents(here) == before
        return Outcome(code, shown.err)

    return run


def contents(folder: Path) -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}
