"""Progress of a training run on standard error: bars on a terminal, else a line an epoch."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from models.training_state import TrainingState

Report = Callable[[TrainingState], None]


@contextlib.contextmanager
def reporter(name: str, epochs: int, steps_per_epoch: int, state: TrainingState, *, shown: bool) -> Iterator[Report]:
    """Give a function to be called after each step.

    Args:
        name: of the network.
        epochs: of the run.
        steps_per_epoch: batches.
        state: at the start; epochs already in its history are not shown again.
        shown: nothing is shown if false.
    """
    console = Console(stderr=True)
    if not shown:
        yield lambda _: None
    elif console.is_terminal:
        with _bars(console, name, epochs, steps_per_epoch) as report:
            yield report
    else:
        yield _lines(console, epochs, len(state.history))


def _lines(console: Console, epochs: int, done: int) -> Report:
    def report(state: TrainingState) -> None:
        nonlocal done
        for epoch in state.history[done:]:
            console.print(
                f"epoch {epoch.number}/{epochs}  loss {epoch.loss:.4f}  train {epoch.accuracy:.2%}  "
                f"validation {epoch.validation_accuracy:.2%}  {state.seconds:.0f} s",
                highlight=False,
                soft_wrap=True,
            )
        done = len(state.history)

    return report


@contextlib.contextmanager
def _bars(console: Console, name: str, epochs: int, steps_per_epoch: int) -> Iterator[Report]:
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"))
    with Progress(*columns, TimeRemainingColumn(), console=console) as bars:
        whole = bars.add_task(f"{name}, {epochs} epochs", total=steps_per_epoch * epochs, note="")
        part = bars.add_task("this epoch", total=steps_per_epoch, note="")

        def report(state: TrainingState) -> None:
            note = f"validation {state.history[-1].validation_accuracy:.2%}" if state.history else ""
            bars.update(whole, completed=state.step, note=note)
            bars.update(part, completed=state.step % steps_per_epoch)

        yield report
