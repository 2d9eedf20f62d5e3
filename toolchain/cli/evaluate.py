"""``onnx-edge evaluate``."""

from __future__ import annotations

from pathlib import Path

import rich_click as click
from rich.console import Group, RenderableType

from toolchain.cli.common import (
    MODEL,
    data_option,
    emit,
    json_option,
    progress_bar,
    provider_option,
    table,
    threads_option,
)
from toolchain.evaluate import Evaluation, evaluate


@click.command
@click.argument("model", type=MODEL)
@data_option(required=True)
@click.option("--net", metavar="NET", help="The network that a .safetensors file of weights belongs to.")
@click.option("--batch", type=click.IntRange(min=1), default=64, show_default=True, help="Samples at a time.")
@click.option("--confusion", is_flag=True, help="Also print the confusion matrix.")
@provider_option
@threads_option
@json_option
def command(
    model: Path,
    data: str,
    net: str | None,
    batch: int,
    confusion: bool,
    provider: str,
    threads: int,
    as_json: bool,
) -> None:
    """Top-1 accuracy on labelled data, with a 95% confidence interval.

    MODEL is an ONNX file, or with --net a .safetensors file of weights, which PyTorch runs.
    """
    with progress_bar() as progress:
        result = evaluate(model, data=data, provider=provider, threads=threads, batch=batch, net=net, progress=progress)
    emit("evaluate", result, as_json, lambda found: render(found, confusion))


def render(found: Evaluation, confusion: bool) -> RenderableType:
    """For people."""
    low, high = (100 * end for end in found.interval)
    lines = (
        f"{found.model} on {found.data} ({found.backend})\n"
        f"top-1 {100 * found.top1:.2f}%  [{low:.2f}, {high:.2f}] at 95%   {found.correct} of {found.total}   "
        f"loss {found.loss:.4f}   calibration error {100 * found.calibration_error:.2f}%\n"
    )
    numbers = ("samples", "found", "recall", "precision")
    classes = table("class", *numbers, right=numbers)
    for entry in found.classes:
        classes.add_row(
            entry.label, str(entry.total), str(entry.correct), _share(entry.recall), _share(entry.precision)
        )
    if not confusion:
        return Group(lines, classes)
    labels = tuple(entry.label for entry in found.classes)
    matrix = table("is \\ answered", *labels, right=labels)
    for label, row in zip(labels, found.confusion, strict=True):
        matrix.add_row(label, *(str(count) if count else "." for count in row))
    return Group(lines, classes, "", matrix)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}%"
