"""Judge runs of a model with a fixed batch together, where a region treats every sample alike.

A model exported for one sample at a time has to be run a thousand times for a thousand samples. Its regions need not be
judged a thousand times: nodes that treat the samples of a batch apart from each other mean the same for a stack of
batches, and one NumPy call on the stack costs little more than one on a single batch.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from toolchain.nodes import Step
from toolchain.ops.operator import Array, Spec
from toolchain.verify.regions import Region

_OF_THE_FIRST = frozenset(
    {
        "AveragePool", "BatchNormalization", "Celu", "Clip", "Conv", "ConvTranspose", "Elu", "Gelu", "Gemm",
        "GlobalAveragePool", "GlobalMaxPool", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "MaxPool", "Mish",
        "Relu", "Selu", "Sigmoid", "Softplus", "Softsign", "Swish", "Tanh", "ThresholdedRelu",
    }
)  # fmt: skip
"""Operators whose output for a sample depends on that sample of the first input, and on the other inputs."""
_OF_ALL = frozenset({"Add", "Div", "Mul", "Sub"})
"""Element-wise operators of tensors that are all batches, or the same for every sample."""


def stackable(region: Region, constants: Mapping[str, Array], specs: Mapping[str, Spec], batch: int) -> bool:
    """Whether batches of a region's inputs may be stacked along axis 0, to make the stack of its tensors.

    Args:
        region: the nodes.
        constants: initialisers by name.
        specs: types and shapes of the model's tensors.
        batch: samples in every batch.
    """
    batches = {*region.inputs, *(name for step in region.steps for name in step.outputs if name)}
    if not all(name in specs and specs[name].shape[:1] == (batch,) for name in batches):
        return False
    return all(_alike(step, batches, constants, specs) for step in region.steps)


def _alike(step: Step, batches: Collection[str], constants: Mapping[str, Array], specs: Mapping[str, Spec]) -> bool:
    """Whether a node treats the samples of a batch alike, and apart from each other."""
    name, inputs = step.operator.name, [n for n in step.inputs if n]
    if step.operator.domain or sum(output is not None for output in step.outputs) != 1:
        return False
    if name in _OF_ALL:
        rank = max(len(specs[n].shape) for n in inputs if n in batches)
        return all(len(specs[n].shape) == rank if n in batches else _shared(constants[n], rank) for n in inputs)
    if name not in _OF_THE_FIRST or [n for n in inputs if n in batches] != inputs[:1]:
        return False
    if name != "Gemm":
        return True
    return not step.attributes.transpose_a and all(_shared(constants[n], 2) for n in inputs[2:])


def _shared(constant: Array, rank: int) -> bool:
    """Whether a constant is broadcast over the samples of tensors of a rank."""
    return constant.ndim < rank or (constant.ndim == rank and constant.shape[0] == 1)


def stacked(runs: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    """Several runs of the same names as one, each tensor the stack of its batches along axis 0."""
    return {name: np.concatenate([run[name] for run in runs]) for name in runs[0]}
