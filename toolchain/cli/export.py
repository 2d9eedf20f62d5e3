"""``onnx-edge export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from toolchain.cli.common import FILE, emit, force_option, json_option, output_option, progress_bar
from toolchain.errors import FileError

if TYPE_CHECKING:
    from toolchain.exported import Exported


def numbers(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[float, ...] | None:
    """``0.485,0.456,0.406``."""
    del ctx, param
    if value is None:
        return None
    try:
        return tuple(float(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(f"{value!r} is no list of numbers such as 0.5,0.5,0.5") from None


def image_shape(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, int, int] | None:
    """``3,224,224``."""
    del ctx, param
    if value is None:
        return None
    try:
        channels, height, width = (int(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(f"{value!r} is no CHANNELS,HEIGHT,WIDTH such as 3,224,224") from None
    return channels, height, width


def batch_size(ctx: click.Context, param: click.Parameter, value: str) -> int | str:
    """A number, or ``dynamic``."""
    del ctx, param
    return int(value) if value.isdecimal() else value


@click.command
@click.argument("net", metavar="NET")
@click.option("--weights", type=FILE, help="A .safetensors file; by default the network's own.")
@output_option(what="The ONNX file to write.")
@click.option(
    "--batch",
    default="1",
    show_default=True,
    metavar="N|dynamic",
    callback=batch_size,
    help="Fixed batch size, or dynamic for a free one.",
)
@click.option("--opset", type=int, default=20, show_default=True, help="Operator set of ai.onnx.")
@click.option("--seed", type=click.IntRange(min=0), help="Random weights of this seed, not trained ones.")
@click.option(
    "--shape",
    metavar="C,H,W",
    callback=image_shape,
    help="Input of a network of your own that does not say it.",
)
@click.option("--mean", metavar="M,...", callback=numbers, help="Per channel, subtracted from pixels scaled to 0..1.")
@click.option("--std", metavar="S,...", callback=numbers, help="Per channel, divides after that.")
@click.option("--labels", type=FILE, help="A text file with the name of one class a line.")
@click.option("--trust-pickle", is_flag=True, help="Allow weights in a .pth or .pt file.")
@force_option
@json_option
def command(
    net: str,
    weights: Path | None,
    output: Path,
    batch: int | str,
    opset: int,
    seed: int | None,
    shape: tuple[int, int, int] | None,
    mean: tuple[float, ...] | None,
    std: tuple[float, ...] | None,
    labels: Path | None,
    trust_pickle: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Write network NET as an ONNX file, after it was compared with PyTorch and judged.

    NET is a network of the zoo (lenet5, lenet5-relu, lenet5-fashion, example-cnn, alexnet,
    alexnet-torchvision, vgg16) or your own as package.module:callable.
    """
    from toolchain.export import export

    names = None if labels is None else _lines(labels)
    with progress_bar() as progress:
        result = export(
            net,
            weights=weights,
            output=output,
            batch=batch,
            opset=opset,
            force=force,
            trust_pickle=trust_pickle,
            seed=seed,
            shape=shape,
            mean=mean,
            std=std,
            labels=names,
            progress=progress,
        )
    emit("export", result, as_json, render)


def _lines(path: Path) -> list[str]:
    """The lines of a text file."""
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise FileError(f"{path} is no text in UTF-8: {error}; expected the name of one class a line") from error


def render(result: Exported) -> str:
    """What was written, and why it can be trusted."""
    agreement = result.agreement
    return "\n".join(
        (
            f"{result.output}: {result.network}, {result.size:,} bytes, {result.nodes} nodes, "
            f"{result.parameters:,} parameters, opset {result.opset}, batch {result.batch}",
            f"PyTorch: differs by {agreement.difference:.2g} on {agreement.samples} inputs "
            f"(float32 rounding alone: {agreement.float32_error:.2g})",
            f"ONNX Runtime: all {result.judged} tensors within their bounds; closest is {result.worst} "
            f"at {result.worst_ratio:.2g} of its sound limit",
            f"sha256 {result.sha256}",
        )
    )
