"""Fixtures that several suites share: exported networks, made once a run, and the command line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Result:
    exit_code: int
    stdout: str
    stderr: str


RunCli = Callable[..., Result]
Exported = Callable[..., Path]


def pytest_configure(config: pytest.Config) -> None:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell starts what it leaves in the background so, and the commands under test would inherit it.
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def run_cli() -> RunCli:
    """Run ``onnx-edge`` in a process of its own."""

    def run(*args: object, cwd: Path | None = None, timeout: float = 240, **environment: str) -> Result:
        done = subprocess.run(
            [sys.executable, "-m", "toolchain.cli.main", *map(str, args)],
            capture_output=True,
            text=True,
            timeout=timeout,
            cwd=cwd or ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "COLUMNS": "200", **environment},
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Exported:
    """A trained network of the zoo as an ONNX file: exported once a run, whichever worker asks first."""
    pytest.importorskip("torch", reason="exporting needs the extra `train`")
    filelock = pytest.importorskip("filelock")
    base = tmp_path_factory.getbasetemp()
    folder = base if worker_id == "master" else base.parent

    def export_once(net: str, **options: object) -> Path:
        from toolchain.export import export

        suffix = "-".join(f"{k}{v}" for k, v in sorted(options.items()))
        path = folder / f"{net}{'-' + suffix if suffix else ''}.onnx"
        with filelock.FileLock(f"{path}.lock"):
            if not path.exists():
                export(net, output=path, **options)  # type: ignore[arg-type]
        return path

    return export_once
