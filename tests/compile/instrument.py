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

from toolchain.compile import host
from toolchain.compile.build import objects, run
from toolchain.compile.generate import RUNTIME

VARIABLE = "ONNX_EDGE_KERNELS"
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-g")


@contextmanager
def instrumented() -> Iterator[None]:
    """Build libraries as the environment asks."""
    wish, _, place = os.environ.get(VARIABLE, "").partition(":")
    if not wish:
        yield
        return
    assert wish in ("coverage", "sanitize"), f"{VARIABLE} is {wish!r}, expected coverage:FOLDER or sanitize"
    with pytest.MonkeyPatch.context() as patch:
        if wish == "coverage":
            patch.setattr(host, "objects", _Counting(Path(place).resolve()))
            patch.setattr(host, "run", _linking("--coverage"))
        else:
            patch.setattr(host, "objects", _sanitizing)
            patch.setattr(host, "run", _linking(*SANITIZERS))
        yield


def _plain(flags: Sequence[str]) -> list[str]:
    """Without what a test chose of optimisation and sanitizers."""
    return [flag for flag in flags if not flag.startswith(("-O", "-fsanitize", "-fno-sanitize"))]


def _linking(*more: str):
    def link(command: Sequence[str | Path], folder: Path) -> str:
        return run([command[0], *more, *_plain([str(part) for part in command[1:]])], folder)

    return link


def _sanitizing(
    compiler: Sequence[str | Path], flags: Sequence[str], sources: Sequence[str], folder: Path, into: Path
) -> tuple[Path, ...]:
    return objects(compiler, [*_plain(flags), "-O1", *SANITIZERS], sources, folder, into)


class _Counting:
    """Each kernel is compiled once for each instruction set, so that all libraries count into the same files."""

    def __init__(self, into: Path) -> None:
        self.into = into

    def __call__(
        self, compiler: Sequence[str | Path], flags: Sequence[str], sources: Sequence[str], folder: Path, into: Path
    ) -> tuple[Path, ...]:
        if "gcc" not in str(compiler[0]):
            return objects(compiler, [*_plain(flags), "-O0"], sources, folder, into)
        kept = [flag for flag in _plain(flags) if not flag.startswith("-D")]
        made = []
        for source in sources:
            kernel = (RUNTIME / source).is_file() and (RUNTIME / source).read_bytes() == (folder / source).read_bytes()
            if kernel:
                made.append(self._kernel(compiler, kept, source))
            else:
                made += objects(compiler, [*_plain(flags), "-O0"], [source], folder, into)
        return tuple(made)

    def _kernel(self, compiler: Sequence[str | Path], flags: Sequence[str], source: str) -> Path:
        variant = hashlib.sha256(" ".join(flags).encode()).hexdigest()[:8]
        place = self.into / variant
        place.mkdir(parents=True, exist_ok=True)
        made = (place / source).with_suffix(".o")
        if not made.exists():
            objects(compiler, [*flags, "-O0", "--coverage", "-fprofile-abs-path"], [source], RUNTIME, place)
        return made
