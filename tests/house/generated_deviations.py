"""How ONNX Runtime's integers differ from the exact ones, from what ``benchmarks.deviations`` measured."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.deviations import RESULTS

CLASSES = ("tie", "saturation", "fusion", "unknown")


def table() -> str:
    """Markdown: one row a quantized network and pair of levels that count alike."""
    rows: list[dict[str, Any]] = json.loads(RESULTS.read_text(encoding="utf-8"))
    lines = [
        "| network | weights | optimisation | samples | integers | tie | saturation | wrong fusion | unknown |",
        "|---|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    groups: dict[tuple[Any, ...], list[str]] = {}
    for row in rows:
        key = (row["network"], row["weights"], row["samples"], row["integers"], *(row[c] for c in CLASSES))
        groups.setdefault(key, []).append(row["level"])
    for (network, weights, *counts), levels in groups.items():
        cells = [network, weights, ", ".join(levels), *(f"{count:,}" for count in counts)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
