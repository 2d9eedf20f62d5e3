"""The command line: exit codes, one line an error, nothing half-written."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest
import rich_click as click

import toolchain
from models import errors as models_errors
from tests.conftest import ROOT, RunCli
from toolchain import errors, files
from toolchain.cli import main as main_module
from toolchain.cli.common import emit, printable, progress_bar
from toolchain.cli.main import DEBUG, VERBS, exit_code, main
from toolchain.progress import silent

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}


def install(monkeypatch: pytest.MonkeyPatch, body: Callable[[], None]) -> None:
    """Make ``onnx-edge inspect`` do something else."""

    @click.command
    def command() -> None:
        body()

    monkeypatch.setitem(sys.modules, "toolchain.cli.inspect", types.SimpleNamespace(command=command))  # type: ignore[arg-type]


def raising(error: BaseException) -> Callable[[], None]:
    def body() -> None:
        raise error

    return body


def test_a_file_in_the_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(errors.FileError, match=r"cannot write .*/a/b: .*/a is no folder; give another name"):
        files.check_output(tmp_path / "a" / "b", force=False)
    with pytest.raises(errors.FileError, match="does not exist; create it first"):
        files.check_output(tmp_path / "b" / "c", force=False)


CODES = [
    (errors.GateFailedError("m"), 1),
    (errors.UsageError("m"), 2),
    (errors.UnknownNameError("kind", "m", ["n"]), 2),
    (errors.OutputExistsError("m"), 2),
    (errors.ShapeError("m"), 2),
    (errors.MissingError("m"), 3),
    (errors.FallbackError("m"), 3),
    (errors.NetworkError("m"), 4),
    (errors.FileError("m"), 5),
    (errors.UnsupportedError("m"), 5),
    (errors.UnboundedError("m"), 5),
    (errors.UnsafeError("m"), 6),
    (errors.ToolchainError("m"), 70),
    (models_errors.UsageError("m"), 2),
    (models_errors.UnknownNameError("kind", "m", ["n"]), 2),
    (models_errors.OutputExistsError("m"), 2),
    (models_errors.DataFileError("m"), 5),
    (models_errors.ChecksumError("m"), 5),
    (models_errors.DownloadError("m"), 4),
    (models_errors.UnsafeFileError("m"), 6),
    (models_errors.MissingDependencyError("m"), 3),
    (PermissionError(13, "Permission denied", "m"), 5),
    (OSError(28, "No space left on device", "m"), 5),
    (KeyboardInterrupt(), 130),
    (RuntimeError("m\nsecond line"), 70),
]


@pytest.mark.parametrize(("error", "code"), CODES, ids=[type(e).__module__ + "." + type(e).__name__ for e, _ in CODES])
def test_every_error_is_one_line_and_its_code(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(monkeypatch, raising(error))
    assert main(["inspect"]) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert len(shown.err.strip().splitlines()) == 1
    assert "onnx-edge: " in shown.err
    assert "Traceback" not in shown.err


def test_an_interrupt_that_a_library_turned_into_another_error_is_an_interrupt(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def body() -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as error:
            raise errors.MissingError("cannot start") from error

    install(monkeypatch, body)
    assert main(["inspect"]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_too_little_memory_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    install(monkeypatch, raising(MemoryError("9 TiB")))
    assert main(["inspect"]) == 5
    assert "not enough memory: 9 TiB" in capsys.readouterr().err


def every(kind: type[BaseException]) -> set[type[BaseException]]:
    return {kind}.union(*(every(child) for child in kind.__subclasses__()))


def test_no_error_class_is_forgotten() -> None:
    ours = {k for k in every(errors.ToolchainError) if k.__module__ == errors.__name__}
    theirs = {k for k in every(models_errors.ModelsError) if k.__module__ == models_errors.__name__}
    tested = {type(error) for error, _ in CODES}
    assert (ours | theirs) - tested == {models_errors.ModelsError}
    for kind in theirs - {models_errors.ModelsError}:
        assert exit_code(kind.__new__(kind)) != main_module.INTERNAL


def test_the_traceback_is_there_when_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(monkeypatch, raising(RuntimeError("here")))
    monkeypatch.setenv(DEBUG, "1")
    assert main(["inspect"]) == 70
    assert "Traceback" in capsys.readouterr().err


def test_a_failed_gate_prints_its_result_and_ends_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Failed:
        ok = False

        def to_dict(self) -> dict[str, object]:
            return {"ok": False}

    install(monkeypatch, lambda: emit("inspect", Failed(), True, str))
    assert main(["inspect"]) == 1
    assert json.loads(capsys.readouterr().out) == {"version": 1, "verb": "inspect", "ok": False}


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["exprot"], "'export'"),
        (["verfy"], "'verify'"),
        (["--hepl"], "'--help'"),
        (["inspect", "--jsn"], "'--json'"),
        (["inspect", "m.onnx", "--shape", "a,b"], "a,b"),
        (["inspect", "m.onnx", "extra"], "extra"),
        (["inspect"], "MODEL"),
    ],
)
def test_usage_errors_offer_the_nearest(arguments: list[str], word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert word in shown.err
    assert "--help" in shown.err
    assert shown.err.count("\n") == 1


def test_every_verb_is_listed_and_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for verb in VERBS:
        assert verb in shown
    assert set(VERBS) == set(toolchain.__all__)
    for verb in ("inspect", "export", "train"):
        assert main([verb, "--help"]) == 0
        assert f"onnx-edge {verb}" in capsys.readouterr().out


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from toolchain.cli.main import main; main(['--help']);"
        "heavy = {'torch', 'onnxruntime', 'matplotlib', 'onnx', 'onnx_ir', 'numpy'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_verbs_are_functions_of_the_package_whatever_was_imported_first() -> None:
    code = (
        "import toolchain.inspect, toolchain, types;"
        "from toolchain import inspect, export;"
        "assert all(isinstance(f, types.FunctionType) for f in (toolchain.inspect, inspect, export, toolchain.export));"
        "from toolchain.inspect import Inspection"
    )
    done = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_full_disk_behind_stdout_is_a_file_error() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "toolchain.cli.main", "--help"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
            check=False,
        )
    assert done.returncode == 5
    assert "No space left" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_reader_that_goes_away_is_no_failed_gate() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "w") as pipe:
        done = subprocess.run(
            [sys.executable, "-m", "toolchain.cli.main", "--help"],
            stdout=pipe,
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
            check=False,
        )
    assert (done.returncode, done.stderr) == (141, "")


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(errors.FileError, match=r"m\.onnx"):
            files.write_bytes(tmp_path / "m.onnx", bytes(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.iterdir()) == []


INTERRUPTED = """
import sys, time, types
from pathlib import Path
import rich_click as click
from toolchain.cli.main import main
from toolchain.files import replacing

