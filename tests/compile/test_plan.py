"""The memory plan: nothing that lives overlaps, and the arena is as small as brute force makes it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from toolchain.compile.plan import Buffer, Overlap, lower_bound, place


def _random(seed: int) -> tuple[list[Buffer], list[Overlap]]:
    generator = np.random.default_rng(seed)
    buffers = []
    for index in range(int(generator.integers(1, 7))):
        first = int(generator.integers(0, 5))
        alignment = int(generator.choice([1, 4]))
        buffers.append(
            Buffer(f"b{index}", int(generator.integers(1, 40)), first, first + int(generator.integers(0, 3)), alignment)
        )
    overlaps = [
        Overlap(a.name, b.name, int(generator.integers(-10, a.bytes + b.bytes)))
        for a, b in itertools.permutations(buffers, 2)
        if a.last == b.first and a.first < b.first and generator.random() < 0.5
    ]
    return buffers, overlaps


@pytest.mark.parametrize("seed", range(60))
def test_what_lives_together_lies_apart_or_overlaps_as_allowed(seed: int) -> None:
    buffers, overlaps = _random(seed)
    made = place(buffers, overlaps)
    allowed = {(o.above, o.below): o.distance for o in overlaps}
    for a, b in itertools.combinations(buffers, 2):
        if a.last < b.first or b.last < a.first:
            continue
        x, y = made.offsets[a.name], made.offsets[b.name]
        apart = x + a.bytes <= y or y + b.bytes <= x
        over = allowed.get((a.name, b.name)), allowed.get((b.name, a.name))
        diagonal = (over[0] is not None and x - y >= over[0]) or (over[1] is not None and y - x >= over[1])
        assert apart or diagonal
    assert all(made.offsets[b.name] % b.alignment == 0 for b in buffers)
    assert made.size == max(made.offsets[b.name] + b.bytes for b in buffers)
    assert made.bound <= made.size


@pytest.mark.parametrize("seed", range(25))
def test_no_arena_is_smaller_than_the_bound(seed: int) -> None:
    generator = np.random.default_rng(seed)
    buffers = [
        Buffer(
            f"b{i}",
            int(generator.integers(1, 5)),
            int(f := generator.integers(0, 3)),
            int(f + generator.integers(0, 2)),
        )
        for i in range(4)
    ]
    best = None
    for offsets in itertools.product(range(13), repeat=4):
        spans = [(o, o + b.bytes) for o, b in zip(offsets, buffers, strict=True)]
        if all(
            a.last < b.first or b.last < a.first or s[1] <= t[0] or t[1] <= s[0]
            for (a, s), (b, t) in itertools.combinations(zip(buffers, spans, strict=True), 2)
        ):
            size = max(end for _, end in spans)
            best = size if best is None else min(best, size)
    assert best is not None
    assert lower_bound(buffers, []) <= best == place(buffers, []).size


def test_in_place_and_diagonal() -> None:
    x, y = Buffer("x", 100, 0, 1), Buffer("y", 100, 1, 2)
    assert place([x, y], []).size == 200
    assert place([x, y], [Overlap("x", "y", 0)]).size == 100
    assert place([x, y], [Overlap("x", "y", 30)]).size == 130 == lower_bound([x, y], [Overlap("x", "y", 30)])


def test_nothing_to_place() -> None:
    assert place([], []).size == 0
