"""The order of a kernel's taps, of a weight's axes, and of channels."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from toolchain.ops.operator import Array
from toolchain.verify.causes.case import Case, Hypothesis, Parts
from toolchain.verify.causes.sampled import channel_axis, weight_axis

SWAPS = 24
"""Largest number of channels of which all pairs are tried."""
LARGE = 1 << 24
"""Elements of a weight that is not copied."""


def hypotheses(case: Case) -> Iterator[Hypothesis]:
    """Weights and channels rearranged."""
    for at, parts in case.linear():
        name = case.steps[at].name
        w, all_channels = case.inputs(at)[parts.weight], case.weight(at, parts.weight)
        if w is None or all_channels is None:
            continue
        turned_all = ((k, d, _kept(case, at, t)) for k, d, t in _transposed(case, at, all_channels))
        for kind, detail, turned in itertools.chain(_taps(w), turned_all):
            value = case.run(at, inputs={parts.weight: turned})
            if value is not None:
                yield Hypothesis(kind, f"{name}: {detail}", value)
        yield from _flags(case, at)
        yield from _inputs(case, at, parts.data)
        yield from _outputs(case, at, parts)
    yield from _received(case)


def _kept(case: Case, at: int, w: Array) -> Array:
    """Those output channels of a whole weight that the case has."""
    axis = weight_axis(case, at)
    if case.narrow is None or case.narrow[0] != at or axis is None:
        return w
    return np.take(w, case.narrow[1], axis=axis)


def _taps(w: Array) -> Iterator[tuple[str, str, Array]]:
    """Every flip of the kernel's axes, and every order of them that keeps the shape."""
    rank = w.ndim - 2
    if rank < 1:
        return
    axes = tuple(range(2, w.ndim))
    named = {1: ("",), 2: ("rows", "columns"), 3: ("depth", "rows", "columns")}.get(rank, tuple(map(str, axes)))
    orders = [
        o for o in itertools.permutations(range(rank)) if all(w.shape[2 + i] == w.shape[2 + o[i]] for i in range(rank))
    ]
    for order in orders:
        turned = w.transpose(0, 1, *(2 + o for o in order))
        swapped = "" if order == tuple(range(rank)) else f"axes in the order {', '.join(named[o] for o in order)}"
        for count in range(rank + 1):
            for flipped in itertools.combinations(range(rank), count):
                if not swapped and not flipped:
                    continue
                which = (
                    "turned round" if len(flipped) == rank else f"{' and '.join(named[i] for i in flipped)} mirrored"
                )
                words = [swapped] if swapped else []
                words += [f"kernel {which}".strip()] if flipped else []
                yield "kernel order", ", ".join(words), np.flip(turned, tuple(axes[i] for i in flipped))


def _transposed(case: Case, at: int, w: Array) -> Iterator[tuple[str, str, Array]]:
    """The first two axes swapped: where they are as long, else read so from memory."""
    if w.ndim < 2:
        return
    if w.ndim == 2:
        turned = w.T if w.shape[0] == w.shape[1] else w.reshape(w.shape[::-1]).T
        if w.shape[0] != w.shape[1] and w.size <= LARGE:
            yield "transposed weight", "the matrix is stored transposed", np.ascontiguousarray(w.T).reshape(w.shape)
        yield "transposed weight", "the matrix is read transposed", turned
        return
    if w.ndim > 2 and case.steps[at].operator.name in ("MatMul", "QLinearMatMul", "MatMulInteger"):
        if w.shape[-1] == w.shape[-2]:
            yield "transposed weight", "matrices are read transposed", np.swapaxes(w, -1, -2)
        return
    swapped = np.swapaxes(w, 0, 1)
    if swapped.shape == w.shape:
        yield "transposed weight", "input and output channels are swapped", swapped
    else:
        yield "transposed weight", "stored with the channels swapped", np.ascontiguousarray(swapped).reshape(w.shape)
        read = np.swapaxes(w.reshape(w.shape[1], w.shape[0], *w.shape[2:]), 0, 1)
        yield "transposed weight", "read with input and output channels swapped", read
    last = np.ascontiguousarray(np.moveaxis(w, 1, -1)).reshape(w.shape)
    yield "layout", "the weight is stored with its input channels last", last
    first = np.ascontiguousarray(np.moveaxis(w, (0, 1), (-1, -2))).reshape(w.shape)
    yield "layout", "the weight is stored with its channels last", first


