"""String the stages together: the one place that knows their order."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from models.errors import ModelsError
from toolchain.benchmark.environment import environment
from toolchain.errors import GateFailedError, ToolchainError
from toolchain.progress import Progress
from toolchain.recipe import budgets
from toolchain.recipe.schema import Recipe
from toolchain.recipe.stages import STAGES, Stage, Work
from toolchain.report import Findings, Verdict

Tell = Callable[[Verdict], None]
INPUT_ERRORS = (ToolchainError, ModelsError, OSError)


@dataclass(frozen=True)
class Outcome:
    """What all stages found.

    Attributes:
        findings: verdicts included.
        error: the first error that kept a stage from being judged, if such errors are caught.
    """

    findings: Findings
    error: Exception | None


def pipeline(recipe: Recipe, folder: Path, *, tell: Tell, progress: Progress, catch: bool) -> Outcome:
    """Run every stage that the recipe asks for, then judge its budgets.

    A gate that fails is a verdict, and the stages behind it that still can, go on.

    Args:
        recipe: what to do.
        folder: where files are written; exists and is empty.
        tell: called with every verdict as it comes.
        progress: told how far the work is.
        catch: an error of the input becomes a verdict too, in place of being raised.

    Raises:
        ToolchainError, ModelsError, OSError: a stage cannot be done, unless ``catch``.
    """
    findings = Findings(recipe.name, recipe.title, recipe.text, environment=_environment())
    work = Work(recipe, folder, progress)
    error: Exception | None = None
    undone: dict[str, str] = {}
    for stage in STAGES:
        if not stage.wanted(recipe):
            continue
        missing = next((need for need in stage.needs if need in undone), None)
        if missing is not None:
            undone[stage.name] = missing
            findings = _add(findings, Verdict(stage.name, "not reached", "skipped", f"{missing} was not done"), tell)
            continue
        findings, caught = _do(stage, work, findings, tell, catch=catch)
        if caught is not None:
            undone[stage.name] = stage.name
            error = error or (None if isinstance(caught, GateFailedError) else caught)
    for verdict in budgets.judge(recipe, findings):
        findings = _add(findings, verdict, tell)
    return Outcome(findings, error)


def _do(stage: Stage, work: Work, findings: Findings, tell: Tell, *, catch: bool) -> tuple[Findings, Exception | None]:
    """One stage; an error that is a verdict is handed back with it."""
    start = time.perf_counter()
    try:
        found, verdicts = stage.work(work, findings)
    except GateFailedError as failure:
        verdict = Verdict(stage.name, "gate", "failed", str(failure), time.perf_counter() - start)
        return _add(findings, verdict, tell), failure
    except INPUT_ERRORS as failure:
        if not catch:
            raise
        verdict = Verdict(stage.name, "could not be judged", "error", str(failure), time.perf_counter() - start)
        return _add(findings, verdict, tell), failure
    seconds = time.perf_counter() - start
    for verdict in verdicts:
        found = _add(found, replace(verdict, seconds=seconds), tell)
    return found, None


def _add(findings: Findings, verdict: Verdict, tell: Tell) -> Findings:
    tell(verdict)
    return replace(findings, verdicts=(*findings.verdicts, verdict))


def _environment() -> dict[str, str]:
    """The machine and the versions, as names and values."""
    facts = environment()
    found = {
        "Processor": f"{facts.cpu}, {facts.cores} cores",
        "System": facts.system,
        "Python": facts.python,
        **dict(facts.packages),
    }
    if facts.governor:
        found["Clock governor"] = facts.governor
    if facts.load is not None:
        found["Load before"] = f"{facts.load:.2f}"
    return found
