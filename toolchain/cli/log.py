"""``onnx-edge verify --log``: how the verdict on a device's self-test is printed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from toolchain.cli.common import emit, verdict

if TYPE_CHECKING:
    from toolchain.verify.log import LogVerdict


def judge_log(log: Path, model: Path | None, as_json: bool) -> None:
    """Read a log, print the verdict; exit code 1 if a layer departs."""
    from toolchain.verify.log import verify_log

    emit("verify", verify_log(log, model), as_json, render)


def render(result: LogVerdict) -> Group:
    """The verdict in a line; before it what was not taken into account."""
    notes = [
        (result.damaged, f"{result.damaged} lines were damaged on the way and are not believed"),
        (result.unjudged, f"{result.unjudged} checksums are of layers in float, which compilers may round differently"),
        (result.runs - result.complete, f"{result.runs - result.complete} of {result.runs} runs are cut off"),
    ]
    lines: list[Text] = [Text(note, "yellow") for count, note in notes if count]
    about = f"{result.network}, model {result.model[:12]}, {result.complete} complete runs"
    if result.first is None:
        return Group(*lines, verdict(True, f"as compiled ({about}): all {result.compared} checksums agree", ""))
    first = result.first
    bad = (
        f"departs ({about}): {result.departed} of {result.compared} checksums; the first layer that departs is "
        f"{first.name} (layer {first.index}, sample {first.sample}): expected {first.expected}, received "
        f"{first.received}"
    )
    return Group(*lines, verdict(False, "", f"{bad}; {result.uncertain}" if result.uncertain else bad))
