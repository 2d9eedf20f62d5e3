"""The generated code as a program that reads samples from a file: for devices, emulated or real."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.compile.build import WARNINGS, objects, run
from toolchain.compile.host import split
from toolchain.compile.program import Program
from toolchain.compile.targets import HARNESS, Target
from toolchain.compile.tensor import Element
from toolchain.errors import MissingError

Array = NDArray[Any]
HARNESS_SOURCE = "harness.c"


def executable(
    folder: Path,
    program: Program,
    sources: Sequence[str],
    harness: str,
    into: Path,
    target: Target,
    flags: Sequence[str] = (),
) -> Path:
    """Build the network with the harness.

    Args:
        folder: of the generated files.
        program: what they compute.
        sources: names of the files to compile.
        harness: text of the harness.
        into: existing folder for all that is built.
        target: where it will run.
        flags: of compiling, besides the target's own.

    Raises:
        MissingError: the compiler is not installed, or fails.
    """
    compiler = target.compiler.path()
    for file in ("port.h", *target.port, "cortex_m.ld"):
        shutil.copy(HARNESS / file, into / file)
    (into / HARNESS_SOURCE).write_text(harness, encoding="utf-8")
    options = [*WARNINGS, *target.flags, target.optimization, *flags]
    observed = [*options, f"-D{program.name.upper()}_OBSERVE"]
    made = objects([compiler], observed, sources, folder, into)
    made += objects([compiler, f"-I{folder}"], observed, [HARNESS_SOURCE, *target.port], into, into)
    result = into / f"{program.name}.elf"
    memory = target.memory
    places = (
        []
        if memory is None
        else [
            f"-Wl,--defsym={name}={value}"
            for name, value in (
                ("flash_origin", memory.flash_origin),
                ("flash_size", memory.flash),
                ("ram_origin", memory.ram_origin),
                ("ram_size", memory.ram),
            )
        ]
    )
    run([compiler, *target.flags, *flags, *places, *target.link, "-o", result, *made, "-lm"], into)
    return result


def answers(
    program: Program, binary: Path, feeds: Sequence[dict[str, Array]], target: Target, into: Path
) -> Iterator[dict[str, Array]]:
    """Every layer's output for each sample, in ONNX's order and shape, by name.

    Args:
        program: what the binary computes.
        binary: from :func:`executable`.
        feeds: samples of batch 1.
        target: runs it.
        into: existing folder for the files that it reads and writes.

    Raises:
        MissingError: the emulator is not installed, or the program fails in it.
    """
    with (into / "input.bin").open("wb") as file:
        for sample in feeds:
            for tensor in program.inputs:
                kind = {Element.FLOAT: "<f4", Element.INT8: "i1", Element.UINT8: "u1"}[tensor.element]
                file.write(np.ascontiguousarray(sample[tensor.name], dtype=kind).tobytes())
    (into / "output.bin").unlink(missing_ok=True)
    command = [] if target.emulator is None else [target.emulator.path(), *target.run]
    run([*command, binary], into)
    size = sum(step.call.output.bytes for step in program.steps)
    content = (into / "output.bin").read_bytes()
    if len(content) != size * len(feeds):
        raise MissingError(
            f"{binary.name} on {target.name} wrote {len(content)} bytes, expected {size * len(feeds)}; it stopped early"
        )
    for start in range(0, len(content), size):
        yield split(program, content[start : start + size])
