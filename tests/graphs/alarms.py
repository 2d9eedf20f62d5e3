"""How often the verdicts cry wolf: random correct graphs, judged by ``verify`` as users run it.

    python -m tests.graphs.alarms [--graphs 10000] [--jobs N]

Every graph is run by ONNX Runtime as it stands and fully optimised. A graph on which the runtime is known to be wrong
is not drawn (``exclusions.py``). Writes ``benchmarks/results/alarms.json``, which ``docs/power.md`` shows; exit code 1
if a correct graph was called a defect.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.graphs.judging import LEVELS, interpret, loaded, overflows
from tests.graphs.sketch import Graph
from tests.graphs.strategy import graphs
from toolchain.benchmark import environment
from toolchain.data import Samples
from toolchain.errors import ToolchainError
from toolchain.files import write_bytes
from toolchain.verify import verify

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results" / "alarms.json"
CHUNK = 250
FIRST_SEED = 5000
SHOWN = 20


@dataclass(frozen=True)
class Alarms:
    """What was said of correct graphs.

    Attributes:
        graphs: judged.
        overflowing: drawn but not judged: their values leave the range in which float32 has bounds.
        refused: drawn but not judged: the runtime does not run them, so that there is nothing to judge.
        regions: judged, over all graphs and levels of optimisation.
        defects: regions called a defect.
        suspects: regions called a suspicion.
        undecided: regions that are not certified: fused nodes that cannot be judged together, or an infinite limit.
        examples: the first of what was not certified, in words.
    """

    graphs: int = 0
    overflowing: int = 0
    refused: int = 0
    regions: int = 0
    defects: int = 0
    suspects: int = 0
    undecided: int = 0
    examples: tuple[str, ...] = field(default=())


def count(examples: int, number: int) -> Alarms:
    """Draw graphs until enough were judged.

    Args:
        examples: how many to judge; twice as many and ten are drawn at most.
        number: seed.

    Raises:
        RuntimeError: too few of those drawn could be judged.
    """
    found: Counter[str] = Counter()
    said: list[str] = []

    @seed(number)
    @settings(
        max_examples=2 * examples + 10,
        deadline=None,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(graphs())
    def drawn(graph: Graph) -> None:
        if found["graphs"] == examples:
            return
        model = loaded(graph)
        if overflows(interpret(model, graph)):
            found["overflowing"] += 1
            return
        try:
            _judge(model, graph, found, said)
        except ToolchainError as error:
            found["refused"] += 1
            said.append(f"refused: {error}")
        else:
            found["graphs"] += 1

    drawn()
    if found["graphs"] < examples:
        raise RuntimeError(
            f"of {2 * examples + 10} graphs drawn only {found['graphs']} were judged; asked for {examples}"
        )
    return Alarms(**found, examples=tuple(said[:SHOWN]))


def _judge(model: Any, graph: Graph, found: Counter[str], said: list[str]) -> None:
    """At every level of optimisation."""
    given = Samples("drawn", graph.feeds, None)
    for level in LEVELS:
        with np.errstate(all="ignore"):
            verdict = verify(model, data=given, optimization=level, end_to_end=False, exact_int8=True)
        found["regions"] += len(verdict.regions)
        for region in verdict.regions:
            if region.status == "ok":
                continue
            if region.status == "vacuous":
                found["undecided"] += 1
                continue
            found["defects" if region.status == "defect" else "suspects"] += 1
            said.append(f"{region.status}, optimization {level}: {region.describe()}")


def counted(number: int, jobs: int) -> Alarms:
    """Draw and judge in several processes."""
    chunks = [(min(CHUNK, number - start), FIRST_SEED + start) for start in range(0, number, CHUNK)]
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        parts = list(pool.map(count, *zip(*chunks, strict=True)))
    names = [name for name in asdict(parts[0]) if name != "examples"]
    said = [text for part in parts for text in part.examples]
    return Alarms(**{name: sum(getattr(p, name) for p in parts) for name in names}, examples=tuple(said[:SHOWN]))


def main(arguments: Sequence[str] | None = None) -> int:
    """Count, write and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.graphs.alarms", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--graphs", type=int, default=10_000, help="to judge (default: 10000)")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="processes (default: all cores)")
    asked = parser.parse_args(arguments)
    found = counted(asked.graphs, asked.jobs)
    facts = {"environment": asdict(environment.environment()), **asdict(found)}
    write_bytes(RESULTS, (json.dumps(facts, indent=1) + "\n").encode(), force=True)
    sys.stdout.write(json.dumps(asdict(found), indent=1) + "\n")
    return 1 if found.defects else 0


if __name__ == "__main__":
    sys.exit(main())
