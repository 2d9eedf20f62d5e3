"""Where every buffer lies in the arena: as small as the lifetimes allow.

Two buffers that live at the same time lie apart, with one exception: a kernel that reads its input in the order in
which it writes its output may have the output ``distance`` bytes below, so that it overwrites only what has been read
(diagonal overlap). Finding the smallest arena is NP-hard (dynamic storage allocation). Buffers are placed first-fit in
many orders, by size, by time and near these, and the search ends when it reaches the lower bound: at each step what
lives there has to fit, with the best overlap that the step's kernel allows.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from toolchain.compile.program import Program

ATTEMPTS = 2000


@dataclass(frozen=True)
class Buffer:
    """Bytes that are needed from one step to another.

    Attributes:
        name: the memory of a tensor, or the scratch of a step.
        bytes: size.
        first: index of the step that writes it.
        last: index of the last step that reads it.
        alignment: of its offset.
    """

    name: str
    bytes: int
    first: int
    last: int
    alignment: int = 1


@dataclass(frozen=True)
class Overlap:
    """``above`` dies in the step that writes ``below`` and may lie ``distance`` bytes over it."""

    above: str
    below: str
    distance: int


@dataclass(frozen=True)
class Plan:
    """Offsets.

    Attributes:
        buffers: what is placed.
        offsets: bytes from the start of the arena, by buffer.
        size: bytes of the arena.
        bound: no arena can be smaller: proven.
    """

    buffers: tuple[Buffer, ...]
    offsets: dict[str, int]
    size: int
    bound: int

    def living(self, step: int) -> tuple[Buffer, ...]:
        """The buffers that a step needs."""
        return tuple(b for b in self.buffers if b.first <= step <= b.last)


def scratch_name(step: int) -> str:
    """Name of the scratch buffer of a step; no tensor is called so."""
    return f"scratch {step}"


def buffers_of(program: Program) -> tuple[tuple[Buffer, ...], tuple[Overlap, ...]]:
    """Lifetimes of all memory that the caller does not bring, and which of it may overlap."""
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    size: dict[str, int] = {}
    alignment: dict[str, int] = {}
    for index, step in enumerate(program.steps):
        for tensor in (*step.call.inputs, step.call.output):
            name = tensor.memory
            first.setdefault(name, index)
            last[name] = index
            size[name] = max(size.get(name, 0), tensor.bytes)
            alignment[name] = max(alignment.get(name, 1), tensor.element.bytes)
    made = [Buffer(n, size[n], first[n], last[n], alignment[n]) for n in first if n not in program.external]
    overlaps = []
    for index, step in enumerate(program.steps):
        if step.call.scratch:
            made.append(Buffer(scratch_name(index), step.call.scratch, index, index, 4))
        names = [tensor.memory for tensor in step.call.inputs]
        below = step.call.output.memory
        if step.call.distance is None or not names or last[names[0]] != index or names.count(names[0]) > 1:
            continue
        if first[below] == index and not {names[0], below} & program.external:
            overlaps.append(Overlap(names[0], below, step.call.distance))
    return tuple(made), tuple(overlaps)


def plan(program: Program) -> Plan:
    """Place the memory of a program."""
    return place(*buffers_of(program))


def place(buffers: Sequence[Buffer], overlaps: Sequence[Overlap]) -> Plan:
    """Search for the smallest arena; the same input gives the same plan."""
    bound = lower_bound(buffers, overlaps)
    by_names = {(o.above, o.below): o for o in overlaps}
    best: dict[str, int] = {}
    size = -1
    for order in _orders(buffers):
        offsets = _first_fit(order, by_names)
        found = max((offsets[b.name] + b.bytes for b in buffers), default=0)
        if size < 0 or found < size:
            best, size = offsets, found
        if size <= bound:
            break
    return Plan(tuple(buffers), best, max(size, 0), bound)


def lower_bound(buffers: Sequence[Buffer], overlaps: Sequence[Overlap]) -> int:
    """Bytes that some step needs whatever the offsets: the sum of what lives there, less the best overlap."""
    bound = 0
    for step in range(max((b.last for b in buffers), default=-1) + 1):
        living = {b.name: b.bytes for b in buffers if b.first <= step <= b.last}
        total = sum(living.values())
        for overlap in overlaps:
            if overlap.above in living and overlap.below in living:
                above, below = living[overlap.above], living[overlap.below]
                joint = max(above, below, overlap.distance + above if overlap.distance > 0 else 0)
                total -= max(0, above + below - joint)
        bound = max(bound, total)
    return bound


def _orders(buffers: Sequence[Buffer]) -> list[list[Buffer]]:
    """Orders to place buffers in: by size, by time, and many near these."""
    by_size = sorted(buffers, key=lambda b: (-b.bytes, b.first, b.name))
    by_time = sorted(buffers, key=lambda b: (b.first, -b.bytes, b.name))
    by_life = sorted(buffers, key=lambda b: (b.first - b.last, -b.bytes, b.name))
    orders = [by_size, by_time, by_time[::-1], by_life]
    generator = random.Random(0)  # noqa: S311 - a search, not a secret
    for attempt in range(ATTEMPTS if len(buffers) > 1 else 0):
        order = list(orders[attempt % 4])
        for _ in range(1 + attempt % 5):
            a, b = generator.randrange(len(order)), generator.randrange(len(order))
            order[a], order[b] = order[b], order[a]
        orders.append(order)
    return orders


def _first_fit(order: Sequence[Buffer], overlaps: dict[tuple[str, str], Overlap]) -> dict[str, int]:
    """Each buffer at the lowest offset that no placed one forbids."""
    placed: list[tuple[Buffer, int]] = []
    for buffer in order:
        forbidden = []
        for other, offset in placed:
            if other.last < buffer.first or buffer.last < other.first:
                continue
            forbidden.append(_forbidden(buffer, other, offset, overlaps))
        at = _settle(forbidden, buffer.alignment)
        placed.append((buffer, at))
    return {buffer.name: offset for buffer, offset in placed}


def _settle(forbidden: Sequence[tuple[int, int]], alignment: int) -> int:
    """The lowest aligned offset that lies strictly inside no forbidden interval."""
    at, moved = 0, True
    while moved:
        moved = False
        for low, high in forbidden:
            if low < at < high:
                at, moved = _aligned(high, alignment), True
    return at


def _forbidden(buffer: Buffer, other: Buffer, offset: int, overlaps: dict[tuple[str, str], Overlap]) -> tuple[int, int]:
    """Offsets strictly between the two are forbidden to ``buffer`` by a placed one."""
    low, high = offset - buffer.bytes, offset + other.bytes
    over = overlaps.get((buffer.name, other.name))
    if over is not None:
        return low, min(high, max(offset + over.distance, low))
    under = overlaps.get((other.name, buffer.name))
    if under is not None:
        return max(low, min(offset - under.distance, high)), high
    return low, high


def _aligned(value: int, alignment: int) -> int:
    return -(-value // alignment) * alignment
