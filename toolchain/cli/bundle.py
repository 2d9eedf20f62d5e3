"""``onnx-edge bundle``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click
from rich.console import Group

from toolchain.cli.common import (
    MODEL,
    data_option,
    emit,
    force_option,
    json_option,
    output_option,
    progress_bar,
    seed_option,
    synthetic_option,
    table,
)

if TYPE_CHECKING:
    from toolchain.bundle import Bundle


@click.command
@click.argument("model", type=MODEL, metavar="M.onnx")
@output_option(what="The folder to write.")
@data_option(what="A few samples (mnist:test:1 for a model of batch 1) stored with expected outputs, for a self-check")
@synthetic_option
@seed_option
@force_option
@json_option
def command(
    model: Path,
    output: Path,
    data: str | None,
    synthetic: int | None,
    seed: int,
    force: bool,
    as_json: bool,
) -> None:
    """Write a folder with all that a device needs to use M.onnx, and a manifest of it.

    The model, its labels and normalisation as plain files, and with --data or --synthetic a few samples with
    expected outputs by which the device can check itself. --force replaces an earlier bundle only.
    """
    from toolchain.bundle import bundle

    with progress_bar() as progress:
        result = bundle(model, output=output, data=data, synthetic=synthetic, seed=seed, force=force, progress=progress)
    emit("bundle", result, as_json, render)


def render(result: Bundle) -> Group:
    """What lies in the folder."""
    made = table("File", "Bytes", "SHA-256", "What", right=("Bytes",))
    for file in result.files:
        made.add_row(file.name, f"{file.size:,}", file.sha256[:16], file.what)
    checked = f", expected outputs checked with {result.checked}" if result.checked else ""
    return Group(made, f"{result.output}: {len(result.files)} files, {result.size:,} bytes{checked}")
