"""Compilers: find them, run them, say which package brings a missing one."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from toolchain.errors import MissingError

WARNINGS = ("-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Werror")
PATIENCE = 600
"""Seconds after which a tool has hung."""


def find(tool: str, package: str) -> str:
    """The path of a tool.

    Raises:
        MissingError: it is not installed; names the package of Debian that brings it.
    """
    found = shutil.which(tool)
    if found is None:
        raise MissingError(f"{tool} is not installed; install it (Debian, Ubuntu: apt-get install {package})")
    return found


def run(command: Sequence[str | Path], folder: Path) -> str:
    """Run a tool in a folder; what it prints on stdout.

    Raises:
        MissingError: it fails; its first complaint is in the message.
    """
    try:
        done = subprocess.run(
            [str(part) for part in command], cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise MissingError(f"{command[0]} did not end within {PATIENCE} seconds; check its installation") from error
    if done.returncode:
        complaint = " ".join((done.stderr or done.stdout).split())[:400]
        raise MissingError(f"{Path(str(command[0])).name} failed: {complaint}; check its installation and version")
    return done.stdout


def objects(
    compiler: Sequence[str | Path], flags: Sequence[str], sources: Sequence[str], folder: Path, into: Path
) -> tuple[Path, ...]:
    """Compile each source by itself.

    Args:
        compiler: the command and what always follows it.
        flags: options.
        sources: names in ``folder``.
        folder: of the sources; the working directory.
        into: existing folder for objects and ``.su`` files.
    """
    made = []
    for source in sources:
        target = (into / source).with_suffix(".o")
        own = flags if source.endswith(".c") else [flag for flag in flags if not flag.startswith(("-W", "-std="))]
        run([*compiler, *own, "-I.", "-c", source, "-o", target], folder)
        made.append(target)
    return tuple(made)
