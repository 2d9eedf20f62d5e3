"""LayerNormalization written in nine nodes, as exporters before operator set 17 do, judged as the one that it is.

``(x - mean(x)) / sqrt(mean((x - mean(x))^2) + epsilon) * scale + bias``: limits that are composed node by node know
nothing of the variance being positive, and are infinite; those of LayerNormalization are not. Runtimes fuse the nine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from toolchain.nodes import Step
from toolchain.ops import registry
from toolchain.ops.arrays import Array
from toolchain.ops.normalization import Normalization
from toolchain.ops.operator import Spec

_LEAST = 7
"""Nodes from the mean to the product with the scale."""


def recognized(steps: Sequence[Step], constants: Mapping[str, Array], specs: Mapping[str, Spec]) -> tuple[Step, ...]:
    """Steps with every LayerNormalization over the last axis as one step.

    Args:
        steps: of a region.
        constants: initialisers, for exponent and epsilon.
        specs: types and shapes of the model's tensors.
    """
    names = [step.operator.name for step in steps]
    if len(steps) < _LEAST or names.count("ReduceMean") < 2 or "Sqrt" not in names:
        return tuple(steps)
    search = _Search(steps, constants, specs)
    replaced: dict[int, Step] = {}
    dropped: set[int] = set()
    for step in steps:
        found = search.ending_at(step) if step.operator.name == "Div" else None
        if found is not None:
            members, last, whole = found
            replaced[last] = whole
            dropped |= members
    return tuple(replaced.get(i, step) for i, step in enumerate(steps) if i in replaced or i not in dropped)


class _Search:
    """Follows tensors backwards through one region."""

    def __init__(self, steps: Sequence[Step], constants: Mapping[str, Array], specs: Mapping[str, Spec]) -> None:
        self._steps = steps
        self._constants = constants
        self._specs = specs
        self._producer = {name: i for i, step in enumerate(steps) for name in step.outputs if name}
        self._readers: dict[str, list[int]] = {}
        for i, step in enumerate(steps):
            for name in step.inputs:
                if name:
                    self._readers.setdefault(name, []).append(i)

    def _made_by(self, name: str | None, *operators: str) -> tuple[int, Step] | None:
        """The step that makes a tensor, if it is one of these operators."""
        index = self._producer.get(name or "")
        if index is None or self._steps[index].operator.name not in operators:
            return None
        return index, self._steps[index]

    def _constant(self, name: str | None) -> Array | None:
        alias = self._made_by(name, "Identity")
        if alias is not None:
            return self._constant(alias[1].inputs[0])
        return self._constants.get(name or "")

    def _number(self, name: str | None) -> float | None:
        value = self._constant(name)
        return float(value.reshape(())) if value is not None and value.size == 1 else None

    def _over_last(self, step: Step) -> bool:
        """Whether a ReduceMean keeps its axis and takes the last one."""
        node: Any = step.attributes
        given = self._constant(step.inputs[1]) if len(step.inputs) > 1 else None
        axes = node.axes if given is None else tuple(int(a) for a in given.reshape(-1))
        known = self._specs.get(step.inputs[0] or "")
        last = (-1,) if known is None else (-1, len(known.shape) - 1)
        return bool(node.keep) and axes is not None and len(axes) == 1 and axes[0] in last

    def ending_at(self, division: Step) -> tuple[set[int], int, Step] | None:
        """The steps of a LayerNormalization whose quotient this is: to drop, the last one, and what replaces it."""
        difference = self._made_by(division.inputs[0], "Sub")
        root = self._made_by(division.inputs[1], "Sqrt")
        inside = root and self._made_by(root[1].inputs[0], "Add")
        if difference is None or root is None or not inside:
            return None
        pair = _pair(inside[1])
        sides = [(self._made_by(a, "ReduceMean"), self._number(b)) for a, b in (pair, pair[::-1])]
        variance, epsilon = next(((v, e) for v, e in sides if v is not None and e is not None), (None, None))
        center = self._made_by(difference[1].inputs[1], "ReduceMean")
        x = difference[1].inputs[0]
        if variance is None or epsilon is None or center is None or center[1].inputs[0] != x or x is None:
            return None
        square = self._made_by(variance[1].inputs[0], "Pow", "Mul")
        if square is None or not self._squares(square[1], division.inputs[0]):
            return None
        if not (self._over_last(center[1]) and self._over_last(variance[1])):
            return None
        members = {difference[0], root[0], inside[0], variance[0], center[0], square[0]}
        return self._affine(division, members, x, epsilon)

    def _squares(self, step: Step, name: str | None) -> bool:
        if step.operator.name == "Mul":
            return tuple(step.inputs) == (name, name)
        return step.inputs[0] == name and self._number(step.inputs[1]) == 2.0

    def _affine(self, division: Step, members: set[int], x: str, epsilon: float) -> tuple[set[int], int, Step] | None:
        """With the scale and the bias behind the quotient."""
        quotient = self._producer[division.outputs[0] or ""]
        scaled = self._only_reader(division.outputs[0], "Mul")
        if scaled is None:
            return None
        members |= {quotient}
        last, parameters = scaled, [_other(self._steps[scaled], division.outputs[0])]
        shifted = self._only_reader(self._steps[scaled].outputs[0], "Add")
        if shifted is not None:
            members |= {scaled}
            parameters.append(_other(self._steps[shifted], self._steps[scaled].outputs[0]))
            last = shifted
        members -= {last}
        if any(set(self._readers.get(n, ())) - members - {last} for i in members for n in self._steps[i].outputs if n):
            return None
        operator = registry()["", "LayerNormalization"]
        node = Normalization(epsilon=epsilon)
        whole = replace(self._steps[last], operator=operator, attributes=node, inputs=(x, *parameters))
        return members, last, whole

    def _only_reader(self, name: str | None, operator: str) -> int | None:
        readers = self._readers.get(name or "", [])
        return readers[0] if len(readers) == 1 and self._steps[readers[0]].operator.name == operator else None


def _pair(step: Step) -> tuple[str | None, str | None]:
    return step.inputs[0], step.inputs[1]


def _other(step: Step, name: str | None) -> str | None:
    first, second = _pair(step)
    return second if first == name else first
