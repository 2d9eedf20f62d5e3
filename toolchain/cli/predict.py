"""``onnx-edge predict``."""

from __future__ import annotations

from pathlib import Path

import rich_click as click
from rich.console import RenderableType

from toolchain.cli.common import FILE, MODEL, emit, json_option, provider_option, table, threads_option
from toolchain.predict import Predictions, predict


@click.command
@click.argument("model", type=MODEL)
@click.argument("images", type=FILE, nargs=-1, required=True)
@click.option("--top", type=click.IntRange(min=1), default=3, show_default=True, help="Answers for each.")
@click.option(
    "--invert",
    default="auto",
    show_default=True,
    metavar="auto|yes|no",
    help="Exchange light and dark; auto does for digit models where the picture's border is light.",
)
@provider_option
@threads_option
@json_option
def command(
    model: Path,
    images: tuple[Path, ...],
    top: int,
    invert: str,
    provider: str,
    threads: int,
    as_json: bool,
) -> None:
    """What a model says about pictures.

    Each picture is resized to the model's input. Digits in photographs and scans also need to be cut out and
    centred: deploy/python does that.
    """
    result = predict(model, images, top=top, invert=invert, provider=provider, threads=threads)
    emit("predict", result, as_json, render)


def render(found: Predictions) -> RenderableType:
    """For people."""
    made = table("image", "answer", "probability", "then", right=("probability",))
    for prediction in found.predictions:
        best, *rest = prediction.answers
        others = ", ".join(f"{answer.label} {100 * answer.probability:.2f}%" for answer in rest)
        note = " (inverted)" if prediction.inverted else ""
        made.add_row(prediction.image + note, best.label, f"{100 * best.probability:.2f}%", others)
    return made
