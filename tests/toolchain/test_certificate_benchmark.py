"""The benchmark of certificates times the command that it names, and stops where the command finds fault."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

from benchmarks import certificate
from tests.toolchain.test_detached import large
from toolchain.errors import GateFailedError
from toolchain.session import serialized

CASE = certificate.Case("small", "lenet5", "dynamic", None, ("--data", "mnist:test:2"), 600.0)


def test_one_case_from_export_to_table() -> None:
    row = certificate.measure(CASE, runs=1)
    (one,) = row["runs"]
    assert row["command"] == "onnx-edge verify small.onnx --data mnist:test:2"
    assert row["export"] == "onnx-edge export lenet5 --batch dynamic -o small.onnx"
    assert one["seconds"] > 0
    assert one["processor"] > 0
    assert one["peak"] > 10_000_000
    assert row["reached"] is True
    machine = {"cpu": "a processor", "cores": 2, "load": 0.5, "python": "3.11", "packages": [["onnx", "1"]]}
    text = certificate.report({"environment": machine, "cases": [row, {**row, "reached": False}]})
    assert "| `onnx-edge verify small.onnx --data mnist:test:2` | 0.2 MB |" in text
    assert "600 s: reached |" in text
    assert "600 s: missed |" in text
    assert "$ onnx-edge export lenet5 --batch dynamic -o small.onnx" in text


def test_a_command_that_fails_is_not_timed(tmp_path: Path) -> None:
    (tmp_path / "small.onnx").write_bytes(serialized(large()))
    with pytest.raises(GateFailedError, match="exit 2"):
        certificate.run(CASE, tmp_path)


def test_what_the_measuring_process_holds_is_not_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificate, "COMMAND", Path("/bin/true"))
    held = b"1" * 400_000_000
    assert certificate.run(CASE, tmp_path).peak < len(held) / 4


def test_the_commands_are_those_that_are_documented() -> None:
    assert [case.goal for case in certificate.CASES] == [30.0, 10.0, 10.0, 10.0]
    assert {case.net for case in certificate.CASES} == {"vgg16", "alexnet", "lenet5"}
