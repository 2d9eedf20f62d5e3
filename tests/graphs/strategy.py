"""``graphs()``: small correct models over the operator set, and what to feed them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tests.graphs import exclusions, halved, layered, quantized, resized, values, windowed
from tests.graphs.hand import Hand
from tests.graphs.sketch import Graph, Sketch

OPSETS = (7, 8, 9, 10, 11, 12, 13, 14, 16, 17, 18, 19, 20, 21, 22, 23, 25, 28)
"""Where definitions change; the last is the newest that the runtime takes."""
NODES = 6
ELEMENTS = 4096
"""A tensor with more is used no further."""

Drawer = Callable[[Hand, str], str | None]

SPATIAL: tuple[Drawer, ...] = (
    windowed.conv, windowed.conv, windowed.conv_transpose, windowed.max_pool, windowed.max_pool,
    windowed.average_pool, windowed.average_pool, windowed.lp_pool, windowed.global_pool, windowed.byte_pool,
    resized.resize, resized.exchange, layered.normalization, halved.folded,
)  # fmt: skip
ANYWHERE: tuple[Drawer, ...] = (
    layered.unary, layered.unary, layered.parametrised, layered.binary, layered.binary, layered.clip, layered.softmax,
    layered.reduction, layered.concat, layered.reshaping, layered.pad, layered.matmul, layered.normalization,
    quantized.bracketed, halved.folded,
)  # fmt: skip


@st.composite
def graphs(draw: Callable[..., Any], *, nodes: int = NODES) -> Graph:
    """A model of one to ``nodes`` nodes (steps into and out of int8 not counted)."""
    opset = draw(st.sampled_from(OPSETS))
    rank = draw(st.sampled_from((4, 4, 4, 3, 5, 2)))
    sizes = st.integers(1, 9 if rank < 5 else 5)
    shape = (draw(st.integers(1, 2)), draw(st.integers(1, 6)), *(draw(sizes) for _ in range(rank - 2)))
    seed = draw(st.integers(0, 2**16))
    kind = draw(st.sampled_from((*values.KINDS, values.SPECIAL)))
    special = kind == values.SPECIAL
    x = values.floats("normal" if special else kind, shape, np.random.default_rng(seed))
    sketch = Sketch(opset, {"x": x}, barred=exclusions.barred)
    hand = Hand(draw, sketch, seed + 1)
    current = _made_special(sketch, shape, seed) if special else "x"
    for _ in range(draw(st.integers(1, nodes))):
        size = len(sketch.shape(current))
        pool = (*(SPATIAL if size >= 3 else ()), *ANYWHERE, *((layered.gemm,) * 4 if size == 2 else ()))
        if not size:
            pool = (layered.unary, layered.clip)
        drawer = hand.pick(pool)
        mark = sketch.checkpoint()
        y = drawer(hand, current)
        if y is None or np.prod(sketch.shape(y), dtype=np.int64) > ELEMENTS or len(sketch.shape(y)) > 5:
            sketch.rollback(mark)
            continue
        hand.history.append(y)
        current = hand.pick((y, y, y, *hand.history[-2:]))
    if not sketch.nodes:
        sketch.add("Relu", [current])
    return sketch.finish()


def _made_special(sketch: Sketch, shape: tuple[int, ...], seed: int) -> str:
    """NaN and infinities, added by the graph itself: ``verify`` takes no data that hold them."""
    name = sketch.constant(values.floats(values.SPECIAL, shape, np.random.default_rng(seed)))
    made = sketch.add("Add", ["x", name])
    assert made is not None
    return made
