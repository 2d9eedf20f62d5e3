"""``onnx-edge verify``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click
from click.exceptions import Exit
from rich.console import Group
from rich.text import Text

from toolchain.cli.common import (
    MODEL,
    data_option,
    emit,
    json_option,
    printable,
    progress_bar,
    seed_option,
    synthetic_option,
    table,
    threads_option,
)

if TYPE_CHECKING:
    from toolchain.verify import Verification

STYLES = {"ok": "green", "suspect": "yellow", "defect": "bold red"}


@click.command
@click.argument("model", type=MODEL, metavar="M.onnx")
@click.argument("other", type=MODEL, metavar="[OTHER.onnx]", required=False)
@click.option(
    "--backend", default="ort-cpu", show_default=True, metavar="NAME", help="What is judged: ort-cpu, ort-cuda, ..."
)
@data_option(what="Real samples; a few dozen do")
@synthetic_option
@seed_option
@click.option(
    "--optimization",
    default="all",
    show_default=True,
    metavar="LEVEL",
    help="How far the runtime may optimise its graph: off, basic, extended, all.",
)
@threads_option
@click.option("--no-tf32", is_flag=True, help="CUDA: do not round factors of float32 products to TF32.")
@click.option(
    "--exact-int8",
    is_flag=True,
    help="x86 without VNNI: let the runtime use kernels whose 16-bit sums cannot saturate; its default ones can.",
)
@click.option("--strict", is_flag=True, help="A suspicion (beyond the probable limit) fails too.")
@json_option
def command(
    model: Path,
    other: Path | None,
    backend: str,
    data: str | None,
    synthetic: int | None,
    seed: int,
    optimization: str,
    threads: int,
    no_tf32: bool,
    exact_int8: bool,
    strict: bool,
    as_json: bool,
) -> None:
    """Judge a backend on M.onnx node by node, against an interpreter in float64.

    Every tensor of the graph that runs is compared with what its nodes give, exactly, for the backend's own
    inputs. Beyond the sound limit, which holds for any order of summing, is a defect: exit code 1, and the node
    is named. With OTHER.onnx the backend runs that file, and is judged by the meaning of M.onnx.
    """
    from toolchain.verify import verify

    with progress_bar() as progress:
        result = verify(
            model,
            other,
            backend=backend,
            data=data,
            synthetic=synthetic,
            seed=seed,
            optimization=optimization,
            threads=threads,
            provider_options={"use_tf32": "0"} if no_tf32 else None,
            exact_int8=exact_int8,
            progress=progress,
        )
    emit("verify", result, as_json, render)
    if strict and result.suspects:
        raise Exit(1)


def render(result: Verification) -> Group:
    """A row for every judged tensor, and the verdict."""
    heads = ("Nodes", "Operators", "Elements", "Largest error", "of sound", "of probable", "Status")
    made = table(*heads, right=heads[2:6])
    for region in result.regions:
        made.add_row(
            region.name,
            region.arithmetic,
            f"{region.elements:,}",
            f"{region.max_error:.3g}",
            f"{region.sound_ratio:.3g}",
            f"{region.probable_ratio:.3g}",
            Text(region.status, STYLES[region.status]),
        )
    return Group(made, *_whole(result), _verdict(result))


def _whole(result: Verification) -> list[str]:
    """How the answers of the whole model compare."""
    if result.end_to_end is None:
        return []
    whole = result.end_to_end
    return [
        f"from input to output: {whole.agree} of {whole.samples} answers are the reference's, "
        f"largest difference {whole.max_error:.3g}"
    ]


def _verdict(result: Verification) -> Text:
    """One line that names the node."""
    about = f"{result.backend}, {result.samples} samples of {result.data}"
    if result.defects:
        return Text(printable(f"not equivalent ({about}): {result.defects[0].describe()}"), STYLES["defect"])
    if result.unobserved:
        names = ", ".join(result.unobserved)
        return Text(printable(f"not judged ({about}): no observed tensor depends on {names}"), STYLES["defect"])
    if not result.undisturbed:
        return Text(f"not judged ({about}): observing the runtime changed its outputs", STYLES["defect"])
    if result.worst is None:
        return Text(f"not judged ({about}): the model has no node", STYLES["defect"])
    worst = f"the worst, {result.worst.name}, at {result.worst.sound_ratio:.2g} of its sound limit"
    if result.suspects:
        first = result.suspects[0]
        return Text(
            printable(
                f"equivalent, with {len(result.suspects)} suspicions ({about}); the first is {first.name} at "
                f"{first.probable_ratio:.2g} of its probable limit; {worst}"
            ),
            STYLES["suspect"],
        )
    return Text(
        printable(f"equivalent ({about}): {len(result.regions)} tensors within their limits, {worst}"), STYLES["ok"]
    )
