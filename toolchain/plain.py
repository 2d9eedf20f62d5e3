"""Verdicts as plain text, for a log that is read without a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from toolchain.agree import OutputAgreement, Parting
from toolchain.equivalence import Equivalence
from toolchain.verify import RegionVerdict, Verification

ROWS = 8
"""Rows of the table of the worst regions."""


def certificate(found: Verification) -> str:
    """What is wrong with a backend, the node first, and its worst regions."""
    title = f"not equivalent: {found.model} on {found.backend}, {found.samples} samples of {found.data}"
    lines = [title]
    lines += [f"  {region.describe()}" for region in found.defects[:1]]
    if not found.defects:
        lines += [f"  {region.describe()}" for region in found.vacuous[:1]]
    if found.unobserved:
        lines.append(f"  not judged: no observed tensor depends on {', '.join(found.unobserved)}")
    if not found.undisturbed:
        lines.append("  not judged: observing the runtime changed its outputs")
    if not found.regions:
        lines.append("  not judged: the model has no node")
    if not found.defects and found.suspects:
        lines.append(f"  suspicion: {found.suspects[0].describe()}")
    return printable("\n".join([*lines, *_regions(found.regions)]))


def equivalence(found: Equivalence) -> str:
    """Where two models part."""
    lines = [f"not equivalent: {found.other}, by the meaning of {found.model}, matched by {found.matched}"]
    lines += [f"  {output.describe()}" for output in found.outputs if not output.ok]
    if found.parting is not None:
        lines.append(f"  {found.parting.describe()}")
    failed = [certificate(verification) for verification in found.verifications if not verification.ok]
    if failed and found.matched == "names":
        failed.append("names that both models use for other things mislead; match='outputs' compares outputs alone")
    return printable("\n".join([*lines, *failed]))


def agreement(module: str, graph: str, outputs: Sequence[OutputAgreement], parting: Parting | None) -> str:
    """Where a graph leaves a PyTorch module."""
    lines = [f"not equivalent: {graph}, by the meaning of the PyTorch module {module}"]
    lines += [f"  {output.describe()}" for output in outputs if not output.ok]
    if parting is not None:
        lines.append(f"  {parting.describe()}")
    return printable("\n".join(lines))


def _regions(regions: Sequence[RegionVerdict]) -> list[str]:
    """A table of the worst, in the order in which they are worst; defects keep the model's order."""
    defects = [region for region in regions if region.status == "defect"]
    others = sorted((r for r in regions if r.status != "defect"), key=lambda r: r.sound_ratio, reverse=True)
    shown = (defects + others)[:ROWS]
    if not shown:
        return []
    heads = ("Nodes", "Operators", "Elements", "Largest error", "of sound", "of probable", "Status")
    rows = [
        (
            region.name,
            region.arithmetic,
            f"{region.elements:,}",
            f"{region.max_error:.3g}",
            f"{region.sound_ratio:.3g}",
            f"{region.probable_ratio:.3g}",
            region.status,
        )
        for region in shown
    ]
    widths = [max(len(row[column]) for row in (heads, *rows)) for column in range(len(heads))]
    made = ["", *(_row(row, widths) for row in (heads, *rows))]
    if len(regions) > len(shown):
        made.append(f"  and {len(regions) - len(shown)} regions more")
    return made


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Figures to the right, words to the left."""
    laid = [
        cell.rjust(width) if 2 <= column <= 5 else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return f"  {'  '.join(laid)}".rstrip()


def printable(text: str) -> str:
    """Without control characters: names come from models, and a log is a terminal in the end."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)
