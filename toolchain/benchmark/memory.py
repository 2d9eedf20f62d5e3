"""Peak memory of one configuration, measured in a process of its own.

Run as a module (``python -m toolchain.benchmark.memory``): reads a request as JSON on stdin, the model from
the file that it names, and writes two numbers as JSON on stdout.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from toolchain.data import Array
from toolchain.errors import MissingError
from toolchain.session import Session, SessionOptions, one_line

TIMEOUT_SECONDS = 600
CALLS = 3


@dataclass(frozen=True)
class Memory:
    """Resident memory of the process that ran a configuration, bytes.

    Attributes:
        baseline: with the runtime and the model's file loaded, before the session is made.
        peak: the greatest since, over making the session and three calls.
    """

    baseline: int
    peak: int

    @property
    def added(self) -> int:
        """What the session and its calls added."""
        return self.peak - self.baseline


def peak_memory(model: Path, options: SessionOptions, feeds: Path) -> Memory | None:
    """Measure in a fresh process.

    Args:
        model: the file.
        options: as it is timed.
        feeds: an ``.npz`` of the inputs of one call.

    Returns:
        ``None`` on systems whose kernel does not tell the peak (other than Linux).

    Raises:
        MissingError: the process failed.
    """
    if not Path("/proc/self/status").exists():
        return None
    request = {
        "model": str(model),
        "feeds": str(feeds),
        "provider": options.provider,
        "threads": options.threads,
        "allow_fallback": options.allow_fallback,
        "provider_options": options.provider_options,
        "session_options": options.session_options,
    }
    try:
        done = subprocess.run(
            [sys.executable, "-m", "toolchain.benchmark.memory"],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise MissingError(f"measuring memory took longer than {TIMEOUT_SECONDS} s; leave it out") from error
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise MissingError(f"measuring memory failed: {last[0]}; leave it out with --no-memory")
    return Memory(**json.loads(done.stdout))


def _status(field: str) -> int:
    """A field of this process's status, bytes."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise MissingError(f"the kernel does not tell {field}")


def _measure(request: dict[str, Any]) -> Memory:
    content = Path(request["model"]).read_bytes()
    with np.load(request["feeds"], allow_pickle=False) as archive:
        feeds: dict[str, Array] = {name: archive[name] for name in archive.files}
    options = SessionOptions(
        provider=request["provider"],
        threads=request["threads"],
        allow_fallback=request["allow_fallback"],
        provider_options=tuple(tuple(pair) for pair in request["provider_options"]),
        session_options=tuple(tuple(pair) for pair in request["session_options"]),
    )
    baseline = _status("VmRSS")
    # 5 resets the peak to what is resident now (Linux, proc(5)).
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    session = Session(content, options)
    for _ in range(CALLS):
        session.run(feeds)
    return Memory(baseline, max(baseline, _status("VmHWM")))


if __name__ == "__main__":
    try:
        measured = _measure(json.loads(sys.stdin.read()))
    except Exception as problem:  # noqa: BLE001 - the parent shows the line
        sys.stderr.write(one_line(problem) + "\n")
        sys.exit(1)
    sys.stdout.write(json.dumps(asdict(measured)))
