"""What the verbs share: options, results on stdout, progress on stderr.

A verb's file defines one click command named ``command``::

    @click.command
    @click.argument("model", type=MODEL)
    @data_option()
    @json_option
    def command(model: Path, data: str | None, as_json: bool) -> None:
        from toolchain.verify import verify

        with progress_bar() as progress:
            result = verify(model, data=data, progress=progress)
        emit("verify", result, as_json, render)
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

import rich_click as click
from click.exceptions import Exit
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from toolchain.jsonable import jsonable
from toolchain.progress import Progress, silent

JSON_VERSION = 1
PIPE_WIDTH = 180
"""Columns of a table that goes to a file or a pipe."""

FILE = click.Path(path_type=Path)
"""Type of any path; existence is checked by the function that reads it, which has the better message."""

MODEL = FILE
MOST_SAMPLES = 10**9
MOST_THREADS = 1024
Decorated = TypeVar("Decorated", bound=Callable[..., Any])


class Result(Protocol):
    """What a verb's function returns."""

    def to_dict(self) -> dict[str, object]:
        """As JSON-able values."""


AnyResult = TypeVar("AnyResult", bound=Result)


def data_option(*, required: bool = False, name: str = "--data", what: str = "Data") -> Callable[..., Any]:
    """``--data NAME:SPLIT[:COUNT]``; ``name`` and ``what`` make it another option of the same kind."""
    return click.option(
        name,
        required=required,
        metavar="DATA",
        help=f"{what}: NAME:SPLIT[:COUNT] such as mnist:test:256, a folder of images per class, or an .npz.",
    )


def synthetic_option(function: Decorated) -> Decorated:
    """``--synthetic N``: seeded random tensors in place of data."""
    decorated: Decorated = click.option(
        "--synthetic",
        type=click.IntRange(min=1, max=MOST_SAMPLES),
        metavar="N",
        help="Use N seeded random tensors in place of data.",
    )(function)
    return decorated


def json_option(function: Decorated) -> Decorated:
    """``--json``, as the parameter ``as_json``."""
    decorated: Decorated = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")(
        function
    )
    return decorated


def force_option(function: Decorated) -> Decorated:
    """``--force``."""
    decorated: Decorated = click.option("--force", is_flag=True, help="Overwrite the output if it exists.")(function)
    return decorated


def output_option(*, what: str = "File to write.", required: bool = True) -> Callable[..., Any]:
    """``-o``, ``--output``, as the parameter ``output``."""
    return click.option("-o", "--output", type=FILE, required=required, help=what)


def threads_option(function: Decorated) -> Decorated:
    """``--threads``; 1 by default, as on a small device."""
    decorated: Decorated = click.option(
        "--threads",
        type=click.IntRange(min=1, max=MOST_THREADS),
        default=1,
        show_default=True,
        help="Threads inside an operator.",
    )(function)
    return decorated


def provider_option(function: Decorated) -> Decorated:
    """``--provider``; the session knows the names."""
    decorated: Decorated = click.option(
        "--provider",
        default="cpu",
        show_default=True,
        metavar="NAME",
        help="Execution provider of ONNX Runtime: cpu, cuda, tensorrt, openvino, coreml, directml, ...",
    )(function)
    return decorated


def seed_option(function: Decorated) -> Decorated:
    """``--seed``."""
    decorated: Decorated = click.option(
        "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of random choices."
    )(function)
    return decorated


def printable(text: str) -> str:
    """``text`` with control characters (terminal escapes in a model's names) replaced; line breaks stay."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


class SafeConsole(Console):
    """A console that shows text as it is: no markup, no emoji, no control characters."""

    def on_broken_pipe(self) -> None:
        """The reader went away: for the command line to handle, where rich would exit with 1."""
        raise BrokenPipeError

    def render_str(self, text: str, **options: Any) -> Text:
        """Make text printable before it is laid out."""
        return super().render_str(printable(text), **options)


def console(*, stderr: bool = False) -> Console:
    """Where people read: colours only on a terminal, and none under NO_COLOR."""
    file = sys.stderr if stderr else sys.stdout
    terminal = file.isatty()
    return SafeConsole(file=file, markup=False, highlight=False, emoji=False, width=None if terminal else PIPE_WIDTH)


def table(*columns: str, title: str | None = None, right: tuple[str, ...] = ()) -> Table:
    """A table in the style of all verbs; columns named in ``right`` are aligned to the right."""
    made = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", header_style="bold", overflow="fold")
    return made


def verdict(ok: bool, good: str, bad: str) -> Text:
    """A line in green or red."""
    return Text(printable(good), "green") if ok else Text(printable(bad), "bold red")


def emit(
    verb: str,
    result: AnyResult,
    as_json: bool,
    render: Callable[[AnyResult], RenderableType],
) -> None:
    """Print a result on stdout; a result whose ``ok`` is false ends the command with exit code 1.

    Args:
        verb: goes into the JSON.
        result: what the verb's function returned.
        as_json: print ``{"version": 1, "verb": ..., **result.to_dict()}``.
        render: the result for people: a string, a table, or a ``rich.console.Group`` of these.
    """
    if as_json:
        facts = {"version": JSON_VERSION, "verb": verb, **result.to_dict()}
        sys.stdout.write(json.dumps(jsonable(facts), indent=2, allow_nan=False) + "\n")
    else:
        made = render(result)
        screen = console()
        for part in made.renderables if isinstance(made, Group) else (made,):
            # A line stays one line, for those who search it; a table is laid out for the width.
            screen.print(part, soft_wrap=isinstance(part, str | Text))
    if not getattr(result, "ok", True):
        raise Exit(1)


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A :class:`Progress` that draws bars on stderr if that is a terminal, and is silent otherwise."""
    screen = console(stderr=True)
    if not screen.is_terminal or screen.is_dumb_terminal or os.environ.get("CI"):
        yield silent
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=screen, transient=True) as bars:
        tasks: dict[str, Any] = {}

        def tell(done: int, total: int, what: str) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(printable(what), total=total)
            bars.update(tasks[what], completed=done, total=total)

        yield tell