def _flags(case: Case, at: int) -> Iterator[Hypothesis]:
    """TransA and transB of Gemm taken the other way, where the shapes allow it."""
    step = case.steps[at]
    if step.operator.name != "Gemm":
        return
    for name, words in (("transpose_a", "transA"), ("transpose_b", "transB")):
        was = bool(getattr(step.attributes, name))
        value = case.run(at, attributes=replace(step.attributes, **{name: not was}))
        if value is not None:
            yield Hypothesis(
                "transposed weight", f"{step.name}: {words} {int(not was)} in the place of {int(was)}", value
            )


def _orders(channels: int, group: int) -> Iterator[tuple[str, list[int]]]:
    """Likely orders of channels."""
    natural = list(range(channels))
    yield "reversed", natural[::-1]
    for shift in (1, -1):
        yield f"moved by {shift}", natural[shift:] + natural[:shift]
    for groups in dict.fromkeys([group, 2, 4, 8, 16]):
        if 1 < groups < channels and channels % groups == 0:
            yield f"{groups} groups interleaved", np.arange(channels).reshape(groups, -1).T.ravel().tolist()
            yield f"{groups} groups taken apart", np.arange(channels).reshape(-1, groups).T.ravel().tolist()
            if groups == group or groups == 2:
                turned = np.arange(channels).reshape(groups, -1)
                yield f"{groups} groups reversed", turned[::-1].ravel().tolist()
                yield f"{groups} groups moved by one", np.roll(turned, 1, axis=0).ravel().tolist()
    if channels <= SWAPS:
        for a, b in itertools.combinations(natural, 2):
            if not (a == 0 and b == channels - 1 and channels <= 3):
                order = natural.copy()
                order[a], order[b] = b, a
                yield f"{a} and {b} swapped", order


def _inputs(case: Case, at: int, data: int) -> Iterator[Hypothesis]:
    """Input channels in another order."""
    step, x = case.steps[at], case.inputs(at)[data]
    if x is None or x.ndim < 2:
        return
    axis = x.ndim - 1 if "MatMul" in step.operator.name else 1
    likely = _orders(x.shape[axis], getattr(step.attributes, "group", 1))
    for order, words in {tuple(order): words for words, order in likely}.items():
        value = case.run(at, inputs={data: np.take(x, order, axis=axis)})
        if value is not None:
            yield Hypothesis("channel order", f"{step.name}: input channels {words}", value)


def _outputs(case: Case, at: int, parts: Parts) -> Iterator[Hypothesis]:
    """Filters in another order, the bias staying; or groups of them."""
    step, w = case.steps[at], case.weight(at, parts.weight)
    if w is None or step.operator.name not in ("Conv", "QLinearConv", "ConvInteger") or w.shape[0] < 2:
        return
    group = step.attributes.group
    for words, order in _orders(w.shape[0], group):
        if "swapped" in words and w.shape[0] > 8:
            continue
        value = case.run(at, inputs={parts.weight: _kept(case, at, w[order])})
        if value is not None:
            yield Hypothesis("channel order", f"{step.name}: filters {words}, the bias not", value)


def _received(case: Case) -> Iterator[Hypothesis]:
    """The result's channels in whatever other order: each received channel is matched with the nearest exact one."""
    every = case.whole or case
    y, r = every.expected, every.received
    if not case.same_shape or y.ndim < 2 or not 2 <= y.shape[1] <= 4096:
        return
    channels = y.shape[1]
    a = np.moveaxis(np.nan_to_num(y.astype(np.float64)), 1, 0).reshape(channels, -1)
    b = np.moveaxis(np.nan_to_num(r.astype(np.float64)), 1, 0).reshape(channels, -1)
    rng = np.random.default_rng(0)
    some = np.sort(rng.choice(a.shape[1], min(a.shape[1], 256), replace=False))
    a, b = a[:, some], b[:, some]
    b = np.clip(b, -(2.0**64), 2.0**64)
    far = np.square(b).sum(1)[:, None] - 2 * (b @ a.T) + np.square(a).sum(1)[None]
    order = far.argmin(1)
    own = far[np.arange(channels), np.arange(channels)] <= far.min(1) * (1 + 1e-9) + 1e-12 * np.square(a).sum(1).max()
    order = np.where(own, np.arange(channels), order)
    if (order == np.arange(channels)).all():
        return
    moved = np.flatnonzero(order != np.arange(channels))
    words = ", ".join(f"{int(order[c])} at {int(c)}" for c in moved[:4]) + (" ..." if len(moved) > 4 else "")
    if len(set(order.tolist())) == channels:
        value = np.take(y, order, axis=1)
        if case.narrow is not None:
            value = np.take(value, case.narrow[1], axis=channel_axis(case, case.narrow[0]))
        yield Hypothesis("channel order", f"output channels permuted: {words}", value)
