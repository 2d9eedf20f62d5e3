"""What a timing depends on besides the model."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

CPU_FOLDER = Path("/sys/devices/system/cpu/cpu0/cpufreq")
PACKAGES = ("onnxruntime", "onnxruntime-gpu", "onnx", "numpy")


@dataclass(frozen=True)
class Environment:
    """The machine during a run; ``None`` where it does not say.

    Attributes:
        cpu: the processor's own name.
        cores: logical cores that this process may use.
        governor: of the clock frequency.
        load: the mean number of processes that ran or waited in the last minute, before the benchmark.
        system: kernel and architecture.
        python: version.
        packages: name and version of each that is installed.
    """

    cpu: str
    cores: int
    governor: str | None
    load: float | None
    system: str
    python: str
    packages: tuple[tuple[str, str], ...]


def environment() -> Environment:
    """Look at this machine."""
    return Environment(
        cpu=_cpu(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        governor=_read(CPU_FOLDER / "scaling_governor"),
        load=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        packages=tuple((name, version) for name in PACKAGES if (version := _version(name))),
    )


def _cpu() -> str:
    text = _read(Path("/proc/cpuinfo")) or ""
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Model"):
            return value.strip()
    return platform.processor() or platform.machine()


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
