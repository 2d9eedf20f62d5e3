"""The whole recipe, written down: models, bundle, figures, and the page."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

from toolchain.files import check_folder, replacing_folder
from toolchain.jsonable import jsonable
from toolchain.progress import Progress, silent
from toolchain.recipe.pipeline import Tell, pipeline
from toolchain.recipe.schema import read
from toolchain.report import Artifact, Findings, Verdict, render

RESULTS = "results.json"
REPORT = "report.html"
RESULTS_VERSION = 1


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        output: the folder with everything.
        report: the page.
        findings: what was found.
    """

    output: Path
    report: Path
    findings: Findings

    @property
    def ok(self) -> bool:
        """Every verdict passed."""
        return self.findings.ok

    def to_dict(self) -> dict[str, object]:
        """As JSON-able values."""
        return {"output": str(self.output), "report": str(self.report), **self.findings.to_dict()}


def run(
    recipe: Path | str,
    *,
    output: Path,
    force: bool = False,
    tell: Tell | None = None,
    progress: Progress | None = None,
) -> Run:
    """Do everything that a recipe describes.

    The folder is written whole or not at all. It holds ``model.onnx``, ``model.int8.onnx``, ``bundle/``,
    ``results.json`` and ``report.html``; a verdict that failed stands in them.

    Args:
        recipe: the TOML file.
        output: the folder.
        force: replace ``output``, if it is the output of an earlier run.
        tell: called with every verdict as it comes.
        progress: told how far the work is.

    Raises:
        UsageError: the recipe makes no sense, or ``output`` exists.
        ToolchainError, models.errors.ModelsError, OSError: a stage cannot be done; nothing is written.
    """
    described = read(recipe)
    check_folder(output, force=force, mark=RESULTS)
    with replacing_folder(output, force=force, mark=RESULTS) as folder:
        found = pipeline(described, folder, tell=tell or _nobody, progress=progress or silent, catch=False).findings
        results = {"version": RESULTS_VERSION, "verb": "run", **found.to_dict()}
        text = (json.dumps(jsonable(results), indent=2, allow_nan=False) + "\n").encode()
        (folder / RESULTS).write_bytes(text)
        written = Artifact(RESULTS, len(text), hashlib.sha256(text).hexdigest())
        found = replace(found, artifacts=(*found.artifacts, written))
        (folder / REPORT).write_text(render(found), encoding="utf-8")
    return Run(output, output / REPORT, found)


def _nobody(verdict: Verdict) -> None:
    del verdict
