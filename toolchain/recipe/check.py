"""The recipe as a gate for continuous integration."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from toolchain.files import check_output, write_bytes
from toolchain.progress import Progress, silent
from toolchain.recipe.junit import document
from toolchain.recipe.pipeline import Tell, pipeline
from toolchain.recipe.schema import read
from toolchain.report import Findings, Verdict


@dataclass(frozen=True)
class Check:
    """A finished check.

    Attributes:
        findings: what was found.
        junit: the file written, or ``None``.
        error: the first error that kept a stage from being judged; ``None`` if all were.
    """

    findings: Findings
    junit: Path | None
    error: Exception | None

    @property
    def ok(self) -> bool:
        """Every stage and budget passed."""
        return self.findings.ok

    @property
    def failed(self) -> tuple[Verdict, ...]:
        """Verdicts that fail the gate."""
        return tuple(verdict for verdict in self.findings.verdicts if not verdict.ok)

    def to_dict(self) -> dict[str, object]:
        """As JSON-able values."""
        return {"junit": None if self.junit is None else str(self.junit), **self.findings.to_dict()}


def check(
    recipe: Path | str,
    *,
    junit: Path | None = None,
    force: bool = False,
    tell: Tell | None = None,
    progress: Progress | None = None,
) -> Check:
    """Run a recipe and judge it; nothing is kept but the verdicts.

    Args:
        recipe: the TOML file.
        junit: where to write the verdicts in JUnit's XML, every stage and budget a test case.
        force: overwrite ``junit``.
        tell: called with every verdict as it comes.
        progress: told how far the work is.

    Raises:
        UsageError: the recipe makes no sense, or ``junit`` exists.
        FileError: the recipe cannot be read, or ``junit`` not be written.
    """
    described = read(recipe)
    if junit is not None:
        check_output(junit, force=force)
    with tempfile.TemporaryDirectory(prefix="onnx-edge-") as folder:
        outcome = pipeline(described, Path(folder), tell=tell or _nobody, progress=progress or silent, catch=True)
    if junit is not None:
        write_bytes(junit, document(outcome.findings), force=force)
    return Check(outcome.findings, junit, outcome.error)


def _nobody(verdict: Verdict) -> None:
    del verdict
