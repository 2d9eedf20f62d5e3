"""Generated code built and run in a test."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import onnx_ir as ir

from toolchain.compile.build import WARNINGS, objects, run
from toolchain.compile.generate import RUNTIME, sources
from toolchain.compile.host import OBSERVER, HostRun, shared_library
from toolchain.compile.judge import Verdict, judge
from toolchain.compile.translate import Generated, translate

Feeds = Sequence[dict[str, np.ndarray]]


def write(made: Generated, folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name, content in made.files.items():
        (folder / name).write_bytes(content)
    return folder


def on_host(made: Generated, folder: Path, *, compiler: str = "gcc", flags: Sequence[str] = ("-O1",)) -> HostRun:
    write(made, folder / "c")
    (folder / "build").mkdir()
    library = shared_library(
        folder / "c", made.program, sources(made.files), folder / "build", compiler=compiler, flags=flags
    )
    return HostRun(library, made.program, made.plan.size)


def judged(model: ir.Model, feeds: Feeds, folder: Path, *, fused: bool = True, **build: object) -> Verdict:
    made = translate(model, "net", fused=fused)
    run = on_host(made, folder, **build)  # type: ignore[arg-type]
    return judge(model, made.program, feeds, (run(sample) for sample in feeds))


@cache
def _folder(compiler: str, flags: tuple[str, ...]) -> Path:
    """Of the kernels built with some flags."""
    del compiler, flags
    folder = Path(tempfile.mkdtemp(prefix="onnx-edge-kernels-"))
    for path in RUNTIME.glob("*.[ch]"):
        shutil.copy(path, folder)
    return folder


@cache
def kernel(compiler: str, flags: tuple[str, ...], file: str) -> Path:
    """A kernel's object, built once: many small networks link against it."""
    folder = _folder(compiler, flags)
    return objects([compiler], [*WARNINGS, *flags, "-fPIC"], [file], folder, folder)[0]


def linked(
    made: Generated, folder: Path, flags: Sequence[str], *, compiler: str = "gcc", instead: Sequence[Path] = ()
) -> HostRun:
    """A network's own files built, and linked with each :func:`kernel`, or an object of its name in ``instead``."""
    write(made, folder)
    name = made.program.name
    (folder / "observer.c").write_text(OBSERVER.format(name=name), encoding="utf-8")
    own = [file for file in sources(made.files) if file.startswith(name)]
    options = [*WARNINGS, *flags, "-fPIC", f"-D{name.upper()}_OBSERVE"]
    units = objects([compiler], options, [*own, "observer.c"], folder, folder)
    replaced = {path.stem for path in instead}
    called = [file for file in sources(made.files) if file not in own and Path(file).stem not in replaced]
    shared = [kernel(compiler, tuple(flags), file) for file in called]
    library = folder / f"lib{name}.so"
    run([compiler, *flags, "-shared", "-o", library, *units, *instead, *shared, "-lm"], folder)
    return HostRun(library, made.program, made.plan.size)


def quickly_judged(
    model: ir.Model, feeds: Feeds, folder: Path, flags: Sequence[str], *, fused: bool, wide: bool = False
) -> Verdict:
    """As :func:`judged`, with kernels that are built once."""
    made = translate(model, "net", fused=fused, wide=wide)
    run_once = linked(made, folder, flags)
    return judge(model, made.program, feeds, (run_once(sample) for sample in feeds))
