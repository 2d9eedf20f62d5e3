"""From single records to the counts that are published."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.power.plant import NONE, Record
from toolchain.verify.cause import KINDS

EXAMPLES = 200
"""Missed and misnamed faults that are listed one by one; all are counted."""


@dataclass(frozen=True)
class Count:
    """Faults of one kind in one network, by one route.

    Attributes:
        network: planted into.
        form: float or int8.
        route: model, backend or whole model.
        kind: of the faults.
        planted: their number.
        real: those that change a tensor beyond rounding.
        defects: real ones called a defect.
        suspects: real ones called a suspicion.
        right: real ones found whose cause was named rightly.
        elsewhere: real ones for which another region was flagged too.
        beyond: others that were flagged all the same, though they change no element beyond rounding.
    """

    network: str
    form: str
    route: str
    kind: str
    planted: int
    real: int
    defects: int
    suspects: int
    right: int
    elsewhere: int
    beyond: int

    @property
    def missed(self) -> int:
        """Real ones of which nothing was said."""
        return self.real - self.defects - self.suspects

    @property
    def equivalent(self) -> int:
        """Those that change nothing beyond rounding."""
        return self.planted - self.real

    @property
    def flagged(self) -> float:
        """Share of the real ones that were found."""
        return (self.defects + self.suspects) / self.real if self.real else 1.0

    @property
    def named(self) -> float:
        """Share of those found whose cause was named rightly."""
        found = self.defects + self.suspects
        return self.right / found if found else 1.0


KEYS = ("network", "form", "route", "kind")
NUMBERS = ("planted", "real", "defects", "suspects", "right", "elsewhere", "beyond")


def counted(records: Iterable[Record]) -> list[Count]:
    """One count for each network, form, route and kind of fault."""
    found: dict[tuple[str, ...], Counter[str]] = {}
    for r in records:
        if r.kind == NONE:
            continue
        of = found.setdefault(tuple(getattr(r, key) for key in KEYS), Counter())
        of.update(
            planted=1,
            real=int(r.real),
            defects=int(r.real and r.status == "defect"),
            suspects=int(r.real and r.status == "suspect"),
            right=int(r.real and r.flagged and r.cause == r.kind),
            elsewhere=int(r.real and r.elsewhere > 0),
            beyond=int(not r.real and r.flagged),
        )
    return [_count(key, of) for key, of in found.items()]


def _count(keys: Sequence[str], numbers: Mapping[str, int]) -> Count:
    facts: dict[str, Any] = {**dict(zip(KEYS, keys, strict=True)), **{name: numbers[name] for name in NUMBERS}}
    return Count(**facts)


def total(counts: Sequence[Count], **only: str) -> Count:
    """The sum of those that agree with ``only``; what they differ in reads ``all``."""
    chosen = [c for c in counts if all(getattr(c, key) == value for key, value in only.items())]
    keys = [only.get(key, "all") for key in KEYS]
    return _count(keys, {name: sum(getattr(c, name) for c in chosen) for name in NUMBERS})


def kinds(counts: Sequence[Count]) -> list[str]:
    """Kinds that were planted, in the order in which causes are tried."""
    present = {c.kind for c in counts}
    return [kind for kind in KINDS if kind in present]


def alarms(records: Iterable[Record]) -> dict[str, Any]:
    """Of the correct backend's own tensors: regions, and those that were flagged."""
    correct = [r for r in records if r.kind == NONE]
    flagged = [f"{r.network}, {r.form}: {r.tensor}: {r.status}, {r.cause} {r.detail}" for r in correct if r.flagged]
    return {"regions": len(correct), "flagged": flagged}


def missed(records: Iterable[Record]) -> list[dict[str, Any]]:
    """Real faults of which nothing was said."""
    names = (*KEYS, "tensor", "operators", "fault")
    return [{name: getattr(r, name) for name in names} for r in records if r.real and not r.flagged][:EXAMPLES]


def misnamed(records: Iterable[Record]) -> list[dict[str, Any]]:
    """Other kinds that were named: planted kind, named kind, how often, and an example; the most frequent first."""
    wrong = [r for r in records if r.real and r.flagged and r.cause != r.kind]
    often = Counter((r.kind, r.cause) for r in wrong)
    first = {(r.kind, r.cause): r for r in reversed(wrong)}
    return [
        {
            "kind": kind,
            "named": named,
            "times": times,
            "example": f"{first[kind, named].operators}: {first[kind, named].fault}",
        }
        for (kind, named), times in sorted(often.items(), key=lambda item: (-item[1], item[0]))
    ]
