"""The published tables, as Markdown, from the facts of a measurement."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.power.summary import Count, kinds, total

FLAGGED_GOAL, NAMED_GOAL = 0.99, 0.90
ELSEWHERE_LIMIT = 0.02
"""Share of whole verifications in which another region may be flagged besides: where the runtime merges neighbours."""
HEADER = (
    "| {} | planted | equivalent | real | defect | suspect | missed | flagged | right cause |\n"
    "|---|---:|---:|---:|---:|---:|---:|---:|---:|"
)


def counts_of(facts: Mapping[str, Any]) -> list[Count]:
    """The counts in the facts."""
    return [Count(**count) for count in facts["counts"]]


def reached(facts: Mapping[str, Any]) -> bool:
    """Whether the goals are reached: real faults flagged, causes named, nothing flagged that is right."""
    whole = total(counts_of(facts))
    verified = total(counts_of(facts), route="whole model")
    quiet = not facts["correct"]["flagged"] and verified.elsewhere <= ELSEWHERE_LIMIT * verified.real
    return whole.flagged >= FLAGGED_GOAL and whole.named >= NAMED_GOAL and quiet


def page(facts: Mapping[str, Any]) -> str:
    """All tables."""
    return "\n\n".join((outcome(facts), by_kind(facts), by_network(facts), wrong(facts))) + "\n"


def outcome(facts: Mapping[str, Any]) -> str:
    """The figures that the goals are about, in words."""
    counts = counts_of(facts)
    whole = total(counts)
    verified = total(counts, route="whole model")
    machine = facts["environment"]
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"])
    return "\n".join(
        (
            f"{whole.planted:,} faults planted, {whole.real:,} of which change a tensor beyond rounding. Of these "
            f"**{_percent(whole.flagged)} are flagged** (goal: {_percent(FLAGGED_GOAL)}), "
            f"and **{_percent(whole.named)} of those flagged bear the right cause** (goal: {_percent(NAMED_GOAL)}). "
            f"Of the {whole.equivalent:,} others {whole.beyond:,} are flagged all the same: many small errors that go "
            "along with one weight are seen where no single one is beyond rounding. "
            f"In {verified.planted:,} verifications of whole models a region other than the faulty one was flagged "
            f"{verified.elsewhere:,} times. "
            f"Of the {facts['correct']['regions']} regions without a fault "
            f"{len(facts['correct']['flagged'])} are flagged.",
            "",
            f"Measured on {machine['cpu']}; Python {machine['python']}, {packages}.",
        )
    )


def by_kind(facts: Mapping[str, Any]) -> str:
    """One row a kind of fault."""
    counts = counts_of(facts)
    return _rows("kind of fault", kinds(counts), lambda kind: total(counts, kind=kind), total(counts))


def by_network(facts: Mapping[str, Any]) -> str:
    """One row a network, form and route."""
    counts = counts_of(facts)
    keys = list(dict.fromkeys((c.network, c.form, c.route) for c in counts))

    def of(name: str) -> Count:
        network, form, route = name.split(", ")
        return total(counts, network=network, form=form, route=route)

    return _rows("network, form, route", [", ".join(key) for key in keys], of, total(counts))


def wrong(facts: Mapping[str, Any]) -> str:
    """What was missed, and which causes were confused."""
    missed = [
        f"| {m['network']}, {m['form']}, {m['route']} | {m['tensor']} ({m['operators']}) | {m['kind']} | {m['fault']} |"
        for m in facts["missed"]
    ]
    confused = [f"| {m['kind']} | {m['named']} | {m['times']} | {m['example']} |" for m in facts["misnamed"]]
    return "\n".join(
        (
            "Flagged, but called something else:",
            "",
            "| planted | named | times | for example |",
            "|---|---|---:|---|",
            *confused,
            "",
            "Missed:",
            "",
            "| where | region | kind | fault |",
            "|---|---|---|---|",
            *missed,
        )
    )


def _rows(title: str, names: Sequence[str], of: Callable[[str], Count], whole: Count) -> str:
    lines = [_row(name, of(name)) for name in names]
    return "\n".join((HEADER.format(title), *lines, _row("**all**", whole)))


def _row(name: str, c: Count) -> str:
    return (
        f"| {name} | {c.planted:,} | {c.equivalent:,} | {c.real:,} | {c.defects:,} | {c.suspects:,} | {c.missed:,} | "
        f"{_percent(c.flagged) if c.real else '-'} | {_percent(c.named) if c.defects + c.suspects else '-'} |"
    )


def _percent(share: float) -> str:
    """To a tenth of a percent, never rounded up."""
    return f"{int(share * 1000) / 10:g}%"
