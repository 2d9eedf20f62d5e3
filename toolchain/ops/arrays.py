"""Types of what operators take and give."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

Array = NDArray[Any]
Inputs = Sequence[Array | None]
Errors = Sequence[Array | None]
"""One limit an input, broadcastable to it; ``None`` for inputs that carry no error."""


class Evaluates(Protocol):
    """What a spread needs of an operator."""

    @property
    def evaluate(self) -> Callable[[Any, Inputs], tuple[Array, ...]]:
        """The meaning of a node."""


Spread = Callable[[Any, Any, Inputs, Errors, float], tuple[Array, ...]]
"""(operator, attributes, inputs, errors, unit roundoff) -> one limit an output; see ``ops/spreads.py``."""
