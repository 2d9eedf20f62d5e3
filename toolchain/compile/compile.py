"""The verb: model in, a folder of C out; on request built, run and judged."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import onnx_ir as ir

from toolchain.compile.build import run as run_tool
from toolchain.compile.device import answers, executable
from toolchain.compile.generate import harness, sources
from toolchain.compile.host import HostRun, shared_library
from toolchain.compile.identifiers import identifier
from toolchain.compile.judge import Verdict, judge
from toolchain.compile.memory import MemoryReport, measure
from toolchain.compile.targets import Target, target_of
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
    output: Path,
    name: str | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
    fused: bool = True,
    flash: int | None = None,
    ram: int | None = None,
    run: bool = False,
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
        name: prefix of all public names in C; from the model by default.
        shapes: of graph inputs with free dimensions other than the batch.
        fused: build layers into one another; otherwise every quantized tensor exists.
        flash: bytes of the chip's flash, if not the target's.
        ram: bytes of the chip's RAM, if not the target's.
        run: run it, on this machine or in the emulator, and compare every layer with the integer reference.
        data: samples to run.
        synthetic: this many random samples instead.
        seed: of the random samples.
        force: replace an earlier output.
        progress: called as samples are done.

    Raises:
        ToolchainError: the model has no exact C form, does not fit the target, or a tool is missing.
    """
    device = _sized(target_of(target), flash, ram)
    check_folder(output, force=force, mark=MARK)
    if run and data is None and synthetic is None:
        raise UsageError("nothing to run on; give --data NAME:SPLIT[:COUNT], an .npz, or --synthetic COUNT")
    loaded = load(model) if isinstance(model, Path | str) else model
    made = translate(loaded, name or default_name(loaded, model), shapes=shapes, fused=fused)
    if run and not any(step.call.output.quantization for step in made.program.steps):
        raise UsageError("--run compares the bytes of int8 models; judge a float one with `verify --backend c`")
    given = samples(loaded, data, synthetic=synthetic, seed=seed) if run else None
    report, verdict, files = _written(loaded, made, output, device, given, force, progress or silent)
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
    )


def _written(
    model: ir.Model,
    made: Generated,
    output: Path,
    target: Target,
    given: Samples | None,
    force: bool,
    progress: Progress,
) -> tuple[MemoryReport, Verdict | None, tuple[str, ...]]:
    """The folder: generated files, libraries, report; and the verdict of a run on samples."""
    verdict = None
    with replacing_folder(output, force=force, mark=MARK) as folder:
        for file, content in made.files.items():
            (folder / file).write_bytes(content)
        with tempfile.TemporaryDirectory(prefix="onnx-edge-") as work:
            report = _libraries(made, folder, Path(work), target)
        (folder / MARK).write_text(json.dumps(asdict(report), indent=2) + "\n", encoding="utf-8")
        if given is not None:
            with tempfile.TemporaryDirectory(prefix="onnx-edge-") as work:
                verdict = _judged(model, made, folder, Path(work), target, given, progress)
        files = tuple(sorted(path.name for path in folder.iterdir()))
    return report, verdict, files


def default_name(model: ir.Model, source: object) -> str:
    """The network's name in the metadata, else the file's, as a C identifier."""
    known = model.metadata_props.get(NETWORK_KEY) or model.graph.name or "network"
    stem = Path(source).name.split(".")[0] if isinstance(source, Path | str) else known
    return identifier(model.metadata_props.get(NETWORK_KEY) or stem or known, set()).lower()


def _sized(target: Target, flash: int | None, ram: int | None) -> Target:
    if flash is None and ram is None:
        return target
    if target.memory is None:
        raise UsageError(f"--flash and --ram are of microcontrollers; {target.name} has an operating system")
    return replace(
        target, memory=replace(target.memory, flash=flash or target.memory.flash, ram=ram or target.memory.ram)
    )


def _libraries(made: Generated, folder: Path, work: Path, target: Target) -> MemoryReport:
    """Compile for the target, put the libraries into the folder, and say what they take.

    Raises:
        UnsupportedError: the chip is too small.
        MissingError: no compiler.
    """
    report, objects = measure(made.program, made.plan, folder, sources(made.files), work, target)
    report.check(target)
    name = made.program.name
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
        library = shared_library(folder, made.program, sources(made.files), work, flags=(target.optimization,))
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
