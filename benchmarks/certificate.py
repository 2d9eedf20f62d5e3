"""Seconds that the certificate of a float model takes: the whole command ``onnx-edge verify``, process start included.

AlexNet and VGG16 get random weights (none ship), LeNet-5 its trained ones and 1,000 pictures of MNIST. The models are
exported first, which is not counted. The command runs on two cores, as a user would start it. Run as
``python -m benchmarks.certificate [NAME ...]``; writes ``results/certificate.json`` and ``results/certificate.md``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from toolchain.benchmark import environment
from toolchain.errors import GateFailedError
from toolchain.export import export

RESULTS = Path(__file__).parent / "results"
COMMAND = Path(sysconfig.get_path("scripts")) / "onnx-edge"
CORES = 2
RUNS = 3
SEED = 0
LAUNCHER = """
import json, os, subprocess, sys, time
start = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=sys.stderr)
_, status, used = os.wait4(process.pid, 0)
seconds = time.perf_counter() - start
print(json.dumps([os.waitstatus_to_exitcode(status), seconds, used.ru_utime + used.ru_stime, used.ru_maxrss]))
"""
"""Starts a command and says what it took. Linux counts what the starting process holds, or ever held, as the new one's
peak of memory; so a small process starts it, and not this one, which has exported models."""


@dataclass(frozen=True)
class Case:
    """One certificate.

    Attributes:
        name: of the case; the file is called after it.
        net: a name of the zoo.
        batch: exported with, 1 or ``"dynamic"``.
        seed: of random weights; ``None`` for the trained ones.
        data: arguments of ``verify`` that say what is fed.
        goal: seconds that are promised.
    """

    name: str
    net: str
    batch: int | str
    seed: int | None
    data: tuple[str, ...]
    goal: float

    @property
    def export_command(self) -> str:
        """As a user would export the model."""
        batch = "" if self.batch == 1 else f" --batch {self.batch}"
        seed = "" if self.seed is None else f" --seed {self.seed}"
        return f"onnx-edge export {self.net}{batch}{seed} -o {self.name}.onnx"

    @property
    def command(self) -> str:
        """What is timed."""
        return f"onnx-edge verify {self.name}.onnx {' '.join(self.data)}"


CASES = (
    Case("vgg16", "vgg16", 1, SEED, ("--synthetic", "1"), 30.0),
    Case("alexnet", "alexnet", 1, SEED, ("--synthetic", "1"), 10.0),
    Case("lenet5", "lenet5", 1, None, ("--data", "mnist:test:1000"), 10.0),
    Case("lenet5-batches", "lenet5", "dynamic", None, ("--data", "mnist:test:1000"), 10.0),
)


@dataclass(frozen=True)
class Run:
    """What one process took.

    Attributes:
        seconds: from its start to its end.
        processor: seconds of processor time, of all threads, in the program and in the kernel for it.
        peak: resident memory at most, bytes.
    """

    seconds: float
    processor: float
    peak: int


def two_cores() -> None:
    """Let this process and those that it starts run on two cores only, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])


def run(case: Case, folder: Path) -> Run:
    """Time the command once.

    Raises:
        GateFailedError: it does not answer that the model is equivalent.
    """
    surroundings = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    launch = [sys.executable, "-I", "-S", "-c", LAUNCHER, str(COMMAND), "verify", f"{case.name}.onnx", *case.data]
    done = subprocess.run(launch, cwd=folder, env=surroundings, capture_output=True, text=True, check=True)
    code, seconds, processor, peak = json.loads(done.stdout)
    if code != 0:
        raise GateFailedError(f"{case.command}: exit {code}: {done.stderr[-300:].strip()}")
    return Run(seconds, processor, peak * (1 if sys.platform == "darwin" else 1024))


def measure(case: Case, runs: int = RUNS) -> dict[str, Any]:
    """Export the model, read it once so that the disk plays no part, and time the command.

    Returns:
        Facts for JSON. The goal counts as reached when every run reaches it.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        exported = export(case.net, output=folder / f"{case.name}.onnx", batch=case.batch, seed=case.seed)
        (folder / f"{case.name}.onnx").read_bytes()
        taken = [run(case, folder) for _ in range(runs)]
    return {
        "case": case.name,
        "export": case.export_command,
        "command": case.command,
        "model_bytes": exported.size,
        "runs": [asdict(one) for one in taken],
        "goal": case.goal,
        "reached": max(one.seconds for one in taken) <= case.goal,
    }


def report(facts: dict[str, Any]) -> str:
    """The results as Markdown."""
    machine = facts["environment"]
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"])
    lines = [
        "# Seconds for a certificate",
        "",
        f"{machine['cpu']}, {machine['cores']} cores used, load {machine['load']} before the run; Python "
        f"{machine['python']}, {packages}. The whole command, from the start of its process to the end, "
        f"{RUNS} times; the slowest counts. Processor time is that of all threads: where it is far below the seconds "
        "times the cores, the process waited for others.",
        "",
        "| command | model | seconds, each run | processor seconds | peak memory | goal |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for row in facts["cases"]:
        seconds, processor = (" ".join(f"{one[key]:.1f}" for one in row["runs"]) for key in ("seconds", "processor"))
        peak = max(one["peak"] for one in row["runs"]) / 1e6
        goal = f"{row['goal']:g} s: {'reached' if row['reached'] else 'missed'}"
        lines.append(
            f"| `{row['command']}` | {row['model_bytes'] / 1e6:,.1f} MB | {seconds} | {processor} | {peak:,.0f} MB | "
            f"{goal} |"
        )
    lines += ["", "The models are made by:", "", "```console"]
    lines += [f"$ {row['export']}" for row in facts["cases"]]
    return "\n".join([*lines, "```"]) + "\n"


def main(names: Sequence[str] = (), results: Path = RESULTS) -> None:
    """Measure the cases named, or all, and write both files."""
    two_cores()
    chosen = [case for case in CASES if not names or case.name in names]
    facts = {"environment": asdict(environment.environment()), "cases": [measure(case) for case in chosen]}
    results.mkdir(exist_ok=True)
    (results / "certificate.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    (results / "certificate.md").write_text(report(facts), encoding="utf-8")


if __name__ == "__main__":
    unknown = sorted(set(sys.argv[1:]) - {case.name for case in CASES})
    if unknown:
        sys.exit(f"no case {', '.join(unknown)}; there are {', '.join(case.name for case in CASES)}")
    main(sys.argv[1:])
    sys.stdout.write((RESULTS / "certificate.md").read_text(encoding="utf-8"))
