"""Detection power and false alarms, from the committed results of their measurements."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.power import table
from tests.house.sources import ROOT

RESULTS = ROOT / "benchmarks" / "results"


def _facts(name: str) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((RESULTS / name).read_text(encoding="utf-8"))
    return facts


def outcome() -> str:
    """The figures in words."""
    return table.outcome(_facts("power.json"))


def kinds() -> str:
    """One row a kind of fault."""
    return table.by_kind(_facts("power.json"))


def networks() -> str:
    """One row a network, form and route."""
    return table.by_network(_facts("power.json"))


def wrong() -> str:
    """What was missed or called something else."""
    return table.wrong(_facts("power.json"))


def alarms() -> str:
    """Random correct graphs and what was said of them."""
    found = _facts("alarms.json")
    examples = [f"- {text}" for text in found["examples"]]
    return "\n".join(
        (
            f"Of {found['graphs']:,} random correct graphs with {found['regions']:,} regions (as they stand and "
            f"fully optimised), **{found['defects']:,} regions were called a defect** and {found['suspects']:,} a "
            f"suspicion. Of {found['undecided']:,} regions the verdict was that it cannot decide: nodes that the "
            "runtime fused and through which no bound is derived, or a limit that is infinite. "
            f"{found['overflowing']:,} more graphs were drawn and not judged, since their values leave the range in "
            f"which float32 has bounds, and {found['refused']:,} that ONNX Runtime does not run.",
            *(("", *examples) if examples else ()),
        )
    )
