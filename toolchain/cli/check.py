"""``onnx-edge check``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click
from rich.text import Text

from toolchain.cli.common import FILE, emit, force_option, json_option

if TYPE_CHECKING:
    from toolchain.recipe import Check


@click.command
@click.argument("recipe", type=FILE, metavar="RECIPE.toml")
@click.option("--junit", type=FILE, metavar="FILE.xml", help="Write the verdicts in JUnit's XML.")
@force_option
@json_option
def command(recipe: Path, junit: Path | None, force: bool, as_json: bool) -> None:
    """Judge every stage and budget of RECIPE.toml; nothing is kept but the verdicts.

    Exit code 1 if one failed; what could not be judged at all ends with the code of its error, such as 5 for a
    missing file. The JUnit file is written in each of these cases, once the recipe itself can be read.
    """
    from toolchain.cli.verdicts import Screen
    from toolchain.recipe import check

    with Screen(quiet=as_json) as screen:
        result = check(recipe, junit=junit, force=force, tell=screen.tell, progress=screen.progress)
    try:
        emit("check", result, as_json, render)
    finally:
        if result.error is not None:
            raise result.error


def render(result: Check) -> Text:
    """The outcome as one line."""
    from toolchain.cli.verdicts import summary

    return summary(result.findings.verdicts)
