"""Names that nothing else has."""

from __future__ import annotations

from collections.abc import Iterable

import onnx_ir as ir


def unique(wanted: str, taken: set[str]) -> str:
    """A name that is not in ``taken``: the wanted one, or it with a number; it is added there."""
    name, count = wanted, 1
    while name in taken:
        count += 1
        name = f"{wanted}_{count}"
    taken.add(name)
    return name


class Names:
    """What gives values of the compiler's own their names, beside those of a model.

    Args:
        taken: names that are in use.
    """

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)

    def fresh(self, wanted: str) -> str:
        """See :func:`unique`."""
        return unique(wanted, self._taken)


def values_of(model: ir.Model) -> set[str]:
    """Names of all values of a model's graph."""
    graph = model.graph
    values = [*graph.inputs, *graph.initializers.values(), *(value for node in graph for value in node.outputs)]
    return {value.name for value in values if value.name}
