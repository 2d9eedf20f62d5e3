"""How much a file may hold: in proportion to its size, so that reading it takes time in proportion to its size."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Part(Enum):
    """What is read one by one, and costs more than its bytes: how many a MiB, and how many at most.

    Real networks below 1 MiB have some hundreds of nodes, the largest in QDQ form 6,000.
    """

    FIELDS = ("fields of all messages", 15_000, 600_000)
    NODES = ("nodes", 1_000, 10_000)
    PARTS = ("parts (a node counts 4, a tensor with content 2, an attribute, output or stated type 1)", 5_000, 100_000)
    FUNCTIONS = ("local functions", 200, 1_000)
    GRAPHS = ("graphs within nodes", 100, 1_000)

    __hash__ = object.__hash__  # by identity, in C: it is asked for at every node

    def __init__(self, shown: str, per_mib: int, most: int) -> None:
        self.shown = shown
        self.per_mib = per_mib
        self.most = most


COPIED_PER_MIB = 4 << 20
"""Bytes of tensors that expanding local functions may copy."""


@dataclass(frozen=True)
class Allowance:
    """Limits for one file.

    Attributes:
        mib: size of the file and of the files of weights that it names, in MiB begun.
    """

    mib: int = 1

    def of(self, part: Part) -> int:
        """How many there may be."""
        return min(part.per_mib * self.mib, part.most)

    @property
    def copied(self) -> int:
        """Bytes of tensors that expanding local functions may copy."""
        return min(COPIED_PER_MIB * self.mib, 64 << 20)

    def excess(self, part: Part) -> str:
        """For messages: what there is too much of, and which limit that breaks."""
        return (
            f"has more than {self.of(part)} {part.shown}, the limit for a model of {self.mib} MiB with its weights; "
            "no network has so many for its size"
        )
