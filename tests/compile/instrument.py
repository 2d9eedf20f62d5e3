"""Builds of the kernels that watch themselves while any test of this folder runs them.

``ONNX_EDGE_KERNELS=coverage:FOLDER`` counts the lines and branches of `toolchain/runtime/` that run (``make
coverage-c``); ``ONNX_EDGE_KERNELS=sanitize`` builds every library with ASan and UBSan (``make sanitize-c``, which also
loads ASan's runtime before Python).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import FileLock

from tests.compile import running
from toolchain.compile import build, device, host
from toolchain.compile.build import objects, run
from toolchain.compile.generate import RUNTIME

VARIABLE = "ONNX_EDGE_KERNELS"
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-g")
COUNTERS = ("--coverage", "-fprofile-abs-path")
SECTION = "edge_gcov"
"""Of the counters of a program without files: a name from which linkers make the symbols of its two ends."""
OPTIMIZED = ("dual_s8_assembly.h", "scalar_f32_fpu.h")
"""What stands behind ``__OPTIMIZE__``: counted in builds with ``-Og``, where the lines of other files run together."""
DUMP = Path(__file__).parent / "coverage" / "dump.c"


@contextmanager
def instrumented() -> Iterator[None]:
    """Build libraries and programs as the environment asks."""
    wish, _, place = os.environ.get(VARIABLE, "").partition(":")
    if not wish:
        yield
        return
    assert wish in ("coverage", "sanitize"), f"{VARIABLE} is {wish!r}, expected coverage:FOLDER or sanitize"
    with pytest.MonkeyPatch.context() as patch:
        if wish == "coverage":
            counting = _Counting(Path(place).resolve())
            for module in (host, device):
                patch.setattr(module, "objects", counting)
                patch.setattr(module, "run", _linked_to_count)
        else:
            patch.delenv("LD_PRELOAD", raising=False)  # this process has ASan's runtime; compilers do better without
            for module in (host, running):
                patch.setattr(module, "objects", _sanitizing)
                patch.setattr(module, "run", _linked_to_check)
        yield


def _plain(flags: Sequence[str]) -> list[str]:
    """Without what a test chose of optimisation and sanitizers."""
    return [flag for flag in flags if not flag.startswith(("-O", "-fsanitize", "-fno-sanitize"))]


def _links(command: Sequence[str | Path]) -> bool:
    return "-o" in [str(part) for part in command]


def _linked_to_check(command: Sequence[str | Path], folder: Path) -> str:
    return run([command[0], *_checks(command[0]), *_plain([str(part) for part in command[1:]])], folder)


def _linked_to_count(command: Sequence[str | Path], folder: Path) -> str:
    """A program that writes its counters when it ends; without an operating system, through semihosting."""
    if not _links(command):
        return run(command, folder)
    tool, *rest = (str(part) for part in command)
    if not _bare(tool):
        return run([tool, "--coverage", *_plain(rest)], folder)
    flags = [part for part in rest if part.startswith("-m")]
    run([tool, *flags, "-O1", f"-I{RUNTIME / 'harness'}", "-c", DUMP, "-o", "dump.o"], folder)
    return run([tool, *rest, "dump.o", "-Wl,--wrap=port_exit", "-lgcov", "-lc", "-lgcc"], folder)


def _bare(compiler: str) -> bool:
    return "none-eabi" in compiler


def _sanitizing(
    compiler: Sequence[str | Path], flags: Sequence[str], sources: Sequence[str], folder: Path, into: Path
) -> tuple[Path, ...]:
    return objects(compiler, [*_plain(flags), "-Og", *_checks(compiler[0])], sources, folder, into)


def _checks(compiler: str | Path) -> tuple[str, ...]:
    """The runtime that Python has loaded is gcc's; clang's code goes without."""
    return SANITIZERS if "gcc" in Path(compiler).name else ()


class _Counting:
    """Each kernel is compiled once for each instruction set, so that all programs count into the same files.

    Without an operating system counters cannot be added to those of an earlier program: there each has its own.
    Compiled without optimisation, every line and branch is its own; ``-Og`` is kept, for :data:`OPTIMIZED`.
    """

    def __init__(self, into: Path) -> None:
        self.into = into

    def __call__(
        self, compiler: Sequence[str | Path], flags: Sequence[str], sources: Sequence[str], folder: Path, into: Path
    ) -> tuple[Path, ...]:
        level = "-Og" if "-Og" in flags else "-O0"
        made = []
        for source in sources:
            kernel = RUNTIME / source
            if "gcc" in str(compiler[0]) and kernel.is_file() and kernel.read_bytes() == (folder / source).read_bytes():
                kept = [flag for flag in _plain(flags) if not flag.endswith("_OBSERVE")]
                made.append(self._kernel(compiler, [*kept, level], source, into))
            else:
                made += objects(compiler, [*_plain(flags), level], [source], folder, into)
        return tuple(made)

    def _kernel(self, compiler: Sequence[str | Path], flags: Sequence[str], source: str, into: Path) -> Path:
        bare = _bare(str(compiler[0]))
        variant = f"{Path(compiler[0]).name} {' '.join(flags)} {into if bare else ''}"
        place = (
            self.into / ("optimized" if "-Og" in flags else "plain") / hashlib.sha256(variant.encode()).hexdigest()[:8]
        )
        place.mkdir(parents=True, exist_ok=True)
        (place / "flags.txt").write_text(f"{variant}\n", encoding="utf-8")
        made = (place / source).with_suffix(".o")
        counters = (*COUNTERS, f"-fprofile-info-section={SECTION}") if bare else COUNTERS
        with FileLock(f"{place}.lock"):
            if not made.exists():
                objects(compiler, [*flags, *counters], [source], RUNTIME, place)
        return made


assert build.objects is objects
