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
from toolchain.margins import ARITHMETIC, Margins


@click.command
@click.argument("model", type=MODEL)
@data_option(required=True)
@click.option("--net", metavar="NET", help="The network that a .safetensors file of weights belongs to.")
@click.option("--batch", type=click.IntRange(min=1), default=64, show_default=True, help="Samples at a time.")
@click.option("--confusion", is_flag=True, help="Also print the confusion matrix.")
@click.option("--margins", is_flag=True, help="Also count the answers that no legal rounding can change.")
@click.option(
    "--arithmetic",
    default="float32",
    show_default=True,
    metavar="NAME",
    help=f"With --margins: what the device rounds to ({', '.join(ARITHMETIC)}).",
)
@provider_option
@threads_option
@json_option
def command(
    model: Path,
    data: str,
    net: str | None,
    batch: int,
    confusion: bool,
    margins: bool,
    arithmetic: str,
    provider: str,
    threads: int,
    as_json: bool,
) -> None:
    """Top-1 accuracy on labelled data, with a 95% confidence interval.

    MODEL is an ONNX file, or with --net a .safetensors file of weights, which PyTorch runs.
    """
    with progress_bar() as progress:
        result = evaluate(
            model,
            data=data,
            provider=provider,
            threads=threads,
            batch=batch,
            net=net,
            arithmetic=arithmetic if margins else None,
            progress=progress,
        )
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
    sure = [] if found.margins is None else _sure(found.margins)
    if not confusion:
        return Group(lines, classes, *sure)
    labels = tuple(entry.label for entry in found.classes)
    matrix = table("is \\ answered", *labels, right=labels)
    for label, row in zip(labels, found.confusion, strict=True):
        matrix.add_row(label, *(str(count) if count else "." for count in row))
    return Group(lines, classes, "", matrix, *sure)


def _sure(found: Margins) -> list[str]:
    """How many answers rounding can change."""
    lines = [
        f"\n{found.certain} of {found.samples} answers cannot change under any legal rounding in {found.arithmetic} "
        f"(proved); {found.first_order} more cannot to first order (no proof); {found.open} may"
    ]
    if found.open:
        lines.append(f"that may change: samples {', '.join(map(str, found.open_samples))}{_rest(found)}")
    if found.caveat:
        lines.append(found.caveat)
    if found.contradicted:
        samples = ", ".join(map(str, found.contradicted))
        lines.append(f"the runtime gave another answer than the certain one for samples {samples}: a defect")
    return lines


def _rest(found: Margins) -> str:
    more = found.open - len(found.open_samples)
    return f" and {more} more" if more else ""


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}%"
