"""``onnx-edge``: finds the verb; turns every error into one line and an exit code, here and nowhere else.

Exit codes: 0 done; 1 a gate failed; 2 usage; 3 a provider, device, tool or package is missing; 4 network;
5 file; 6 refused as unsafe; 70 internal error; 130 interrupted; 141 the reader of the output went away;
143 terminated.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from typing import Any

import rich_click as click
from click.exceptions import Abort, Exit

from models import errors as models_errors
from toolchain.cli.common import printable
from toolchain.errors import FileError, MissingError, NetworkError, ToolchainError, UnsafeError, UsageError

PROGRAM = "onnx-edge"
DEBUG = "ONNX_EDGE_DEBUG"
INTERNAL, INTERRUPTED, BROKEN_PIPE, TERMINATED = 70, 130, 141, 143

VERBS = {
    "train": "Train a network: data to weights.",
    "export": "PyTorch to ONNX, judged before it is written.",
    "inspect": "Table of layers: shapes, parameters, MACs, memory.",
    "verify": "Judge a backend's every node against the reference.",
    "quantize": "Make an int8 model, and judge its accuracy.",
    "compile": "ONNX to C for a host, a microcontroller, ...; int8 exact to the bit.",
    "evaluate": "Top-1 accuracy with a confidence interval.",
    "predict": "What a model says about images.",
    "benchmark": "Latency, throughput and memory, after checking the answers.",
    "bundle": "A folder with all that a device needs, and a manifest.",
    "run": "A whole recipe, with a report as one HTML page.",
    "check": "A recipe's budgets as a CI gate, with JUnit output.",
}
"""The closed list of verbs in the order of processing, each with the line that ``--help`` shows."""


class Verb(click.RichCommand):
    """A verb known by name; its file is imported when it is used."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name, short_help=VERBS[name], help=VERBS[name])

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Hand over to the command in the verb's file."""
        command: click.Command = importlib.import_module(f"toolchain.cli.{self.name}").command
        command.name = self.name
        return command.make_context(info_name, args, parent=parent, **extra)


class Verbs(click.RichGroup):
    """The closed list of verbs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of processing."""
        del ctx
        return list(VERBS)

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Parse; this prints the help."""
        try:
            return super().make_context(info_name, args, parent=parent, **extra)
        except BrokenPipeError:
            raise Exit(_reader_left()) from None

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb; a reader that stopped reading is no error of ours."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            return _reader_left()


def _version() -> str:
    try:
        return metadata.version(PROGRAM)
    except metadata.PackageNotFoundError:
        return "(not installed)"


@click.command(
    cls=Verbs,
    commands={name: Verb(name) for name in VERBS},
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(version=_version(), prog_name=PROGRAM)
def group() -> None:
    """Take a PyTorch CNN, or anybody's ONNX file, to an edge device, with every bit accounted for."""


# The nearest class on an error's method resolution order decides.
EXIT_CODES: dict[type[BaseException], int] = {
    models_errors.UsageError: UsageError.exit_code,
    models_errors.DataFileError: FileError.exit_code,
    models_errors.DownloadError: NetworkError.exit_code,
    models_errors.UnsafeFileError: UnsafeError.exit_code,
    models_errors.MissingDependencyError: MissingError.exit_code,
    OSError: FileError.exit_code,
    MemoryError: FileError.exit_code,
    Abort: INTERRUPTED,
    KeyboardInterrupt: INTERRUPTED,
}


class Terminated(KeyboardInterrupt):
    """SIGTERM: what CI and ``timeout`` send where a person presses Ctrl-C."""


def _terminate(number: int, frame: object) -> None:
    del number, frame
    raise Terminated


@contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM end the work as Ctrl-C does: what is half-written is taken away."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def exit_code(error: BaseException) -> int:
    """The exit code that an error ends the command with."""
    stop = _interruption(error)
    if stop is not None:
        return TERMINATED if isinstance(stop, Terminated) else INTERRUPTED
    if isinstance(error, ToolchainError | click.ClickException):
        return error.exit_code
    return next((EXIT_CODES[kind] for kind in type(error).__mro__ if kind in EXIT_CODES), INTERNAL)


def _interruption(error: BaseException | None) -> KeyboardInterrupt | None:
    """Ctrl-C, if it is at the bottom: extension modules that it stops while they load report an ImportError."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return error
        error = error.__cause__ or error.__context__
    return None


def line(error: BaseException) -> str:
    """An error as one line."""
    code = exit_code(error)
    if code in (INTERRUPTED, TERMINATED):
        text = f"{'interrupted' if code == INTERRUPTED else 'terminated'}; nothing half-written is left"
    elif isinstance(error, click.UsageError):
        path = error.ctx.command_path if error.ctx else PROGRAM
        text = f"{error.format_message().rstrip('.')}; see `{path} --help`"
    elif isinstance(error, click.ClickException):
        text = error.format_message()
    elif isinstance(error, OSError):
        text = f"{error.filename or 'input or output'}: {error.strerror or error}; check name, rights and space"
    elif isinstance(error, MemoryError):
        text = f"not enough memory: {error or 'all of it is taken'}; give fewer samples, a smaller batch or model"
    elif code == INTERNAL:
        text = f"internal error: {type(error).__name__}: {error}; set {DEBUG}=1 to see where, and report it"
    else:
        text = str(error)
    return printable(" ".join(text.split()))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: without the program's name; ``sys.argv[1:]`` by default.

    Returns:
        The exit code.
    """
    if not sys.warnoptions and not os.environ.get(DEBUG):
        warnings.simplefilter("ignore")  # of libraries; an error is one line
    try:
        with terminable():
            outcome = group.main(args=arguments, prog_name=PROGRAM, standalone_mode=False)
            sys.stdout.flush()
    except SystemExit as stop:  # --help without arguments, shell completion
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BrokenPipeError:
        return _reader_left()
    except BaseException as error:  # noqa: BLE001 - the one place where everything becomes an exit code
        if os.environ.get(DEBUG):
            traceback.print_exception(error)
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            _discard_stdout()
        with contextlib.suppress(OSError):
            sys.stderr.write(f"{PROGRAM}: {line(error)}\n")
        return exit_code(error)
    return outcome if isinstance(outcome, int) else 0


def _reader_left() -> int:
    _discard_stdout()
    return BROKEN_PIPE


def _discard_stdout() -> None:
    """Keep the interpreter from flushing, at its exit, what cannot be written."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
