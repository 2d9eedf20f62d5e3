"""``python -m benchmarks.power``: plant faults into the networks, and write what was found of them.

Writes ``benchmarks/results/power.json``, from which ``make docs`` makes the tables of ``docs/power.md``. With
``--network`` or ``--form`` it prints the table of that part and writes nothing. Exit code 1 if a goal is missed.

    python -m benchmarks.power [--network NAME] [--form float|int8] [--jobs N]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.power import summary, table
from benchmarks.power.measure import KEEP, measured
from benchmarks.power.networks import FORMS, NAMES, SEED
from benchmarks.power.plant import Record
from toolchain.benchmark import environment
from toolchain.files import write_bytes

RESULTS = Path(__file__).parents[1] / "results"


def facts(records: Sequence[Record], share: float) -> dict[str, Any]:
    """All that is published, for JSON."""
    return {
        "environment": asdict(environment.environment()),
        "seed": SEED,
        "share_planted": {network: share * keep for network, keep in KEEP.items()},
        "counts": [asdict(count) for count in summary.counted(records)],
        "correct": summary.alarms(records),
        "missed": summary.missed(records),
        "misnamed": summary.misnamed(records),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.power", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--network", choices=NAMES, action="append", help="only this one; may be repeated")
    parser.add_argument("--form", choices=FORMS, action="append", help="only this one")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: 1); VGG16 needs 8 GB in each")
    parser.add_argument("--share", type=float, default=1.0, help="of the faults, for a quicker look (default: 1)")
    given = parser.parse_args(arguments)
    records = measured(given.network or NAMES, given.form or FORMS, jobs=given.jobs, share=given.share)
    found = facts(records, given.share)
    if not given.network and not given.form:
        content = json.dumps(found, indent=1) + "\n"
        write_bytes(RESULTS / "power.json", content.encode(), force=True)
    sys.stdout.write(table.page(found))
    return 0 if table.reached(found) else 1


if __name__ == "__main__":
    if os.environ.get("OMP_NUM_THREADS") != "1":
        sys.exit("set OMP_NUM_THREADS=1: products of matrices would run on several threads")
    sys.exit(main())
