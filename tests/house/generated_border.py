"""The attacker's list and the loader's limits, as Markdown."""

from __future__ import annotations

from itertools import groupby

from tests.border.attacks import ATTACKS
from toolchain.allowance import Part


def attacks() -> str:
    """Every attack with its answer."""
    lines = []
    for group, members in groupby(ATTACKS, key=lambda attack: attack.group):
        lines += [f"### Attacks on {group}" if group != "as much as is allowed" else "### As much as is allowed", ""]
        lines += ["| file | answer | exit code |", "|---|---|---|"]
        for attack in members:
            title = attack.title.replace("|", "\\|").replace("*", "\\*").replace("_", "\\_").replace("~", "\\~")
            error = attack.answer
            lines.append(f"| {title} | {error.__name__ if error else 'read'} | {error.exit_code if error else ''} |")
        lines.append("")
    return "\n".join(lines)


def limits() -> str:
    """How many of what a file may hold."""
    lines = ["| at most | for each MiB begun | however large the file |", "|---|---:|---:|"]
    lines += [f"| {part.shown} | {part.per_mib:,} | {part.most:,} |" for part in Part]
    return "\n".join(lines)
