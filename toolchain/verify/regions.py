"""Cut a model at the tensors that a backend shows.

A region is what lies between observed tensors: the nodes that make one observed tensor from the nearest observed
ones before it. Where the runtime fused nothing a region is one node.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from toolchain.nodes import Step


@dataclass(frozen=True)
class Region:
    """Nodes judged together.

    Attributes:
        tensor: the observed tensor that they make.
        steps: in the model's order; none of their other outputs is observed.
        inputs: observed tensors (or graph inputs) that they read.
    """

    tensor: str
    steps: tuple[Step, ...]
    inputs: tuple[str, ...]

    @property
    def nodes(self) -> tuple[str, ...]:
        """Names of the nodes."""
        return tuple(step.name for step in self.steps)


class Named(Protocol):
    """Anything that lists nodes by name."""

    @property
    def nodes(self) -> tuple[str, ...]:
        """Names of the nodes."""


def cut(steps: Sequence[Step], constants: Collection[str], observed: Collection[str]) -> tuple[Region, ...]:
    """Regions of every observed tensor that a node makes, in the model's order.

    Args:
        steps: the model's nodes in order.
        constants: names of initialisers.
        observed: names of observed tensors and graph inputs.
    """
    producer = {name: index for index, step in enumerate(steps) for name in step.outputs if name}
    regions = []
    for index, step in enumerate(steps):
        for tensor in step.outputs:
            if tensor is None or tensor not in observed:
                continue
            members, inputs, pending = {index}, set(), [index]
            while pending:
                for name in steps[pending.pop()].inputs:
                    if name is None or name in constants:
                        continue
                    if name in observed:
                        inputs.add(name)
                    elif producer[name] not in members:
                        members.add(producer[name])
                        pending.append(producer[name])
            regions.append(Region(tensor, tuple(steps[i] for i in sorted(members)), tuple(sorted(inputs))))
    return tuple(regions)


def uncovered(steps: Sequence[Step], regions: Iterable[Named], outputs: Collection[str]) -> tuple[str, ...]:
    """Names of nodes that belong to no region although an output of the graph depends on them.

    Nodes on which no output depends mean nothing: a runtime may leave them out, and there is nothing to judge.
    """
    covered = {name for region in regions for name in region.nodes}
    needed, found = set(outputs), []
    for step in reversed(steps):
        if needed.isdisjoint(step.outputs):
            continue
        needed.update(name for name in step.inputs if name)
        if step.name not in covered:
            found.append(step.name)
    return tuple(reversed(found))
