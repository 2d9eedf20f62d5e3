"""One finding, ready to be recomputed with something changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import ToolchainError
from toolchain.nodes import Step
from toolchain.ops.operator import Array, Spec, widen
from toolchain.reference import evaluate
from toolchain.verify.regions import Region

Floats = NDArray[np.float64]


class Parts(NamedTuple):
    """Which inputs of a linear operator are data, weight and bias."""

    data: int
    weight: int
    bias: int | None


LINEAR: Mapping[str, Parts] = {
    "Conv": Parts(0, 1, 2),
    "ConvTranspose": Parts(0, 1, 2),
    "Gemm": Parts(0, 1, 2),
    "MatMul": Parts(0, 1, None),
    "ConvInteger": Parts(0, 1, None),
    "MatMulInteger": Parts(0, 1, None),
    "QLinearConv": Parts(0, 3, 8),
    "QLinearMatMul": Parts(0, 3, None),
}
"""Operators that are linear in their data: which inputs are data, weight and bias."""


@dataclass(frozen=True)
class Hypothesis:
    """What a region gives if one thing were different.

    Attributes:
        kind: of the cause, a key of ``cause.KINDS``.
        detail: what would be different, a few words.
        value: the region's tensor then.
        share: replaces the share that is computed from ``value``, where only some elements could be recomputed.
        weak: circumstantial evidence: counts where nothing else explains the difference.
        fitted: a number in it is whatever fits best: of two that explain as much the other one is likelier.
    """

    kind: str
    detail: str
    value: Array
    share: float | None = None
    weak: bool = False
    fitted: bool = False


Family = Callable[["Case"], Iterator[Hypothesis]]


@dataclass(frozen=True)
class Case:
    """A region, its exact tensors, and what the backend gave.

    Attributes:
        region: the nodes.
        values: every tensor of the region, exact, by name; constants included.
        static: names of tensors that depend on no data.
        received: the backend's tensor.
        expected: the exact one.
        limit: how far a right answer may be off, of the shape of ``expected``.
        roundoff: unit roundoff of the backend's arithmetic.
        specs: types of the model's tensors.
        spent: multiplications so far, in ``spent[0]``; recomputing stops at ``budget``.
        budget: see ``spent``.
        whole: the case with all output channels, where this one has few.
        narrow: position of the node whose output channels these are, and which.
    """

    region: Region
    values: Mapping[str, Array]
    static: frozenset[str]
    received: Array
    expected: Array
    limit: Floats
    roundoff: float
    specs: Mapping[str, Spec]
    spent: list[int] = field(default_factory=lambda: [0])
    budget: int = 1 << 62
    whole: Case | None = None
    narrow: tuple[int, tuple[int, ...]] | None = None

    @property
    def steps(self) -> tuple[Step, ...]:
        """The region's nodes."""
        return self.region.steps

    @property
    def same_shape(self) -> bool:
        """Whether element by element comparison means anything."""
        return self.received.shape == self.expected.shape

    def inputs(self, at: int) -> tuple[Array | None, ...]:
        """Exact inputs of a node."""
        return tuple(None if name is None else self.values[name] for name in self.steps[at].inputs)

    def output(self, at: int) -> Array:
        """Exact first output of a node."""
        return self.values[str(self.steps[at].outputs[0])]

    def is_static(self, at: int, position: int) -> bool:
        """Whether an input of a node depends on no data."""
        names = self.steps[at].inputs
        return position < len(names) and names[position] in self.static

    def run(
        self,
        at: int,
        *,
        attributes: Any = None,
        inputs: Mapping[int, Array | None] | None = None,
        outputs: Sequence[Array] | None = None,
    ) -> Array | None:
        """The region's tensor with one node changed, and all that follows from it.

        Args:
            at: position of the node.
            attributes: instead of its own.
            inputs: instead of its own, by position.
            outputs: instead of what it computes.

        Returns:
            ``None`` where that cannot be evaluated, or where the budget is spent.
        """
        given = list(self.inputs(at))
        for position, array in (inputs or {}).items():
            given.extend([None] * (position + 1 - len(given)))
            given[position] = array
        changed: dict[str, Array] = {}
        try:
            if outputs is None:
                outputs = self._evaluate(self.steps[at], given, attributes)
            changed.update({n: y for n, y in zip(self.steps[at].outputs, outputs, strict=False) if n})
            for step in self.steps[at + 1 :]:
                if changed.keys().isdisjoint(n for n in step.inputs if n):
                    continue
                now = [None if n is None else changed.get(n, self.values[n]) for n in step.inputs]
                made = self._evaluate(step, now, None)
                changed.update({n: y for n, y in zip(step.outputs, made, strict=False) if n})
        except (ToolchainError, ValueError, TypeError, IndexError, ZeroDivisionError):
            return None
        return changed.get(self.region.tensor)

    def feed(self, name: str, array: Array) -> Array | None:
        """The region's tensor with another tensor in the place of one of its inputs."""
        changed = {name: array}
        try:
            for step in self.steps:
                if changed.keys().isdisjoint(n for n in step.inputs if n):
                    continue
                now = [None if n is None else changed.get(n, self.values[n]) for n in step.inputs]
                made = self._evaluate(step, now, None)
                changed.update({n: y for n, y in zip(step.outputs, made, strict=False) if n})
        except (ToolchainError, ValueError, TypeError, IndexError, ZeroDivisionError):
            return None
        return changed.get(self.region.tensor)

    def _evaluate(self, step: Step, inputs: Sequence[Array | None], attributes: Any) -> tuple[Array, ...]:
        if self.spent[0] > self.budget:
            raise ValueError("the budget is spent")
        self.spent[0] += cost(step, inputs)
        with np.errstate(all="ignore"):
            if attributes is None:
                return evaluate(step, list(inputs))
            return step.operator.evaluate(attributes, list(inputs))

    def channel(self, at: int, position: int) -> int:
        """An output channel of a node as the model counts it."""
        return self.narrow[1][position] if self.narrow is not None and self.narrow[0] == at else position

    def weight(self, at: int, position: int) -> Array | None:
        """A node's weight with all output channels."""
        return (self.whole or self).inputs(at)[position]

    def linear(self) -> Iterator[tuple[int, Parts]]:
        """Positions of nodes that are linear in their data under constant weights, and their inputs' parts."""
        for at, step in enumerate(self.steps):
            parts = LINEAR.get(step.operator.name)
            if parts is not None and self.is_static(at, parts.weight) and not self.is_static(at, parts.data):
                yield at, parts


