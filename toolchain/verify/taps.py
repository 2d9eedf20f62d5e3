"""Outputs of a sum of products, sampled, each with everything that it is made of.

A region that holds one Conv, Gemm or MatMul with constant weights, and behind it only functions of one element, is
opened at a few positions: the factors under the window, the weights, and how the nodes behind the sum pass its error
on. That is what the tests of ``distribution.py`` need, and it costs little: a few hundred positions instead of all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import ToolchainError
from toolchain.nodes import Step
from toolchain.ops.conv import geometry
from toolchain.ops.operator import widen
from toolchain.reference import evaluate
from toolchain.verify.regions import Region

Array = NDArray[Any]
Floats = NDArray[np.float64]

SUMS = frozenset({"Conv", "Gemm", "MatMul"})
FOLDED = frozenset({"BatchNormalization", "Mul", "Add", "Div", "Sub"})
"""Behind a sum a runtime may fold these into its weights."""
OF_ONE_ELEMENT = FOLDED | {
    "Relu", "LeakyRelu", "PRelu", "Clip", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "Elu", "Selu", "Celu", "Gelu",
    "Mish", "Softplus", "Softsign", "ThresholdedRelu", "Swish", "Identity", "Dropout", "Neg",
}  # fmt: skip
"""Functions of one element (and of its channel) that are followed behind a sum."""
PRODUCTS = 1 << 26
FACTORS = 1 << 21
FEWEST, MOST = 8, 2048
STEP = 2.0**-12
FLAT, KINK = 2.0**-6, 0.1


@dataclass(frozen=True)
class Taps:
    """Sampled outputs. G groups of channels, P positions, C channels of a group, n taps of a window.

    Attributes:
        data: float64 [G, P, n], the factors under each window.
        weights: float64 [G, C, n].
        bias: float64 [G, C]; zeros without one.
        exact: float64 [G, P, C], exact values of the region's tensor.
        received: float64 [G, P, C], the backend's.
        slope: float64 [G, P, C], of the nodes behind the sum: error of the tensor over error of the sum. NaN where they
            are flat (behind Relu below zero) or kinked, so that an error of the sum would not show.
        behind: float64 [G, P, C], limit of what the nodes behind the sum may add to the tensor.
        folds: nodes behind the sum that may have been folded into the weights.
    """

    data: Floats
    weights: Floats
    bias: Floats
    exact: Floats
    received: Floats
    slope: Floats
    behind: Floats
    folds: int = 0

    @property
    def positions(self) -> int:
        """Number of sampled positions."""
        return int(self.data.shape[1])

    def sums(self) -> Floats:
        """Exact values of the sum: float64 [G, P, C]."""
        return np.asarray(self.data @ self.weights.swapaxes(1, 2) + self.bias[:, None])


def gather(
    region: Region, constants: Mapping[str, Array], observed: Mapping[str, Array], exact: Array, *, seed: int = 0
) -> Taps | None:
    """Open a region at sampled positions, no two of them with the same factors.

    Args:
        region: the nodes.
        constants: initialisers, widened.
        observed: the backend's tensors, at least the region's inputs and its tensor.
        exact: exact values of the region's tensor.
        seed: of the sample.

    Returns:
        ``None`` where the region is not one float32 sum with constant weights and functions of one element behind it.
    """
    received = observed[region.tensor]
    sums = [i for i, step in enumerate(region.steps) if step.operator.name in SUMS and not step.operator.domain]
    if len(sums) != 1 or received.dtype != np.float32 or received.shape != exact.shape or not received.size:
        return None
    values: dict[str, Array] = {name: widen(observed[name]) for name in region.inputs}
    head, (step, *tail) = region.steps[: sums[0]], region.steps[sums[0] :]
    try:
        if not _moved(head, values, constants):
            return None
        opened = _opened(step, values, constants, np.random.default_rng(seed))
        return None if opened is None else _behind(opened, step, tail, values, constants, exact, received)
    except (ToolchainError, ValueError, TypeError, KeyError, IndexError):
        # Another test has to say what is wrong with such a region; there is nothing to sample in it.
        return None


def merged(samples: Sequence[Taps]) -> Taps:
    """Several samples of one region as one, each window once."""
    first = samples[0]
    if len(samples) > 1:
        first = replace(
            first,
            data=np.concatenate([s.data for s in samples], axis=1),
            exact=np.concatenate([s.exact for s in samples], axis=1),
            received=np.concatenate([s.received for s in samples], axis=1),
            slope=np.concatenate([s.slope for s in samples], axis=1),
            behind=np.concatenate([s.behind for s in samples], axis=1),
        )
    rows = _distinct(first.data)
    return _rows(first, rows[_spaced(len(rows), wanted(*first.weights.shape))])


def wanted(groups: int, channels: int, terms: int) -> int:
    """Positions worth sampling: enough to see a fault of one weight, few enough to cost less than the layer."""
    by_work = PRODUCTS // max(groups * channels * terms, 1)
    by_memory = FACTORS // max(groups * terms, 1)
    return int(min(max(min(by_work, by_memory), FEWEST), MOST))


def _rows(taps: Taps, rows: NDArray[np.intp]) -> Taps:
    return replace(
        taps,
        data=taps.data[:, rows],
        exact=taps.exact[:, rows],
        received=taps.received[:, rows],
        slope=taps.slope[:, rows],
        behind=taps.behind[:, rows],
    )


def _distinct(data: Floats) -> NDArray[np.intp]:
    """Positions of different windows, by a random projection: equal windows (black background) err equally."""
    flat = np.moveaxis(data, 1, 0).reshape(data.shape[1], -1)
    keys = flat @ np.random.default_rng(1).standard_normal(flat.shape[1])
    return np.sort(np.unique(keys, return_index=True)[1])


def _moved(steps: Sequence[Step], values: dict[str, Array], constants: Mapping[str, Array]) -> bool:
    """Evaluate nodes before the sum; whether they only move or select, so that they round nothing."""
    for step in steps:
        inputs = _inputs(step, values, constants)
        outputs = evaluate(step, inputs)
        bounds = step.operator.bound(step.attributes, inputs, outputs, 2.0**-24)
        if any(np.any(bound.sound) for bound in bounds):
            return False
        values.update({name: y for name, y in zip(step.outputs, outputs, strict=False) if name})
    return True


def _inputs(step: Step, values: Mapping[str, Array], constants: Mapping[str, Array]) -> list[Array | None]:
    return [None if n is None else values[n] if n in values else constants[n] for n in step.inputs]


@dataclass(frozen=True)
class _Opened:
    """A sum at sampled positions: factors [G, P, n], weights [G, C, n], bias [G, C], positions, axis of channels."""

    data: Floats
    weights: Floats
    bias: Floats
    rows: NDArray[np.intp]
    axis: int

    def pick(self, tensor: Array) -> Floats:
        """A tensor of the sum's shape, at the positions: [G, P, C]."""
        channels = self.weights.shape[0] * self.weights.shape[1]
        flat = np.moveaxis(tensor, self.axis, -1).reshape(-1, channels)[self.rows]
        return self.grouped(flat.astype(np.float64))

    def grouped(self, flat: Floats) -> Floats:
        """[P, G C] to [G, P, C]."""
        groups, channels = self.weights.shape[:2]
        return np.ascontiguousarray(flat.reshape(len(flat), groups, channels).swapaxes(0, 1))


