"""How ``run`` and ``check`` print verdicts: one line each, as they come."""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType

from rich.text import Text

from toolchain.cli.common import console, printable, progress_bar
from toolchain.progress import Progress
from toolchain.report import Verdict

MARKS = {
    "passed": ("✓", "green"),
    "warned": ("!", "yellow"),
    "failed": ("✗", "bold red"),
    "error": ("✗", "bold red"),
    "skipped": ("–", "dim"),
}
STAGE_WIDTH = 12


class Screen:
    """Verdicts on stdout and bars on stderr, never at the same time: a bar ends before a line is printed."""

    def __init__(self, *, quiet: bool) -> None:
        self._console = console()
        self._quiet = quiet
        self._bars = ExitStack()
        self._progress: Progress | None = None

    def __enter__(self) -> Screen:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.close()

    def progress(self, done: int, total: int, what: str) -> None:
        """A :class:`~toolchain.progress.Progress`."""
        if self._progress is None:
            self._progress = self._bars.enter_context(progress_bar())
        self._progress(done, total, what)

    def tell(self, verdict: Verdict) -> None:
        """Print a verdict."""
        self._bars.close()
        self._progress = None
        if not self._quiet:
            self._console.print(line(verdict), soft_wrap=True)


def line(verdict: Verdict) -> Text:
    """A verdict as one line: mark, stage, what was found, seconds."""
    mark, style = MARKS[verdict.status]
    made = Text()
    made.append(f"{mark} ", style)
    made.append(f"{verdict.stage:{STAGE_WIDTH}} ", "bold")
    what = f"{verdict.name}: " if verdict.stage == "budget" else ""
    made.append(printable(f"{what}{verdict.detail}"), style if verdict.status in ("failed", "error") else "")
    if verdict.seconds:
        made.append(f"  {verdict.seconds:.1f} s", "dim")
    return made


def summary(verdicts: tuple[Verdict, ...]) -> Text:
    """All verdicts as one line."""
    failed = [verdict for verdict in verdicts if not verdict.ok]
    if not failed:
        return Text(f"all {len(verdicts)} verdicts passed", "green")
    names = ", ".join(v.name if v.stage == "budget" else v.stage for v in failed)
    return Text(printable(f"{len(failed)} of {len(verdicts)} verdicts failed: {names}"), "bold red")
