"""What is said of a known disagreement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.graphs.sketch import Candidate, Graph


@dataclass(frozen=True)
class Exclusion:
    """One known disagreement.

    Attributes:
        name: of the case.
        reason: the sentence of the specification, and what the runtime does instead.
        applies: whether a node may meet it.
        example: a graph that does.
    """

    name: str
    reason: str
    applies: Callable[[Candidate], bool]
    example: Callable[[], Graph]