@click.command
def command():
    with replacing(Path(sys.argv[1])) as temporary:
        temporary.write_bytes(b"half")
        print("ready", flush=True)
        time.sleep(60)

sys.modules["toolchain.cli.inspect"] = types.SimpleNamespace(command=command)
sys.exit(main(["inspect"]))
"""


def test_an_interrupt_ends_with_130_and_leaves_nothing(tmp_path: Path) -> None:
    running = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(tmp_path / "m.onnx")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    assert running.stdout is not None
    assert running.stdout.readline() == "ready\n"
    running.send_signal(signal.SIGINT)
    _, complaint = running.communicate(timeout=30)
    assert running.returncode == 130
    assert complaint.strip() == "onnx-edge: interrupted; nothing half-written is left"
    assert list(tmp_path.iterdir()) == []


def test_files_that_are_no_models(run_cli: RunCli, tmp_path: Path) -> None:
    text = tmp_path / "text.onnx"
    text.write_text("not a model\n" * 50)
    for path, word in ((text, "no ONNX file"), (tmp_path, "folder"), (tmp_path / "none.onnx", "No such file")):
        result = run_cli("inspect", path)
        assert (result.exit_code, result.stdout) == (5, "")
        assert word in result.stderr
        assert result.stderr.count("\n") == 1


def test_progress_is_silent_where_nobody_watches() -> None:
    with progress_bar() as progress:
        assert progress is silent


def test_text_is_made_printable() -> None:
    assert printable("a\x1b[31mb\x07\nc\u202e") == "a\ufffd[31mb\ufffd\nc\ufffd"
