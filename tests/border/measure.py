"""Time and memory of loading files, in a process of its own: ``python -m tests.border.measure FILE ...``.

Prints one line of JSON a file. Time is the processor's (user and system), from the call of ``load`` to its answer; the
best of several loads, since another program on the same core can only add to it. Memory is the peak of resident
pages above what the process had after its imports and one small model. The address space is limited as well, so that
a file that asks for far more fails instead of slowing the machine down.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

from tests.border.attack import model
from toolchain.errors import ToolchainError
from toolchain.load import load, read

SECONDS = 0.1
BYTES = 256 << 20
REPEATS = 5
YARDSTICK_SECONDS = 0.0115
"""What :func:`yardstick` takes on one core of the machine on which the budget is stated (AMD EPYC, Python 3.11)."""


def yardstick() -> float:
    """Seconds of processor time for a fixed loop: how fast this machine is, at this moment."""
    started = time.process_time()
    total = 0
    for number in range(300_000):
        total += number & 3
    return time.process_time() - started


def peak() -> int:
    """Bytes of resident memory at most since :func:`forget_peak`."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def forget_peak() -> None:
    """Start anew; where the system cannot, the peak stays that of the whole process."""
    if Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5")


def limit_memory() -> None:
    """No more address space than now and the budget; what fails with it fails the test."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def answered(path: Path) -> str:
    """Load a file; the name of the error, or nothing."""
    try:
        load(path)
    except ToolchainError as error:
        return type(error).__name__
    return ""


def main(paths: list[str]) -> None:
    """Measure files."""
    read(model().SerializeToString(), "warm")  # whatever is made once a process
    forget_peak()
    base = peak()
    if Path("/proc/self/statm").exists():
        limit_memory()
    for path in paths:
        forget_peak()
        times = []
        for _ in range(REPEATS):
            started = time.process_time()
            answer = answered(Path(path))
            taken = time.process_time() - started
            if taken < SECONDS / 10:  # within the budget whatever the machine
                times.append((taken, taken, YARDSTICK_SECONDS))
                break
            speed = yardstick()
            times.append((taken / max(1.0, speed / YARDSTICK_SECONDS), taken, speed))
        scaled, taken, speed = min(times)
        line = {"path": path, "answer": answer, "seconds": taken, "scaled": scaled, "yardstick": speed}
        sys.stdout.write(json.dumps({**line, "bytes": peak() - base}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
