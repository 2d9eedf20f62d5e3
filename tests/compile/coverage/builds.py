"""Instruction sets for which kernels have code, each as a program that this machine or an emulator runs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from tests.compile.running import Feeds, write
from toolchain.compile.device import answers, executable
from toolchain.compile.generate import harness, sources
from toolchain.compile.targets import TARGETS, Target
from toolchain.compile.translate import Generated

EMULATED = Path(__file__).parents[1] / "emulated"


@dataclass(frozen=True)
class Build:
    """A compiler and its flags.

    Attributes:
        target: its compiler and its emulator.
        flags: besides the target's own.
        emulated: the instructions are those of ``tests/compile/emulated``, written in C.
        level: of optimisation.
        processor: of the emulator, where it has several.
        needs: what this machine's processor must have.
        board: a target whose emulator takes the place of the target's own, which has too little memory.
    """

    target: str = "host"
    flags: tuple[str, ...] = ()
    emulated: bool = False
    level: str = "-O0"
    processor: str = ""
    needs: str = ""
    board: str = ""

    def device(self) -> Target:
        """What compiles and runs programs."""
        found = TARGETS[self.target]
        if self.board:
            board = TARGETS[self.board]
            found = replace(found, run=board.run, memory=board.memory)
        include = (f"-I{EMULATED}",) if self.emulated else ()
        processor = ("-cpu", self.processor) if self.processor else ()
        return replace(
            found, flags=(*found.flags, *include, *self.flags), optimization=self.level, run=(*processor, *found.run)
        )


BUILDS = {
    "c99": Build(flags=("-U__SSE2__", "-DVECTOR_F32_PLAIN=4")),
    "c99-16": Build(flags=("-U__SSE2__", "-DVECTOR_F32_PLAIN=16")),
    "sse2": Build(),
    "sse4": Build(flags=("-msse4.1",), needs="sse4_1"),
    "avx2": Build(flags=("-mavx2", "-mfma"), needs="avx2"),
    "avx-vnni": Build(flags=("-mavx2", "-mfma", "-D__AVXVNNI__"), emulated=True, needs="avx2"),
    "avx512-vnni": Build(
        flags=("-mavx2", "-mfma", "-D__AVX512F__", "-D__AVX512VNNI__", "-DTILE_S8_NO_ASSEMBLER"),
        emulated=True,
        needs="avx2",
    ),
    "wasm": Build(flags=("-U__SSE2__", "-D__wasm_simd128__"), emulated=True),
    "neon": Build("aarch64", processor="cortex-a72"),
    "dotprod": Build("aarch64", ("-march=armv8.2-a+dotprod",), processor="max"),
    "i8mm": Build("aarch64", ("-march=armv8.2-a+dotprod+i8mm",), processor="max"),
    "neon-32": Build("armv7"),
    "thumb1": Build("cortex-m0", board="cortex-m7"),
    "dsp": Build("cortex-m4", board="cortex-m7"),
    "dsp-other": Build(
        "cortex-m4", ("-U__GNUC__", "-Wl,--allow-multiple-definition")
    ),  # as compilers that are not like gcc
    "dsp-assembly": Build("cortex-m4", level="-Og"),
    "mve": Build("cortex-m55"),
}


def usable(build: Build) -> None:
    """Skip what cannot be built or run here."""
    device = build.device()
    for tool in (device.compiler, device.emulator):
        if tool is not None and shutil.which(tool.name) is None:
            pytest.skip(f"{tool.name} is not installed (apt-get install {tool.package})")
    info = Path("/proc/cpuinfo")
    if build.needs and build.needs not in (info.read_text(encoding="utf-8").split() if info.exists() else []):
        pytest.skip(f"this processor has no {build.needs}")


def ran(made: Generated, build: Build, given: Feeds, folder: Path) -> Iterator[dict[str, np.ndarray]]:
    """Every layer's output for each sample."""
    device = build.device()
    write(made, folder / "c")
    (folder / "build").mkdir()
    text = harness(made.program, made.plan)
    binary = executable(folder / "c", made.program, sources(made.files), text, folder / "build", device)
    return answers(made.program, binary, given, device, folder / "build")
