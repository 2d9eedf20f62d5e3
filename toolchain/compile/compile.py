"""The verb: model in, a folder of C out; on request built, run and judged."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import onnx_ir as ir

from toolchain.compile import wasm
from toolchain.compile.build import run as run_tool
from toolchain.compile.device import answers, executable
from toolchain.compile.generate import harness, sources
from toolchain.compile.golden import digest, selftest
from toolchain.compile.host import HostRun, shared_library
from toolchain.compile.identifiers import identifier
from toolchain.compile.judge import Verdict, judge
from toolchain.compile.kernels.winograd import tiles_of
from toolchain.compile.march import delivered as with_march
from toolchain.compile.memory import MemoryReport, measure
from toolchain.compile.options import Options
from toolchain.compile.ports import integer_ports, integer_samples
from toolchain.compile.targets import Target
from toolchain.compile.translate import Generated, translate
from toolchain.data import Samples, samples
from toolchain.errors import UsageError
from toolchain.files import check_folder, replacing_folder
from toolchain.load import load
from toolchain.progress import Progress, silent

MARK = "memory.json"
NETWORK_KEY = "onnx_edge.network"


@dataclass(frozen=True)
class Compilation:
    """What was made.

    Attributes:
        model: the file, or the graph's name.
        target: name of the target.
        output: the folder.
        name: prefix of all public names in C.
        files: names of what lies in the folder.
        memory: read from the object files.
        floats: nodes of a quantized model that are computed in float, outside the promise of exactness.
        data: what it was run on; empty if it was not.
        verdict: of the run; ``None`` if it was not run.
        shared: layers that threads compute together.
    """

    model: str
    target: str
    output: Path
    name: str
    files: tuple[str, ...]
    memory: MemoryReport
    floats: tuple[str, ...]
    data: str
    verdict: Verdict | None
    shared: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """It was not run, or no byte differed."""
        return self.verdict is None or self.verdict.ok

    def to_dict(self) -> dict[str, object]:
        """As JSON-able values."""
        return {**asdict(self), "output": str(self.output), "ok": self.ok}


def compile(  # noqa: A001 - the verb's name
    model: ir.Model | Path | str,
    *,
    target: str = "host",
    output: Path | str,
    options: Options | None = None,
    run: bool = False,
    golden: int | None = None,
    data: str | None = None,
    synthetic: int | None = None,
    seed: int = 0,
    force: bool = False,
    progress: Progress | None = None,
) -> Compilation:
    """Compile a model to C for a target.

    Args:
        model: an ONNX file or model.
        target: a key of ``targets.TARGETS``.
        output: the folder to write.
        options: how the code is made.
        run: run it, on this machine or in the emulator, and compare every layer with the integer reference.
        golden: bake this many of the samples into a self-test for a device.
        data: samples to run, or to bake.
        synthetic: this many random samples instead.
        seed: of the random samples.
        force: replace an earlier output.
        progress: called as samples are done.

    Raises:
        ToolchainError: the model has no exact C form, does not fit the target, or a tool is missing.
    """
    chosen, output = options or Options(), Path(output)
    device = chosen.device(target)
    check_folder(output, force=force, mark=MARK)
    loaded = load(model) if isinstance(model, Path | str) else model
    given = samples(loaded, data, synthetic=synthetic, seed=seed) if run or golden else None
    named = chosen.name or default_name(loaded, model)
    if chosen.io == "int8":
        loaded, entries = integer_ports(loaded)
        given = None if given is None else integer_samples(given, entries)
    made = _translated(loaded, named, chosen, device)
    _check(made, chosen, run)
    baked, given = _selftest(model, loaded, made, given, golden), given if run else None
    report, verdict, files = _written(loaded, made, output, device, given, baked, force, progress or silent)
    return Compilation(
        model=str(model) if isinstance(model, Path | str) else (loaded.graph.name or "model"),
        target=device.name,
        output=output,
        name=made.program.name,
        files=files,
        memory=report,
        floats=made.floats,
        data="" if given is None else given.name,
        verdict=verdict,
        shared=tuple(step.name for step in made.program.steps if step.call.parts),
    )


def _check(made: Generated, options: Options, run: bool) -> None:
    """Refuse what would be asked for in vain.

    Raises:
        UsageError: no layer is computed as ``--winograd`` says, or ``--run`` would compare nothing.
    """
    if options.winograd and not tiles_of(made.program):
        raise UsageError(
            "--winograd applies to no layer here: it takes float convolutions of 3 x 3 with stride 1 and 16 channels "
            "or a multiple, where fewer products are faster; leave it out"
        )
    if run and not any(step.call.output.quantization for step in made.program.steps):
        raise UsageError("--run compares the bytes of int8 models; judge a float one with `verify --backend c`")


def _translated(model: ir.Model, name: str, options: Options, target: Target) -> Generated:
    """C for the kernels that a target has: vectors where there is an operating system."""
    return translate(
        model,
        name,
        shapes=options.shapes,
        fused=options.fused,
        wide=target.memory is None,
        winograd=options.winograd,
        kernels=target.kernels if options.mode == "fast" else "small",
        threads=options.threads,
    )


def _written(
    model: ir.Model,
    made: Generated,
    output: Path,
    target: Target,
    given: Samples | None,
    baked: Mapping[str, bytes],
    force: bool,
    progress: Progress,
) -> tuple[MemoryReport, Verdict | None, tuple[str, ...]]:
    """The folder: generated files, libraries, report; and the verdict of a run on samples."""
    verdict = None
    with replacing_folder(output, force=force, mark=MARK) as folder:
        delivered = wasm.files(made, target) if target.module else with_march(made.files, target)
        for file, content in (*delivered.items(), *baked.items()):
            (folder / file).write_bytes(content)
        with tempfile.TemporaryDirectory(prefix="onnx-edge-") as work:
            report = _libraries(made, folder, Path(work), target)
        (folder / MARK).write_text(json.dumps(asdict(report), indent=2) + "\n", encoding="utf-8")
        if given is not None:
            with tempfile.TemporaryDirectory(prefix="onnx-edge-") as work:
                verdict = _judged(model, made, folder, Path(work), target, given, progress)
        files = tuple(sorted(path.name for path in folder.iterdir()))
    return report, verdict, files


def _selftest(
    source: ir.Model | Path | str, model: ir.Model, made: Generated, given: Samples | None, count: int | None
) -> dict[str, bytes]:
    """The files of a self-test with the first samples; none if it was not asked for.

    Raises:
        UsageError: there are fewer.
    """
    if given is None or not count:
        return {}
    if count > len(given):
        raise UsageError(
            f"--golden {count} asks for more samples than the {len(given)} of {given.name}; give more data"
        )
    feeds = [given.feeds(i, i + 1) for i in range(count)]
    return selftest(model, made, feeds, digest(source))


def default_name(model: ir.Model, source: object) -> str:
    """The network's name in the metadata, else the file's, as a C identifier."""
    known = model.metadata_props.get(NETWORK_KEY) or model.graph.name or "network"
    stem = Path(source).name.split(".")[0] if isinstance(source, Path | str) else known
    return identifier(model.metadata_props.get(NETWORK_KEY) or stem or known, set()).lower()


def _libraries(made: Generated, folder: Path, work: Path, target: Target) -> MemoryReport:
    """Compile for the target, put the libraries into the folder, and say what they take.

    Raises:
        UnsupportedError: the chip is too small.
        MissingError: no compiler.
    """
    if target.module:
        wasm.check_tools(target)
    report, objects = measure(made.program, made.plan, folder, sources(made.files), work, target)
    report.check(target)
    name = made.program.name
    if target.module:
        wasm.link(name, objects, folder, target)
        return report
    run_tool([target.archiver.path(), "rcsD", folder / f"lib{name}.a", *objects], work)
    if target.memory is None:
        library = folder / f"lib{name}.so"
        run_tool([target.compiler.path(), *target.flags, "-shared", "-o", library, *objects, "-lm"], work)
    return report


def _judged(
    model: ir.Model,
    made: Generated,
    folder: Path,
    work: Path,
    target: Target,
    given: Samples,
    progress: Progress,
) -> Verdict:
    """Run on samples and compare."""
    feeds = [given.feeds(i, i + 1) for i in range(len(given))]
    if target.emulator is None:
        library = shared_library(
            folder, made.program, sources(made.files), work, flags=(*target.flags, target.optimization)
        )
        once = HostRun(library, made.program, made.plan.size)
        received: Any = (once(sample) for sample in feeds)
    else:
        text = harness(made.program, made.plan)
        binary = executable(folder, made.program, sources(made.files), text, work, target)
        received = answers(made.program, binary, feeds, target, work)

    def counted() -> Any:
        for done, layers in enumerate(received, 1):
            progress(done, len(feeds), f"samples on {target.name}")
            yield layers

    return judge(model, made.program, feeds, counted())
