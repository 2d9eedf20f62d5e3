"""``onnx-edge verify``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click
from click.exceptions import Exit
from rich.console import Group
from rich.text import Text

from toolchain.cli.apart import coarse, judge_apart, nameless
from toolchain.cli.common import (
    FILE,
    MODEL,
    console,
    data_option,
    emit,
    force_option,
    json_option,
    printable,
    progress_bar,
    seed_option,
    synthetic_option,
    table,
    threads_option,
)
from toolchain.cli.log import judge_log
from toolchain.errors import UsageError
from toolchain.files import check_folder, check_output, write_bytes

if TYPE_CHECKING:
    from toolchain.verify import Verification
    from toolchain.verify.options import Options

STYLES = {"ok": "green", "suspect": "yellow", "vacuous": "bold red", "defect": "bold red"}


@click.command
@click.argument("model", type=MODEL, metavar="M.onnx", required=False)
@click.argument("other", type=MODEL, metavar="[OTHER.onnx]", required=False)
@click.option(
    "--backend",
    default="ort-cpu",
    show_default=True,
    metavar="NAME",
    help="What is judged: ort-cpu, ort-cuda, c, c-cortex-m7, ...",
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
@click.option(
    "--minimize",
    "folder",
    type=FILE,
    metavar="DIR",
    help="Where there is a finding: write the smallest model and input that still show it.",
)
@click.option(
    "--log",
    type=FILE,
    metavar="FILE",
    help="Judge a device by the log of its self-test (`compile --golden`) instead; M.onnx may be left out.",
)
@click.option("--html", type=FILE, metavar="FILE", help="Write the verdict as one HTML page, with a map of each error.")
@force_option
@json_option
def command(
    model: Path | None,
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
    folder: Path | None,
    log: Path | None,
    html: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Judge a backend on M.onnx node by node, against an interpreter in float64.

    Every tensor of the graph that runs is compared with what its nodes give, exactly, for the backend's own
    inputs. Beyond the sound limit, which holds for any order of summing, is a defect: exit code 1, and the node
    is named. With OTHER.onnx the backend runs that file, and is judged by the meaning of M.onnx; where the two share
    too few names of tensors, each is judged by itself, and their outputs are compared in float64.
    """
    from toolchain.verify import verify
    from toolchain.verify.options import MARK, Options

    if log is not None:
        if data is not None or synthetic is not None or other is not None:
            raise UsageError("--log judges a device on the samples of its self-test; leave out OTHER.onnx and data")
        judge_log(log, model, as_json)
        return
    if model is None:
        raise UsageError("nothing to judge; give a model M.onnx, or the log of a device's self-test with --log FILE")
    _check_outputs(html, folder, MARK, (model, other), force=force)
    options = Options(
        backend=backend,
        optimization=optimization,
        threads=threads,
        provider_options=(("use_tf32", "0"),) if no_tf32 else (),
        exact_int8=exact_int8,
    )
    how: dict[str, Any] = {**asdict(options), "provider_options": dict(options.provider_options)}
    if other is not None and nameless(model, other):
        if html is not None or folder is not None:
            raise UsageError(f"{model} and {other} share no inner tensor's name; --html and --minimize need some")
        judge_apart(model, other, data, synthetic, seed, how, as_json)
        return
    with progress_bar() as progress:
        result = verify(model, other, data=data, synthetic=synthetic, seed=seed, progress=progress, **how)
    _page(html, model, result, force=force)
    if folder is not None and (result.defects or result.suspects):
        _minimized(result, (model, other), (data, synthetic, seed), folder, options, force=force)
    if other is not None and result.ok and coarse(result):
        judge_apart(model, other, data, synthetic, seed, how, as_json)
        return
    emit("verify", result, as_json, render)
    if strict and (result.suspects or (result.probe is not None and not result.probe.agrees)):
        raise Exit(1)


def _check_outputs(
    html: Path | None, folder: Path | None, mark: str, inputs: tuple[Path | None, ...], *, force: bool
) -> None:
    """Refuse outputs that exist, and a model as one, before any work is done for them."""
    if html is not None:
        if any(model is not None and html.absolute() == model.absolute() for model in inputs):
            raise UsageError(f"{html} is the model itself; give the page another name")
        check_output(html, force=force)
    if folder is not None:
        check_folder(folder, force=force, mark=mark)


def _page(path: Path | None, model: Path, result: Verification, *, force: bool) -> None:
    """Write the verdict as a page, if one is wanted."""
    if path is None:
        return
    from toolchain.report import of_verification
    from toolchain.report import render as page

    write_bytes(path, page(of_verification(f"Verdict on {model.name}", result)).encode(), force=force)


def _minimized(
    result: Verification,
    models: tuple[Path, Path | None],
    data: tuple[str | None, int | None, int],
    folder: Path,
    options: Options,
    *,
    force: bool,
) -> None:
    """Write the smallest model that shows the finding, and say on stderr how to see it again."""
    from toolchain.verify.minimize import minimize

    given, synthetic, seed = data
    try:
        with progress_bar() as progress:
            made = minimize(
                result,
                *models,
                folder,
                data=given,
                synthetic=synthetic,
                seed=seed,
                options=options,
                force=force,
                progress=progress,
            ).describe()
    except UsageError as error:
        # The verdict stands all the same, and is printed.
        made = f"not minimized: {error}"
    console(stderr=True).print(Text(printable(made)), soft_wrap=True)


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
    return Group(made, *_integers(result), *_whole(result), *_asked(result), _verdict(result))


def _integers(result: Verification) -> list[Text]:
    """How the integers of a quantized model differ from the exact ones, by class, tensor by tensor."""
    counts = result.deviations
    islands = [
        Text(printable(f"  not exact, judged as floats: {r.name}: {r.deviations.island}"), STYLES["suspect"])
        for r in result.regions
        if r.deviations is not None and r.deviations.island
    ]
    if not counts.elements:
        return islands
    style = "defect" if counts.wrong else "ok"
    differ = f"{counts.total:,} of {counts.elements:,} are not the exact ones: {counts.counts()}"
    told = differ if counts.total else f"all {counts.elements:,} are the exact ones"
    lines = [Text(f"integers: {told}", STYLES[style])]
    lines += [
        Text(printable(f"  {r.name}: {r.deviations.describe()}"), STYLES[style])
        for r in result.regions
        if r.deviations is not None and r.deviations.wrong
    ]
    return lines + islands


def _asked(result: Verification) -> list[Text]:
    """Where the backend's arithmetic is not what its options say."""
    if result.probe is None or not result.probe.describe():
        return []
    style = STYLES["ok" if result.probe.agrees else "suspect"]
    return [Text(printable(f"arithmetic: {result.probe.describe()}"), style)]


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
    if result.vacuous:
        return Text(printable(f"not certified ({about}): {result.vacuous[0].describe()}"), STYLES["vacuous"])
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
        why = f"{first.name} at {first.probable_ratio:.2g} of its probable limit"
        if first.distribution is not None and first.distribution.suspicious:
            why = first.describe()
        return Text(
            printable(f"equivalent, with {len(result.suspects)} suspicions ({about}); the first is {why}; {worst}"),
            STYLES["suspect"],
        )
    return Text(
        printable(f"equivalent ({about}): {len(result.regions)} tensors within their limits, {worst}"), STYLES["ok"]
    )
