"""Keep a diagnosis cheap: few samples, and few output channels of large layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from toolchain.errors import ToolchainError
from toolchain.ops.operator import Array, Spec
from toolchain.verify.causes.case import LINEAR, Case, Floats, cost, evaluated
from toolchain.verify.regions import Region

CHEAP = 100_000_000
"""Multiplications that one recomputation may take; samples are left out until it fits."""
HEAVY = 50_000_000
"""Multiplications of one sample beyond which output channels are left out too."""
WORST, OTHERS = 6, 2
"""Channels that stay then: those with the largest errors, and some more."""


@dataclass(frozen=True)
class Finding:
    """What a diagnosis starts from; fields as in ``cause.diagnose``."""

    region: Region
    constants: Mapping[str, Array]
    observed: Mapping[str, Array]
    received: Array
    expected: Array
    limit: Floats
    roundoff: float
    specs: Mapping[str, Spec]


def sampled(found: Finding) -> Case:
    """A case of as many samples as are cheap, the worst ones first, where the region treats samples alike.

    Raises:
        UnsupportedError: a node cannot be evaluated.
    """
    order = _worst_first(found)
    one = None if order is None else _of_samples(found, order[:1])
    if order is None or one is None:
        return _whole(found)
    price = _price(one)
    count = int(np.clip(CHEAP // max(price, 1), 1, len(order)))
    case = one if count == 1 else _of_samples(found, sorted(order[:count])) or one
    return (narrowed(case, found.constants) or case) if price > HEAVY else case


def _whole(found: Finding) -> Case:
    values, static = evaluated(found.region, found.constants, found.observed)
    return Case(found.region, values, static, found.received, found.expected, found.limit, found.roundoff, found.specs)


def _price(case: Case) -> int:
    return sum(cost(step, case.inputs(at)) for at, step in enumerate(case.steps))


def _worst_first(found: Finding) -> list[int] | None:
    """Positions of the samples; ``None`` where the tensors have none."""
    r, y = found.received, found.expected
    if y.ndim < 2 or not len(y) or r.ndim != y.ndim or len(r) != len(y):
        return None
    if not all(np.ndim(found.observed[n]) and len(found.observed[n]) == len(y) for n in found.region.inputs):
        return None
    if r.shape != y.shape:
        return list(range(len(y)))
    energy = beyond(r, y, found.limit).reshape(len(y), -1).sum(axis=1)
    return [int(i) for i in np.argsort(-energy, kind="stable")]


def beyond(received: Array, expected: Array, limit: Floats) -> Floats:
    """Squared differences where they are beyond the limit, else 0; huge where only one is finite."""
    with np.errstate(all="ignore"):
        error = np.abs(received.astype(np.float64) - expected.astype(np.float64))
        both = np.isnan(received.astype(np.float64)) & np.isnan(expected.astype(np.float64))
        error = np.where(both, 0.0, np.minimum(np.nan_to_num(error, nan=1e100, posinf=1e100), 1e100))
        return np.where(error > limit, np.square(error), 0.0)


def _of_samples(found: Finding, kept: Sequence[int]) -> Case | None:
    """A case of some samples; ``None`` where the region mixes samples."""
    fewer = {name: np.asarray(found.observed[name])[list(kept)] for name in found.region.inputs}
    try:
        values, static = evaluated(found.region, found.constants, fewer)
    except (ToolchainError, ValueError, IndexError):
        return None
    part, meant = values[found.region.tensor], found.expected[list(kept)]
    if part.shape != meant.shape or not np.allclose(part, meant, equal_nan=True):
        return None
    received, limit = found.received[list(kept)], found.limit[list(kept)]
    return Case(found.region, values, static, received, part, limit, found.roundoff, found.specs)


def narrowed(case: Case, constants: Mapping[str, Array]) -> Case | None:
    """The same with few of the output channels of its largest layer; ``None`` where what follows mixes them."""
    linear = [at for at, _ in case.linear()]
    if not linear or not case.same_shape:
        return None
    at = max(linear, key=lambda i: cost(case.steps[i], case.inputs(i)))
    step, w = case.steps[at], case.inputs(at)[LINEAR[case.steps[at].operator.name].weight]
    y = case.output(at)
    axis = weight_axis(case, at)
    if w is None or axis is None or getattr(step.attributes, "group", 1) != 1 or y.ndim != case.expected.ndim:
        return None
    out = channel_axis(case, at)
    chosen = _channels(case, out)
    if chosen is None or y.shape[out] != case.expected.shape[out]:
        return None
    fewer = _sliced(case, constants, at, axis, chosen, w.shape[axis])
    inputs = {name: case.values[name] for name in case.region.inputs}
    try:
        values, static = evaluated(case.region, {**constants, **fewer}, inputs)
    except (ToolchainError, ValueError, IndexError):
        return None
    part, meant = values[case.region.tensor], np.take(case.expected, chosen, axis=out)
    if part.shape != meant.shape or not np.allclose(part, meant, equal_nan=True):
        return None
    return Case(
        case.region,
        values,
        static,
        np.take(case.received, chosen, axis=out),
        part,
        np.take(case.limit, chosen, axis=out),
        case.roundoff,
        case.specs,
        whole=case,
        narrow=(at, tuple(chosen)),
    )


def channel_axis(case: Case, at: int) -> int:
    """Of a linear node's output channels."""
    return case.output(at).ndim - 1 if "MatMul" in case.steps[at].operator.name else 1


def weight_axis(case: Case, at: int) -> int | None:
    """Of the output channels in a linear node's weight; ``None`` where there is none."""
    step = case.steps[at]
    w = case.inputs(at)[LINEAR[step.operator.name].weight]
    if step.operator.name in ("Conv", "QLinearConv", "ConvInteger"):
        return 0
    if step.operator.name == "Gemm":
        return 0 if step.attributes.transpose_b else 1
    return 1 if w is not None and w.ndim == 2 and "MatMul" in step.operator.name else None


def _channels(case: Case, axis: int) -> list[int] | None:
    """The worst and some others, in order; ``None`` where that is no saving."""
    count = case.expected.shape[axis]
    if count < 2 * (WORST + OTHERS):
        return None
    energy = beyond(case.received, case.expected, case.limit)
    each = energy.sum(axis=tuple(a for a in range(energy.ndim) if a != axis))
    order = [int(i) for i in np.argsort(-each, kind="stable")]
    spread = order[WORST :: max(1, (count - WORST) // OTHERS)][:OTHERS]
    return sorted(order[:WORST] + spread)


def _sliced(
    case: Case, constants: Mapping[str, Array], at: int, axis: int, chosen: Sequence[int], count: int
) -> dict[str, Array]:
    """Constants with the chosen channels alone: the weight's, and whatever follows has one for each."""
    parts = LINEAR[case.steps[at].operator.name]
    weight, data = (case.steps[at].inputs[position] for position in (parts.weight, parts.data))
    made: dict[str, Array] = {}
    for position, step in enumerate(case.steps):
        if position < at and step.outputs[0] not in case.static:
            continue
        for name in step.inputs:
            if name is None or name not in constants or name == data:
                continue
            array = constants[name]
            if name == weight or (step.outputs[0] == weight and array.ndim > 1):
                made[name] = np.take(array, chosen, axis=axis)
            elif array.ndim == 1 and array.size == count:
                made[name] = array[list(chosen)]
            elif array.size == count and count in array.shape:
                made[name] = np.take(array, chosen, axis=array.shape.index(count))
    return made