def _opened(
    step: Step, values: Mapping[str, Array], constants: Mapping[str, Array], rng: np.random.Generator
) -> _Opened | None:
    inputs = _inputs(step, values, constants)
    weight = step.inputs[1]
    if weight is None or weight in values or inputs[0] is None or inputs[0].dtype.kind != "f":
        return None
    if step.operator.name == "Conv":
        return _of_conv(step, inputs, rng)
    return _of_product(step, inputs, rng)


def _of_conv(step: Step, inputs: Sequence[Array | None], rng: np.random.Generator) -> _Opened:
    """Windows of the padded input, a row each."""
    x, w = np.asarray(inputs[0]), np.asarray(inputs[1])
    groups, terms = step.attributes.group, int(np.prod(w.shape[1:]))
    g = geometry(step.attributes, x.shape, w.shape)
    everywhere = x.shape[0] * int(np.prod(g.output))
    channels = w.shape[0] // groups
    rows = _some(everywhere, wanted(groups, channels, terms), rng)
    view = g.view(g.padded(x, 0))
    sample, *place = np.unravel_index(rows, (x.shape[0], *g.output))
    at: Any = (sample, slice(None), *place)
    windows = view[at].reshape(len(rows), groups, terms)
    data = np.ascontiguousarray(windows.swapaxes(0, 1))
    keep = _distinct(data)
    bias = np.zeros(w.shape[0]) if len(inputs) < 3 or inputs[2] is None else np.asarray(inputs[2])
    return _Opened(data[:, keep], w.reshape(groups, channels, terms), bias.reshape(groups, channels), rows[keep], 1)


def _of_product(step: Step, inputs: Sequence[Array | None], rng: np.random.Generator) -> _Opened | None:
    """Rows of the left matrix and columns of the right one, which is constant."""
    a, b = np.asarray(inputs[0]), np.asarray(inputs[1])
    if b.ndim != 2 or a.ndim < 2:
        return None
    bias = np.zeros(1)
    if step.operator.name == "Gemm":
        node = step.attributes
        a, b = a.T if node.transpose_a else a, b.T if node.transpose_b else b
        b = b if node.alpha == 1.0 else b * node.alpha
        if len(inputs) > 2 and inputs[2] is not None:
            bias = np.asarray(inputs[2]) * node.beta
    if bias.size not in (1, b.shape[1]) or (bias.ndim == 2 and bias.shape[0] != 1):
        return None
    flat = a.reshape(-1, a.shape[-1])
    rows = _some(len(flat), wanted(1, b.shape[1], b.shape[0]), rng)
    data = flat[rows][None]
    keep = _distinct(data)
    bias = np.broadcast_to(bias.ravel(), (b.shape[1],))[None]
    return _Opened(data[:, keep], b.T[None], bias, rows[keep], -1)


