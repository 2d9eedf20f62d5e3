"""Sums of integer products that leave 16 bits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from toolchain.ops.cast import is_integer
from toolchain.ops.operator import Array
from toolchain.verify.causes.case import Case, Floats, Hypothesis
from toolchain.verify.causes.columns import columns

INT16 = 2.0**15
CHECKED = 256
"""Elements beyond their limits, and as many others, whose products are looked at one by one."""


@dataclass(frozen=True)
class Products:
    """A sum of integer products.

    Attributes:
        at: the node's position.
        data: integers as stored. zero: their zero point. weight: integers less their zero point. raw: as stored.
        unit: what one unit of the sum is worth in the node's result, broadcast over it.
        signed: the data is int8.
        inside: the node requantizes by itself (QLinearConv).
    """

    at: int
    data: Floats
    zero: float
    weight: Floats
    raw: Floats
    unit: Floats
    signed: bool
    inside: bool


def hypotheses(case: Case) -> Iterator[Hypothesis]:
    """The whole sum in 16 bits; sums of two products in 16 bits."""
    for at, _ in enumerate(case.steps):
        found = _products(case, at)
        if found is None:
            continue
        yield from _accumulator(case, found)
        yield from _pairs(case, found)


def _products(case: Case, at: int) -> Products | None:
    """The integers behind a product; ``None`` where there are none."""
    step = case.steps[at]
    name = step.operator.name
    inputs = case.inputs(at)
    if name == "QLinearConv" or name == "QLinearMatMul":
        x, sx, zx, w, sw, zw = inputs[:6]
        if x is None or sx is None or zx is None or w is None or sw is None or zw is None or zx.size != 1:
            return None
        return _made(case, at, (x, sx, zx), (w, sw, zw), inside=True)
    if name not in ("Conv", "Gemm", "MatMul") or len(inputs) < 2:
        return None
    behind = [_dequantized(case, str(step.inputs[i])) for i in (0, 1)]
    if behind[0] is None or behind[1] is None or (name == "Gemm" and step.attributes.transpose_a):
        return None
    return _made(case, at, behind[0], behind[1], inside=False)


def _dequantized(case: Case, name: str) -> tuple[Array, Array, Array] | None:
    """Integers, scale and zero point that a tensor is made of."""
    for step in case.steps:
        if step.outputs[0] == name and step.operator.name == "DequantizeLinear":
            values = [case.values[n] for n in step.inputs if n is not None]
            if len(values) < 2 or not is_integer(values[0].dtype):
                return None
            return values[0], values[1], values[2] if len(values) > 2 else np.zeros((), values[0].dtype)
    return None


def _made(
    case: Case, at: int, left: tuple[Array, Array, Array], right: tuple[Array, Array, Array], *, inside: bool
) -> Products | None:
    (x, sx, zx), (w, sw, zw) = left, right
    if x.dtype.itemsize > 1 or w.dtype.itemsize > 1 or sx.size != 1 or zx.size != 1:
        return None
    y = case.output(at)
    convolves = "Conv" in case.steps[at].operator.name
    scales = sw.astype(np.float64).reshape(-1, *(1,) * (y.ndim - 2)) if convolves and sw.size > 1 else sw.astype(float)
    transposed = case.steps[at].operator.name == "Gemm" and case.steps[at].attributes.transpose_b
    tall = convolves or transposed
    zero = zw.astype(np.float64)
    zero = (
        zero.reshape(-1, *(1,) * (w.ndim - 1))
        if zero.size > 1 and tall
        else zero.reshape(())
        if zero.size == 1
        else zero
    )
    raw = w.astype(np.float64) - (128.0 if w.dtype == np.uint8 else 0.0)
    data = x.astype(np.float64)
    unit = np.broadcast_to(float(sx.flat[0]) * (scales if scales.size > 1 else float(scales.flat[0])), y.shape)
    return Products(at, data, float(zx.flat[0]), w - zero, raw, unit, x.dtype == np.int8, inside)


def _accumulator(case: Case, p: Products) -> Iterator[Hypothesis]:
    """Sums that saturate at 16 bits or wrap there."""
    step = case.steps[p.at]
    if p.inside:
        return
    sums = np.rint(case.output(p.at) / p.unit)
    for words, changed in (
        ("saturate at", np.clip(sums, -INT16, INT16 - 1)),
        ("wrap round at", np.mod(sums + INT16, 2 * INT16) - INT16),
    ):
        if not np.array_equal(changed, sums):
            value = case.run(p.at, outputs=(case.output(p.at) + (changed - sums) * p.unit,))
            if value is not None:
                yield Hypothesis("saturation", f"{step.name}: its sums {words} 16 bits", value)


def _pairs(case: Case, p: Products) -> Iterator[Hypothesis]:
    """Sums of two products of 8 bits in 16, which saturate (VPMADDUBSW of x86)."""
    if not case.same_shape or case.output(p.at).shape != case.received.shape:
        return
    chosen, wrong = _chosen(case)
    if not wrong:
        return
    step = case.steps[p.at]
    found = _terms(case, p, chosen)
    if found is None:
        return
    where, terms = found
    words = f"{step.name}: sums of two products of 8 bits saturate at 16 bits (VPMADDUBSW)"
    for order in _orders(terms.shape[1:]):
        flat = terms.transpose(0, *(1 + o for o in order)).reshape(len(terms), -1)
        lost = _saturated(flat)
        if not lost.any():
            continue
        value = _moved(case, p, where, lost)
        if value is not None:
            at = tuple(where.T)
            share = _share(case.received[at], case.expected[at], value[at], case.limit[at])
            yield Hypothesis("saturation", words, value, share=share)
    flat = np.sort(terms.reshape(len(terms), -1), axis=1)
    if flat.shape[1] < 2:
        return
    can = (flat[:, -1] + flat[:, -2] > INT16 - 1) | (flat[:, 0] + flat[:, 1] < -INT16)
    explained, clean = float(can[:wrong].mean()), float((~can[wrong:]).mean()) if len(can) > wrong else 1.0
    yield Hypothesis("saturation", words, case.expected, share=0.9 * explained + 0.1 * clean, weak=True)


def _chosen(case: Case) -> tuple[Array, int]:
    """Indices of elements to look at: those beyond their limits first; and the number of these."""
    error = np.abs(case.received.astype(np.float64) - case.expected.astype(np.float64)) > case.limit
    rng = np.random.default_rng(0)
    wrong, right = np.argwhere(error), np.argwhere(~error)
    wrong = wrong[np.sort(rng.permutation(len(wrong))[:CHECKED])]
    right = right[np.sort(rng.permutation(len(right))[:CHECKED])]
    return np.concatenate([wrong, right]), len(wrong)


def _terms(case: Case, p: Products, chosen: Array) -> tuple[Array, Floats] | None:
    """Products of the chosen elements, unsigned by signed as the instruction takes them: [elements, depth...]."""
    step = case.steps[p.at]
    offset = 128.0 if p.signed else 0.0
    stored = p.data + offset
    gathered = columns(step, stored, p.raw.shape, chosen, fill=p.zero + offset)
    if gathered is None:
        return None
    channels = chosen[:, 1] if "Conv" in step.operator.name else chosen[:, -1]
    if "Conv" in step.operator.name or (step.operator.name == "Gemm" and step.attributes.transpose_b):
        rows = p.raw[channels]
    else:
        if p.raw.ndim != 2:
            return None
        rows = p.raw.T[channels]
    return chosen, gathered.reshape(rows.shape) * rows


def _orders(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Channels first and channels last."""
    natural = tuple(range(len(shape)))
    return [natural, (*natural[1:], 0)] if len(shape) > 1 else [natural]


