"""``onnx-edge run``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click
from rich.console import Group
from rich.text import Text

from toolchain.cli.common import FILE, emit, force_option, json_option, output_option

if TYPE_CHECKING:
    from toolchain.recipe import Run


@click.command
@click.argument("recipe", type=FILE, metavar="RECIPE.toml")
@output_option(what="The folder to write: models, bundle, results.json, report.html.")
@force_option
@json_option
def command(recipe: Path, output: Path, force: bool, as_json: bool) -> None:
    """Do all that RECIPE.toml describes, and write the report as one HTML page.

    Export, verify, quantize, verify again, evaluate, benchmark, bundle; then the recipe's budgets. Exit code 1
    if a verdict failed: the report is written then too. --force replaces the output of an earlier run only.
    """
    from toolchain.cli.verdicts import Screen
    from toolchain.recipe import run

    with Screen(quiet=as_json) as screen:
        result = run(recipe, output=output, force=force, tell=screen.tell, progress=screen.progress)
    emit("run", result, as_json, render)


def render(result: Run) -> Group:
    """The outcome, and where to read about it."""
    from toolchain.cli.verdicts import summary

    return Group(summary(result.findings.verdicts), Text(f"report: {result.report}"))
