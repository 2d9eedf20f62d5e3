"""``onnx-edge inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click
from rich.console import Group, RenderableType
from rich.text import Text

from toolchain.cli.common import MODEL, emit, json_option, printable, table

if TYPE_CHECKING:
    from toolchain.inspect import Inspection, Layer, Operators


def shapes(
    ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> dict[str, tuple[int, ...]] | tuple[int, ...] | None:
    """``1,3,224,224`` for the only input, or ``NAME=1,3,224,224`` for each of several."""
    del ctx, param
    found: dict[str, tuple[int, ...]] = {}
    for value in values:
        name, separator, numbers = value.rpartition("=")
        try:
            sizes = tuple(int(part) for part in numbers.split(","))
        except ValueError:
            raise click.BadParameter(f"{value!r} is no shape such as 1,3,224,224") from None
        if not separator:
            if len(values) > 1:
                raise click.BadParameter("with several shapes, name the input of each: NAME=1,3,224,224")
            return sizes
        found[name] = sizes
    return found or None


@click.command
@click.argument("model", type=MODEL, required=False)
@click.option(
    "--shape",
    multiple=True,
    metavar="[NAME=]N,C,H,W",
    callback=shapes,
    help="Shape of an input with free dimensions; a free batch is taken as 1.",
)
@click.option("--operators", is_flag=True, help="List the operators that are supported, and no model.")
@json_option
def command(
    model: Path | None,
    shape: dict[str, tuple[int, ...]] | tuple[int, ...] | None,
    operators: bool,
    as_json: bool,
) -> None:
    """Show the layers of MODEL: output sizes, parameters, multiply-accumulates, memory, receptive fields."""
    from toolchain.inspect import inspect
    from toolchain.inspect import operators as supported

    if operators:
        emit("inspect", supported(), as_json, render_operators)
        return
    if model is None:
        raise click.UsageError("Missing argument 'MODEL'; or give --operators")
    emit("inspect", inspect(model, shape=shape), as_json, render)


def render_operators(result: Operators) -> RenderableType:
    """The support table."""
    made = table("Operator", "Versions", title=f"{len(result.operators)} operators")
    for supported in result.operators:
        made.add_row(supported.operator, ", ".join(map(str, supported.versions)))
    return made


def render(result: Inspection) -> RenderableType:
    """Facts, layers and totals."""
    opsets = ", ".join(f"{domain or 'ai.onnx'} {version}" for domain, version in result.opsets.items())
    lines = [f"{result.model}: IR version {result.ir_version}, opset {opsets}, by {result.producer or 'unknown'}"]
    lines += [f"input {t.name}: {t.dtype} {_shape(t.shape)}" for t in result.inputs]
    lines += [f"output {t.name}: {t.dtype} {_shape(t.shape)}" for t in result.outputs]
    if result.image is not None:
        image = result.image
        lines.append(
            f"picture: {image.color}, {_by(image.content)} within {_by(image.size)}, "
            f"mean {list(image.mean)}, std {list(image.std)} of pixels scaled to 0..1"
        )
    if result.labels is not None:
        shown = ", ".join(result.labels[:10]) + (", ..." if len(result.labels) > 10 else "")
        lines.append(f"labels: {len(result.labels)} ({shown})")
    totals = (
        f"parameters {result.parameters:,} ({result.parameter_bytes:,} bytes); "
        f"multiply-accumulates {result.macs:,}; "
        f"activations {result.activation_bytes:,} bytes, at most {result.peak_bytes:,} at once"
    )
    parts: list[RenderableType] = [Text(printable("\n".join(lines))), "", _layers(result.layers), "", totals]
    parts += [Text(printable(f"not supported: {problem}"), "yellow") for problem in result.problems]
    return Group(*parts)


def _layers(layers: tuple[Layer, ...]) -> RenderableType:
    columns = ("Layer", "Operator", "Output", "Size along an axis", "Parameters")
    right = ("Dense would need", "MACs", "Bytes", "Sees")
    made = table(*columns, *right, right=("Parameters", *right))
    for layer in layers:
        if layer.constant and not layer.problem:
            continue
        made.add_row(
            layer.name,
            layer.operator,
            _shape(layer.shape),
            layer.formula,
            f"{layer.parameters:,}" if layer.parameters else "",
            f"{layer.dense_parameters:,}" if layer.dense_parameters is not None else "",
            f"{layer.macs:,}" if layer.macs else "",
            f"{layer.activation_bytes:,}",
            _by(layer.receptive_field) if layer.receptive_field is not None else "",
        )
    return made


def _shape(shape: tuple[int | str, ...] | None) -> str:
    return "?" if shape is None else f"[{', '.join(map(str, shape))}]"


def _by(sizes: tuple[int, ...]) -> str:
    return "x".join(map(str, sizes))
