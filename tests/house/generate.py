"""Writes the generated parts of the documents: ``python -m tests.house.generate`` (``make docs``).

A document holds its generated parts between ``<!-- generated: NAME -->`` and ``<!-- end -->``; everything else
in it is written by hand. ``test_docs.py`` fails when a part is not what this module would write.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.house import (
    generated_border,
    generated_defects,
    generated_deviations,
    generated_disagreements,
    generated_exclusions,
    generated_kernels,
    generated_operators,
    generated_power,
    generated_roundings,
    generated_verbs,
    generated_world,
)
from tests.house.sources import ROOT

PART = re.compile(r"(<!-- generated: ([a-z-]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)

PARTS: dict[str, Callable[[], str]] = {
    "verbs": generated_verbs.overview,
    "reference": generated_verbs.reference,
    "errors": generated_verbs.errors,
    "operators": generated_operators.table,
    "kernels": generated_kernels.table,
    "roundings": generated_roundings.table,
    "disagreements": generated_disagreements.table,
    "exclusions": generated_exclusions.table,
    "defects": generated_defects.table,
    "deviations": generated_deviations.table,
    "attacks": generated_border.attacks,
    "limits": generated_border.limits,
    "power-outcome": generated_power.outcome,
    "power-kinds": generated_power.kinds,
    "power-networks": generated_power.networks,
    "power-wrong": generated_power.wrong,
    "power-alarms": generated_power.alarms,
    "networks": generated_world.networks,
    "accuracy": generated_world.accuracy,
    "retraining": generated_world.retraining,
    "support": generated_world.support,
}


def documents() -> Iterator[Path]:
    """Every Markdown file of the repository."""
    for pattern in (
        "*.md",
        "docs/**/*.md",
        "models/**/*.md",
        "deploy/**/*.md",
        "benchmarks/**/*.md",
        ".github/**/*.md",
    ):
        yield from sorted(ROOT.glob(pattern))


def rendered(text: str) -> str:
    """A document with its generated parts as they should be."""

    def part(match: re.Match[str]) -> str:
        begin, name, _, end = match.groups()
        if name not in PARTS:
            raise KeyError(f"no generated part is called {name!r}; known: {', '.join(PARTS)}")
        return f"{begin}{PARTS[name]().strip()}\n{end}"

    return PART.sub(part, text)


def main() -> None:
    """Rewrite what is not current."""
    for path in documents():
        text = path.read_text(encoding="utf-8")
        current = rendered(text)
        if current != text:
            path.write_text(current, encoding="utf-8")
            sys.stdout.write(f"{path.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