def cost(step: Step, inputs: Sequence[Array | None]) -> int:
    """Multiplications of a node, or the elements that it reads."""
    read = sum(int(np.size(x)) for x in inputs if x is not None)
    parts = LINEAR.get(step.operator.name)
    if parts is None:
        return read
    x, w = inputs[parts.data], inputs[parts.weight]
    if x is None or w is None:
        return read
    if "Conv" in step.operator.name:
        return read + int(w.size) * int(x.shape[0]) * int(np.prod(x.shape[2:]))
    return read + int(w.size) * int(np.prod(x.shape[:-1], dtype=np.int64))


def evaluated(
    region: Region, constants: Mapping[str, Array], observed: Mapping[str, Array]
) -> tuple[dict[str, Array], frozenset[str]]:
    """Every tensor of a region, exact, and the names of those that depend on no data.

    Raises:
        UnsupportedError: a node cannot be evaluated.
    """
    values: dict[str, Array] = {name: widen(observed[name]) for name in region.inputs}
    static = set()
    for step in region.steps:
        for name in step.inputs:
            if name is not None and name not in values:
                values[name] = constants[name]
                static.add(name)
        made = evaluate(step, [None if n is None else values[n] for n in step.inputs])
        names = {n: y for n, y in zip(step.outputs, made, strict=False) if n}
        values.update(names)
        if all(n is None or n in static for n in step.inputs):
            static.update(names)
    return values, frozenset(static)
