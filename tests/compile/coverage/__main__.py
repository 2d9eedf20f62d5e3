"""Which lines and branches of the kernels the networks of this folder ran: ``make coverage-c`` ends with it.

Three things end it with a message: a line or branch that did not run, a line that no build compiled, and builds that
are missing, because a compiler or an emulator is not installed.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.compile.coverage.builds import BUILDS
from tests.compile.instrument import OPTIMIZED
from toolchain.compile.generate import RUNTIME

ELSEWHERE = {
    "tile_s8_avx512.h": "VPDPBUSD as an instruction, which only a processor with AVX-512 VNNI has; the same function "
    "runs with the instruction written in C",
}
"""Files with lines that no compiler here sees, and what these are."""


def compiled() -> dict[str, set[int]]:
    """The lines of each kernel that some build's preprocessor lets through."""
    found: dict[str, set[int]] = {path.name: set() for path in RUNTIME.glob("*.[ch]")}
    sources = sorted(path.name for path in RUNTIME.glob("*.c"))
    for build in BUILDS.values():
        device = build.device()
        command = [device.compiler.path(), *device.flags, device.optimization, "-std=c99", "-E", "-fdirectives-only"]
        done = subprocess.run([*command, *sources], cwd=RUNTIME, capture_output=True, text=True, check=True)
        _survivors(done.stdout, found)
    return found


def _survivors(text: str, found: dict[str, set[int]]) -> None:
    lines, number = None, 0
    for line in text.splitlines():
        marker = re.match(r'# (\d+) "(.*?)"', line)
        if marker:
            lines, number = found.get(marker[2]), int(marker[1])
            continue
        if lines is not None and line.strip():
            lines.add(number)
        number += 1


def code(path: Path) -> dict[int, str]:
    """Lines that are neither empty, nor comments, nor for the preprocessor."""
    text = re.sub(r"/\*.*?\*/", lambda m: re.sub(r"[^\n]", " ", m[0]), path.read_text(encoding="utf-8"), flags=re.S)
    found, continued = {}, False
    for number, line in enumerate(text.splitlines(), 1):
        directive = continued or line.lstrip().startswith("#")
        if line.strip() and not directive:
            found[number] = line.strip()
        continued = directive and line.endswith("\\")
    return found


def uncompiled() -> list[str]:
    """``FILE:LINE: text`` of what no build sees."""
    seen = compiled()
    return [
        f"{path.name}:{number}: {line}"
        for path in sorted(RUNTIME.glob("*.[ch]"))
        for number, line in code(path).items()
        if number not in seen[path.name]
    ]


def main(folder: Path) -> int:
    gcovr = [Path(sys.executable).with_name("gcovr"), "--root", RUNTIME, "--merge-mode-functions", "separate"]
    parts = []
    for name in ("plain", "optimized"):
        only = [f"--filter={re.escape(str(RUNTIME / file))}" for file in OPTIMIZED] if name == "optimized" else []
        parts.append(folder / f"{name}.json")
        subprocess.run([*gcovr, *only, "--object-directory", folder / name, "--json", parts[-1], folder / name],
                       check=True)  # fmt: skip
    traced = [option for part in parts for option in ("--add-tracefile", part)]
    reports = ["--txt", "--txt-metric", "branch", "--txt-summary", "--html-details", folder / "index.html"]
    done = subprocess.run(
        [*gcovr, *traced, *reports, "--fail-under-line", "100", "--fail-under-branch", "100"], check=False
    )
    elsewhere = uncompiled()
    sys.stdout.write(f"{len(elsewhere)} lines that no build compiles:\n" + "".join(f"  {line}\n" for line in elsewhere))
    surprising = [line for line in elsewhere if line.split(":")[0] not in ELSEWHERE]
    if surprising:
        sys.stdout.write("Not all of them are in files that tests/compile/coverage/__main__.py lists.\n")
    return done.returncode or int(bool(surprising))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
