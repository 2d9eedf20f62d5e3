"""``python -m benchmarks.border``: how long and how much memory the worst files take to load, beside the budget."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.latency import RESULTS
from tests.border.attacks import ATTACKS
from tests.border.measure import BYTES, SECONDS, YARDSTICK_SECONDS

ROOT = Path(__file__).resolve().parents[1]
CORPUS = ROOT / "tests" / "border" / "corpus"
SHOWN = 12


def measure(named: dict[str, Path]) -> list[tuple[str, dict[str, float]]]:
    """Load files in a process of its own; worst first."""
    command = [sys.executable, "-m", "tests.border.measure", *map(str, named.values())]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return sorted(zip(named, lines, strict=True), key=lambda pair: -pair[1]["scaled"])


def table(rows: list[tuple[str, dict[str, float]]], files: int) -> str:
    """Markdown."""
    slowest, largest = rows[0][1], max(rows, key=lambda pair: pair[1]["bytes"])
    speed = slowest["yardstick"]
    text = [
        "# The border",
        "",
        f"`python -m benchmarks.border`: {files} files of at most 1 MiB, each loaded in a process with limits. "
        f"The budget is {SECONDS * 1e3:.0f} ms of processor time and {BYTES >> 20} MiB; the worst took "
        f"{slowest['scaled'] * 1e3:.0f} ms, and {largest[1]['bytes'] / 2**20:.0f} MiB ({largest[0]}).",
        "",
        "Times are for a core on which the yardstick of `tests/border/measure.py` takes "
        f"{YARDSTICK_SECONDS * 1e3:.1f} ms; "
        f"beside the slowest file it took {speed * 1e3:.1f} ms.",
        "",
        "| slowest files | answer | ms | ms as measured | MiB |",
        "|---|---|---:|---:|---:|",
    ]
    for name, line in rows[:SHOWN]:
        text.append(
            f"| {name} | {line['answer'] or 'read'} | {line['scaled'] * 1e3:.0f} | {line['seconds'] * 1e3:.0f} "
            f"| {line['bytes'] / 2**20:.0f} |"
        )
    return "\n".join(text) + "\n"


def main() -> None:
    """Measure every attack and every file of the corpus, and write the table."""
    with tempfile.TemporaryDirectory() as folder:
        named = {
            f"{attack.group}: {attack.title}": attack.write(Path(folder) / str(index) / "folder")
            for index, attack in enumerate(ATTACKS)
        }
        named |= {f"corpus: {path.name}": path for path in sorted(CORPUS.glob("*"))}
        text = table(measure(named), len(named))
    (RESULTS / "border.md").write_text(text, encoding="utf-8")
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
