"""The table of how errors are distributed: what ``python -m benchmarks.roundings --write`` kept."""

from __future__ import annotations

import json

from benchmarks import roundings

SHOWN = ("TF32", "float16", "bfloat16", f"one weight times {roundings.OFF}")


def table() -> str:
    """Markdown: terms, layers, largest deviation and score without a fault, suspected with each fault."""
    kept = json.loads(roundings.RESULTS.read_text(encoding="utf-8"))
    heads = ("terms", "layers", "largest deviation", "largest score", *(f"{name}: suspected" for name in SHOWN))
    rows = [
        f"| {int(terms):,} | {row['layers']:.0f} | {row['largest rms']:.2f} | {row['largest score']:.2f} | "
        + " | ".join(f"{row[name]:.0f}" for name in SHOWN)
        + " |"
        for terms, row in kept["terms"].items()
    ]
    total = sum(row["layers"] for row in kept["terms"].values())
    return "\n".join(
        (
            f"| {' | '.join(heads)} |",
            "|" + "---|" * len(heads),
            *rows,
            "",
            f"ONNX Runtime {kept['onnxruntime']}, {total:.0f} layers, {len(kept['false alarms'])} false alarms. "
            "Deviation: root mean square over the permitted. Score: over what chance and systematic roundings explain.",
        )
    )
