"""Generated code built and run in a test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx_ir as ir

from toolchain.compile.generate import sources
from toolchain.compile.host import HostRun, shared_library
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
