"""For which processor of its family a host's code is compiled."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import replace

from toolchain.compile.targets import Target
from toolchain.errors import UnknownNameError, UsageError

NATIVE = "native"
HOST = "host"
LEVELS: dict[str, tuple[str, ...]] = {
    "x86_64": (NATIVE, "x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4"),
    "aarch64": (NATIVE, "armv8-a", "armv8.2-a+dotprod", "armv8.6-a+i8mm"),
}
"""By machine: what ``-march`` may say. x86-64-v3 has AVX2 and FMA, x86-64-v4 AVX-512 (x86-64 psABI, section 3.1.1)."""


def levels() -> tuple[str, ...]:
    """What this machine can choose from."""
    return LEVELS.get(platform.machine(), (NATIVE,))


def marched(target: Target, march: str | None, *, winograd: bool = False) -> Target:
    """A target that is compiled for a given level of its family; the host for this very processor where none is given.

    Code for a higher level than the processor's stops with an illegal instruction.

    Raises:
        UsageError: the target is not the host, or has not the memory for Winograd's algorithm.
        UnknownNameError: there is no such level.
    """
    if winograd and target.memory is not None:
        raise UsageError(f"--winograd needs memory that {target.name} has not; leave it out")
    if target.name != HOST:
        if march is not None:
            raise UsageError(f"--march is of --target {HOST}; {target.name} says its processor itself; leave it out")
        return target
    chosen = march or NATIVE
    if chosen not in levels():
        raise UnknownNameError("instruction set", chosen, levels())
    return replace(target, flags=(*target.flags, f"-march={chosen}"))


def delivered(files: Mapping[str, bytes], target: Target) -> dict[str, bytes]:
    """Generated files whose build files say the processor that the target was compiled for; the others unchanged."""
    chosen = next((flag for flag in target.flags if target.name == HOST and flag.startswith("-march=")), "")
    level = chosen.removeprefix("-march=").encode()
    changed = {
        "Makefile": (b"MARCH ?=", b"MARCH ?= " + level),
        "CMakeLists.txt": (b'MARCH ""', b'MARCH "' + level + b'"'),
    }
    return {
        name: content.replace(*changed[name], 1) if level and name in changed else content
        for name, content in files.items()
    }