def _some(count: int, limit: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Positions; more than wanted, since equal windows are dropped."""
    several = 2 * limit
    if count <= several:
        return np.arange(count)
    return np.sort(rng.choice(count, size=several, replace=False))


def _spaced(count: int, limit: int) -> NDArray[np.intp]:
    """At most ``limit`` of ``count``, from beginning to end."""
    return np.unique(np.linspace(0, count - 1, min(count, limit)).astype(np.intp))


def _behind(
    opened: _Opened,
    step: Step,
    tail: Sequence[Step],
    values: Mapping[str, Array],
    constants: Mapping[str, Array],
    exact: Array,
    received: Array,
) -> Taps | None:
    """Follow the nodes behind the sum: their slope, and what they may add themselves."""
    keep = _spaced(len(opened.rows), wanted(*opened.weights.shape))
    opened = replace(opened, data=opened.data[:, keep], rows=opened.rows[keep])
    groups, channels, _ = opened.weights.shape
    z = opened.data @ opened.weights.swapaxes(1, 2) + opened.bias[:, None]
    lengths = [np.sqrt(np.einsum("gin,gin->gi", a, a)) for a in (opened.data, opened.weights)]
    largest = lengths[0][:, :, None] * lengths[1][:, None] + np.abs(opened.bias)[:, None]
    flat = z.swapaxes(0, 1).reshape(len(keep), groups * channels)
    shape = (len(keep), groups * channels, *(1,) * (exact.ndim - 2 if step.operator.name == "Conv" else 0))
    shift = STEP * largest.swapaxes(0, 1).reshape(shape)
    name = step.outputs[0] or ""
    at = _At(name, flat.reshape(shape), flat.reshape(shape) + shift, flat.reshape(shape) - shift, np.zeros(shape))
    slope: Array = np.ones(shape)
    for follower in tail:
        found = _follow(at, follower, opened, values, constants, exact.shape)
        if found is None:
            return None
        at = found
    up, down = (at.up - at.value) / shift.clip(1e-300), (at.value - at.down) / shift.clip(1e-300)
    slope = 0.5 * (up + down)
    dull = (np.abs(slope) < FLAT) | (np.abs(up - down) > KINK * np.abs(slope))
    slope = np.where(dull | ~np.isfinite(slope), np.nan, slope)
    flatten = (len(keep), groups * channels)
    return Taps(
        data=opened.data,
        weights=opened.weights,
        bias=opened.bias,
        exact=opened.pick(exact),
        received=opened.pick(received),
        slope=opened.grouped(slope.reshape(flatten)),
        behind=opened.grouped(at.added.reshape(flatten)),
        folds=sum(follower.operator.name in FOLDED for follower in tail),
    )


@dataclass(frozen=True)
class _At:
    """How far the nodes behind a sum have been followed: values [P, G C, 1...], moved up and down, what was added."""

    name: str
    value: Array
    up: Array
    down: Array
    added: Array


def _follow(
    at: _At,
    step: Step,
    opened: _Opened,
    values: Mapping[str, Array],
    constants: Mapping[str, Array],
    whole: tuple[int, ...],
) -> _At | None:
    """One node further; ``None`` where it is no function of one element of what came before."""
    if at.name not in step.inputs or step.operator.name not in OF_ONE_ELEMENT:
        return None
    others: dict[str, Array] = {}
    for name in step.inputs:
        if name is None or name == at.name:
            continue
        if name in values and values[name].shape == whole:
            picked = opened.pick(values[name]).swapaxes(0, 1)
            others[name] = picked.reshape(at.value.shape)
        elif name in constants:
            others[name] = constants[name]
        else:
            return None
    inputs = {
        kind: [None if n is None else x if n == at.name else others[n] for n in step.inputs]
        for kind, x in (("value", at.value), ("up", at.up), ("down", at.down))
    }
    results = {kind: evaluate(step, given)[0] for kind, given in inputs.items()}
    if any(y.shape != at.value.shape for y in results.values()):
        return None
    (own, *_) = step.operator.bound(step.attributes, inputs["value"], [results["value"]], 2.0**-24)
    apart = at.up - at.down
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = np.where(apart > 0, np.abs(results["up"] - results["down"]) / apart, 1.0)
    added = at.added * slope + np.broadcast_to(own.sound, at.value.shape)
    return _At(step.outputs[0] or "", results["value"], results["up"], results["down"], added)
