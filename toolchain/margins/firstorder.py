"""First-order limit on how far rounding can move the difference of two scores.

Each node adds an error ``e_k`` with ``|e_k| <= b_k``, its sound limit. To first order these move a number ``f`` of
the outputs by ``sum_k <d f / d t_k, e_k>``, so by at most ``sum_k <|d f / d t_k|, b_k>`` (F. L. Bauer, Computational
graphs and rounding error, SIAM J. Numer. Anal. 11, 1974). Cancellation along paths is kept, which composing limits
node by node loses: hence it stays useful in deep networks. Products of errors are left out, and slopes are those at
the exact tensors: an estimate, not a proof, wherever an error reaches a kink (Relu, MaxPool) or a curved function.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from toolchain.errors import UnsupportedError
from toolchain.margins.adjoints import Passage, adjoint
from toolchain.nodes import Step
from toolchain.ops.arrays import Array
from toolchain.reference import Reference, evaluate
from toolchain.verify.folding import foldings
from toolchain.verify.judge import own


@dataclass(frozen=True)
class Trace:
    """One batch through the model, in float64.

    Attributes:
        values: every tensor by name, constants included.
        limits: for every node that rounds, the sound limit on what it adds to its first output.
        live: tensors that depend on the model's inputs.
    """

    values: Mapping[str, Array]
    limits: Mapping[str, Array]
    live: frozenset[str]


def trace(reference: Reference, feeds: Mapping[str, Array], roundoff: float) -> Trace:
    """Run a batch and bound what every node may add.

    Raises:
        UnsupportedError: a node cannot be evaluated, or its error not be bounded.
    """
    values: dict[str, Array] = {**reference.constants, **{n: np.asarray(a, np.float64) for n, a in feeds.items()}}
    limits: dict[str, Array] = {}
    live = set(feeds)
    folded = foldings(reference.steps, reference.constants)
    for step in reference.steps:
        inputs = [None if n is None else values[n] for n in step.inputs]
        outputs = evaluate(step, inputs)
        values.update({n: y for n, y in zip(step.outputs, outputs, strict=False) if n})
        if live.isdisjoint(n for n in step.inputs if n):
            continue
        live.update(n for n in step.outputs if n)
        name = step.outputs[0]
        if name is not None:
            limit = own(step, inputs, outputs, roundoff, folds=max(1, folded.get(name, 0)))[0].sound
            limits[name] = np.broadcast_to(limit, outputs[0].shape)
    return Trace(values, limits, frozenset(live))


def shift(reference: Reference, traced: Trace, output: str, seed: Array) -> Array:
    """To first order, the most that roundings can move ``<seed, output>`` of each sample.

    Args:
        reference: the model.
        traced: the batch.
        output: name of a tensor [N, ...].
        seed: a weight for each of its elements.

    Returns:
        float64 [N].

    Raises:
        UnsupportedError: gradients cannot be passed back through a node, or a tensor's first axis is not the batch.
    """
    gradients: dict[str, Array] = {output: seed}
    total = np.zeros(len(seed))
    for step in reversed(reference.steps):
        gradient = next((gradients.pop(n) for n in step.outputs if n in gradients), None)
        if gradient is None:
            continue
        name = step.outputs[0] or ""
        if gradient.shape[0] != len(total):
            raise UnsupportedError(f"{step.facts.where()}: its first axis is not the batch")
        with np.errstate(invalid="ignore"):
            total += (
                np.nan_to_num(np.abs(gradient) * traced.limits[name], nan=0.0, posinf=np.inf)
                .reshape(len(total), -1)
                .sum(axis=1)
            )
        _pass_back(step, traced, gradient, gradients)
    return total


def _pass_back(step: Step, traced: Trace, gradient: Array, gradients: dict[str, Array]) -> None:
    """Add what a node passes to each of its inputs."""
    inputs = [None if n is None else traced.values[n] for n in step.inputs]
    outputs: Sequence[Array] = [traced.values[n] for n in step.outputs if n]
    for index, name in enumerate(step.inputs):
        if name is None or name not in traced.live:
            continue
        if np.asarray(inputs[index]).dtype.kind != "f":
            raise UnsupportedError(f"{step.facts.where()}: input {name!r} holds integers; they have no gradient")
        passed = adjoint(Passage(step, inputs, outputs, gradient, index))
        gradients[name] = gradients[name] + passed if name in gradients else passed
