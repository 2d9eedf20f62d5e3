"""``onnx-edge compile``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click
from rich.console import Group, RenderableType
from rich.text import Text

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
    verdict,
)
from toolchain.errors import UsageError

if TYPE_CHECKING:
    from toolchain.compile import Compilation


@click.command
@click.argument("model", type=MODEL, metavar="M.onnx")
@output_option(what="The folder to write.")
@click.option(
    "--target", default="host", show_default=True, metavar="NAME", help="host, cortex-m0|m3|m4|m7|m33|m55, ..."
)
@click.option("--name", metavar="PREFIX", help="Prefix of the names in C; by default the network's.")
@click.option(
    "--shape", "shapes", multiple=True, metavar="INPUT=1x3x32x32", help="Shape of an input with free dimensions."
)
@click.option("--no-fuse", is_flag=True, help="Keep every quantized tensor: slower, more memory, for finding faults.")
@click.option("--flash", type=click.IntRange(min=1), metavar="BYTES", help="Flash of your chip, if not the target's.")
@click.option("--ram", type=click.IntRange(min=1), metavar="BYTES", help="RAM of your chip, if not the target's.")
@click.option(
    "--march",
    metavar="LEVEL",
    help="Instruction set of --target host: native (this machine; the default), x86-64, x86-64-v3 (AVX2), x86-64-v4.",
)
@click.option(
    "--mode",
    default="fast",
    show_default=True,
    metavar="fast|small",
    help="Of a microcontroller: fast, or the smallest arena.",
)
@click.option(
    "--io",
    default="float",
    show_default=True,
    metavar="float|int8",
    help="int8: take and give the integers of a quantized model, without the borders to float.",
)
@click.option(
    "--winograd",
    is_flag=True,
    help="Float 3x3 convolutions with fewer products and a larger error, which `verify --backend c-winograd` bounds.",
)
@click.option(
    "--threads",
    type=click.IntRange(min=1, max=64),
    default=1,
    show_default=True,
    metavar="N",
    help="Share large layers out among N threads, with OpenMP; the results are the same.",
)
@click.option("--run", is_flag=True, help="Run it, here or in the emulator, and compare every layer's bytes.")
@click.option(
    "--golden",
    type=click.IntRange(min=1),
    metavar="N",
    help="Also write a self-test with N samples and each layer's checksum, whose log `verify --log` reads.",
)
@data_option(what="Samples for --run and --golden")
@synthetic_option
@seed_option
@force_option
@json_option
def command(
    model: Path,
    output: Path,
    target: str,
    name: str | None,
    shapes: tuple[str, ...],
    no_fuse: bool,
    flash: int | None,
    ram: int | None,
    march: str | None,
    winograd: bool,
    mode: str,
    io: str,
    threads: int,
    run: bool,
    golden: int | None,
    data: str | None,
    synthetic: int | None,
    seed: int,
    force: bool,
    as_json: bool,
) -> None:
    """Write M.onnx as C99 for a target, and say what memory it takes.

    An int8 model's C gives the bytes that exact arithmetic gives, with any compiler on any device. --run shows it
    on samples; exit code 1 if a byte differs.
    """
    from toolchain.compile import Options
    from toolchain.compile import compile as compile_model

    options = Options(
        name=name,
        shapes=dict(_shape(text) for text in shapes),
        fused=not no_fuse,
        flash=flash,
        ram=ram,
        march=march,
        winograd=winograd,
        mode=mode,
        io=io,
        threads=threads,
    )
    with progress_bar() as progress:
        result = compile_model(
            model,
            target=target,
            output=output,
            options=options,
            run=run,
            golden=golden,
            data=data,
            synthetic=synthetic,
            seed=seed,
            force=force,
            progress=progress,
        )
    emit("compile", result, as_json, render)


def _shape(text: str) -> tuple[str, tuple[int, ...]]:
    """``INPUT=1x3x32x32``."""
    name, equals, sizes = text.rpartition("=")
    if not equals or not all(size.isdigit() for size in sizes.split("x")):
        raise UsageError(f"--shape {text!r} is not of the form INPUT=1x3x32x32")
    return name, tuple(int(size) for size in sizes.split("x"))


def render(result: Compilation) -> RenderableType:
    """Layers, memory, and the verdict of a run."""
    heads = ("Layer", "Kernel", "Constants", "Arena in use", "Compared", "Differing")
    made = table(*heads, title=f"{result.name} for {result.target}, bytes", right=heads[2:])
    judged = {} if result.verdict is None else {layer.name: layer for layer in result.verdict.layers}
    for layer in result.memory.layers:
        own = judged.get(layer.name)
        counts = ("", "") if own is None else (f"{own.compared:,}", f"{own.differing:,}")
        made.add_row(layer.name, layer.kernel, f"{layer.constants:,}", f"{layer.living:,}", *counts)
    m = result.memory
    path = " > ".join(f"{function} {frame}" for function, frame in m.path)
    lines: list[RenderableType] = [
        f"arena     {m.arena:>10,}  no arena can be smaller than {m.arena_bound:,}",
        f"constants {m.constants:>10,}  weights, biases, multipliers, tables",
        f"code      {m.code:>10,}  and {m.parameters:,} of layers' parameters",
        f"stack     {m.stack:>10,}  {path}" if path else "stack     not measured by this compiler",
    ]
    if result.shared:
        lines.append(f"threads   {', '.join(result.shared)} are shared out")
    lines += [
        f"float     node {node!r} is computed in float, outside the promise of exactness" for node in result.floats
    ]
    return Group(made, *lines, _end(result))


def _end(result: Compilation) -> Text:
    """One line."""
    wrote = f"wrote {len(result.files)} files to {result.output}"
    if result.verdict is None:
        return verdict(True, wrote, wrote)
    v = result.verdict
    run = f"{v.samples} samples of {result.data} on {result.target}: {v.compared:,} values"
    first = next((layer for layer in v.layers if layer.first is not None), None)
    if first is None or first.first is None:
        return verdict(v.ok, f"{run}, all as exact arithmetic gives them; {wrote}", f"{run}: nothing could be compared")
    sample, index, want, got = first.first
    bad = f"{run}, {v.differing:,} differ; the first layer that departs is {first.name}"
    return verdict(False, "", f"{bad}: sample {sample}, element {index}, expected {want:g}, received {got:g}")
