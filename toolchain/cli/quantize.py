"""``onnx-edge quantize``."""

from __future__ import annotations

from pathlib import Path

import rich_click as click
from rich.console import Group, RenderableType

from toolchain.cli.common import (
    MODEL,
    data_option,
    emit,
    force_option,
    json_option,
    output_option,
    progress_bar,
    table,
    threads_option,
    verdict,
)
from toolchain.quantize import Quantization, Scheme, quantize


@click.command
@click.argument("model", type=MODEL)
@output_option(what="The int8 ONNX file to write.")
@click.option(
    "--calibrate",
    metavar="DATA",
    help="Training data that ranges are observed on: NAME:train[:COUNT], a folder, or an .npz; by default 512 samples "
    "of what a network of the zoo was trained on.",
)
@data_option(what="Labelled data to judge on; by default the test split of the calibration data")
@click.option(
    "--method",
    default="minmax",
    show_default=True,
    metavar="minmax|percentile|entropy",
    help="How ranges are chosen from what was observed.",
)
@click.option("--percentile", type=float, default=99.99, show_default=True, help="Values inside, for percentile.")
@click.option("--activations", default="int8", show_default=True, metavar="int8|uint8", help="Type of activations.")
@click.option(
    "--weights",
    default="int8",
    show_default=True,
    metavar="int8|uint8",
    help="Type of weights: int8 symmetric, uint8 asymmetric.",
)
@click.option("--per-channel/--per-tensor", default=True, show_default=True, help="Scales of weights.")
@click.option("--symmetric", is_flag=True, help="Activations: zero points in the middle of the type.")
@click.option(
    "--reduce-range/--full-range",
    default=True,
    show_default=True,
    help="7-bit weights, whose sums saturate on no processor; or all 8 bits.",
)
@click.option("--exclude", multiple=True, metavar="NODE", help="Leave a node in float; may be repeated.")
@click.option(
    "--max-drop",
    type=click.FloatRange(min=0),
    default=0.1,
    show_default=True,
    metavar="POINTS",
    help="Greatest loss of top-1 accepted, percentage points.",
)
@click.option("--keep", is_flag=True, help="Write the file even if it loses more.")
@click.option("--no-timing", is_flag=True, help="Leave the speed out.")
@force_option
@threads_option
@json_option
def command(
    model: Path,
    output: Path,
    calibrate: str | None,
    data: str | None,
    method: str,
    percentile: float,
    activations: str,
    weights: str,
    per_channel: bool,
    symmetric: bool,
    reduce_range: bool,
    exclude: tuple[str, ...],
    max_drop: float,
    keep: bool,
    no_timing: bool,
    force: bool,
    threads: int,
    as_json: bool,
) -> None:
    """Make a static int8 QDQ model, and judge its accuracy.

    Exit code 1, and no file, where top-1 drops by more than --max-drop.
    """
    scheme = Scheme(activations, weights, per_channel, symmetric, reduce_range, method, percentile)
    with progress_bar() as progress:
        result = quantize(
            model,
            output=output,
            calibrate=calibrate,
            data=data,
            scheme=scheme,
            exclude=exclude,
            max_drop=max_drop,
            keep=keep,
            force=force,
            threads=threads,
            timed=not no_timing,
            progress=progress,
        )
    emit("quantize", result, as_json, render)


def render(found: Quantization) -> RenderableType:
    """For people."""
    scheme = found.scheme
    channels = "per channel" if scheme.per_channel else "per tensor"
    title = (
        f"{found.model}: weights {scheme.weights} {channels}{' (7 bits)' if scheme.reduce_range else ''}, "
        f"activations {scheme.activations} {'symmetric' if scheme.symmetric else 'asymmetric'}, "
        f"{scheme.method} on {found.calibration} ({found.calibration_samples} samples)"
    )
    made = table("", "float", "int8", "", right=("float", "int8"))
    lost = f"{0.0 - found.drop:+.2f} percentage points; a loss of {found.max_drop:g} is accepted"
    made.add_row("top-1", f"{100 * found.before.top1:.2f}%", f"{100 * found.after.top1:.2f}%", lost)
    intervals = [f"{100 * e.interval[0]:.2f}..{100 * e.interval[1]:.2f}" for e in (found.before, found.after)]
    made.add_row("  95% interval", *intervals, f"{found.before.total} samples of {found.before.data}")
    made.add_row("same answer", "", f"{100 * found.agreement:.2f}%", "")
    ratio = found.size_before / found.size_after
    made.add_row("file, bytes", f"{found.size_before:,}", f"{found.size_after:,}", f"{ratio:.2f}x smaller")
    if found.speed is not None:
        times = [f"{p.value * 1e6:.1f}" for p in (found.speed.before, found.speed.after)]
        r = found.speed.ratio
        made.add_row(
            f"us, batch {found.speed.batch}",
            *times,
            f"{r.value:.2f}x as fast [{r.low:.2f}, {r.high:.2f}], onnxruntime, {found.speed.threads} thread(s)",
        )
    if found.output is not None:
        end = f"wrote {found.output}" + ("" if found.ok else ", though it fails (--keep)")
    else:
        end = f"FAILED: loses {found.drop:.2f} points, more than {found.max_drop:g}; nothing was written (--keep)"
    notes = [f"note: {note}" for note in found.notes]
    return Group(title, made, *notes, verdict(found.ok, end, end))