def _saturated(terms: Floats) -> Floats:
    """What the sums of neighbouring pairs lose."""
    if terms.shape[1] % 2:
        terms = np.pad(terms, ((0, 0), (0, 1)))
    pairs = terms[:, 0::2] + terms[:, 1::2]
    return np.asarray((np.clip(pairs, -INT16, INT16 - 1) - pairs).sum(axis=1))


def _moved(case: Case, p: Products, where: Array, lost: Floats) -> Array | None:
    """The region's tensor with sums less at some elements."""
    at = tuple(where.T)
    if not p.inside:
        y = case.output(p.at).copy()
        y[at] += lost * p.unit[at]
        return case.run(p.at, outputs=(y,))
    scale, zero = case.inputs(p.at)[6], case.inputs(p.at)[7]
    if scale is None or zero is None or scale.size != 1:
        return None
    y = case.output(p.at).copy()
    limits = np.iinfo(y.dtype)
    shifted = y[at].astype(np.float64) + np.rint(lost * p.unit[at] / float(scale.flat[0]))
    y[at] = np.clip(shifted, limits.min, limits.max).astype(y.dtype)
    return case.run(p.at, outputs=(y,))


def _share(received: Array, expected: Array, value: Array, limit: Floats) -> float:
    """Share of the energy beyond the limits that disappears; one quantum beside is rounding."""
    r, e, v = (a.astype(np.float64) for a in (received, expected, value))
    before = np.where(np.abs(r - e) > limit, r - e, 0.0)
    quantum = 1.0 if received.dtype.kind in "iu" else float(np.min(np.abs(before[before != 0]), initial=0.0))
    after = np.where(np.abs(r - v) > np.maximum(limit, quantum), r - v, 0.0)
    energy = float(np.square(before).sum())
    return max(0.0, 1.0 - float(np.square(after).sum()) / energy) if energy else 0.0
