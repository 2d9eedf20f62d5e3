"""What was found wrong, as the page shows it: a line, the cause, and a heat map of the error."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from toolchain.report import charts
from toolchain.report.findings import Findings, Verdict
from toolchain.verify import RegionVerdict, Verification

SHOWN = 8
"""Findings of one verification that get a picture."""


@dataclass(frozen=True)
class Shown:
    """A finding.

    Attributes:
        title: the nodes.
        status: ``defect`` or ``suspect``.
        facts: names and values.
        about: which sample and channel the picture shows.
        chart: heat map of the absolute error; empty where there is none.
    """

    title: str
    status: str
    facts: tuple[tuple[str, str], ...]
    about: str
    chart: Markup


def shown(name: str, verification: Verification) -> tuple[Shown, ...]:
    """The findings of a verification, defects first.

    Args:
        name: goes into the names of the pictures, unique in the page.
        verification: with or without findings.
    """
    found = (*verification.defects, *verification.suspects)[:SHOWN]
    return tuple(_one(f"heat-{name}-{number}", region) for number, region in enumerate(found))


def _one(name: str, region: RegionVerdict) -> Shown:
    facts = [("Operators", " + ".join(region.operators)), ("Tensor", region.tensor)]
    worst = region.worst
    if worst is not None:
        facts += [
            ("Expected", f"{worst.expected:.9g}"),
            ("Received", f"{worst.received:.9g}"),
            ("Sound limit", f"{worst.sound:.3g}"),
            ("Worst index", str(list(worst.index))),
        ]
    if region.channel is not None:
        facts.append(("Output channel", str(region.channel)))
    if region.problem:
        facts.append(("Problem", region.problem))
    if region.cause is not None:
        facts.append(("Most likely cause", region.cause.describe()))
    about, chart = "", Markup()
    if region.heat and worst is not None:
        about = (
            f"Absolute error of the worst sample{'' if region.channel is None else f' and channel {region.channel}'}"
        )
        chart = Markup(charts.heat_map(name, about, region.heat))  # noqa: S704 - charts escape
    return Shown(region.name, region.status, tuple(facts), about, chart)


def of_verification(title: str, verification: Verification) -> Findings:
    """A verification alone, for a page of its own.

    Args:
        title: heading of the page.
        verification: what ``verify`` found.
    """
    status = "failed" if not verification.ok else "warned" if verification.suspects else "passed"
    first = (*verification.defects, *verification.vacuous, *verification.suspects)[:1]
    detail = first[0].describe() if first else f"{len(verification.regions)} tensors within their limits"
    return Findings(
        name="verify",
        title=title,
        recipe="",
        verdicts=(Verdict("verify", verification.backend, status, detail),),  # type: ignore[arg-type]
        verification=verification,
        environment={"Model": verification.model, "Data": f"{verification.samples} samples of {verification.data}"},
    )
