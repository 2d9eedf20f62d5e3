"""BatchNormalization: https://onnx.ai/onnx/operators/onnx__BatchNormalization.html.

Inference in every version: versions before 14 infer when they have one output ("Output case #2: Y (test mode)"),
and with more outputs they train, which is refused (their running statistics are updated in place). Since version 14
``training_mode`` says so, and training is fully specified. ``spatial = 0`` (before version 9) has statistics of the
shape of one sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from toolchain.ops.bounds import Bound, accumulated
from toolchain.ops.moments import moments, normalized, normalized_bounds
from toolchain.ops.operator import Array, Inputs, NodeFacts, Operator, Spec, required
from toolchain.ops.spreads import Errors, corners

_INPUTS = ("X", "scale", "B", "mean", "var")
_ROUNDINGS = 7


@dataclass(frozen=True)
class BatchNormalization:
    """Attributes of a BatchNormalization node.

    Attributes:
        epsilon: added to the variance.
        momentum: weight of the running statistics in training.
        training: statistics of the batch normalise, and running ones are further outputs.
        spatial: one statistic a channel; else one an element of a sample.
    """

    epsilon: float
    momentum: float
    training: bool
    spatial: bool


def parse(facts: NodeFacts) -> BatchNormalization:
    """Read the attributes."""
    get = facts.attributes.get
    training = facts.version >= 14 and bool(get("training_mode", 0))
    if facts.outputs > 1 and not training:
        raise facts.unsupported(
            f"it has {facts.outputs} outputs, as in training", "export the model for inference, with one output"
        )
    return BatchNormalization(
        epsilon=float(get("epsilon", np.float32(1e-5))),
        momentum=float(get("momentum", np.float32(0.9))),
        training=training,
        spatial=bool(get("spatial", 1)),
    )


def _check(node: BatchNormalization, shapes: Sequence[tuple[int, ...]]) -> None:
    """Refuse statistics that do not fit the input."""
    x = shapes[0]
    if len(x) < 2:
        raise ValueError(f"X has shape {list(x)}; expected [N, C, ...]")
    expected = x[1:2] if node.spatial else x[1:]
    for name, shape in zip(_INPUTS[1:], shapes[1:], strict=True):
        if tuple(shape) != tuple(expected):
            raise ValueError(f"{name} has shape {list(shape)}; expected {list(expected)}")


def _aligned(node: BatchNormalization, inputs: Inputs) -> tuple[Array, ...]:
    """The five inputs, statistics shaped to broadcast over the first."""
    arrays = [required(inputs, index) for index in range(len(_INPUTS))]
    _check(node, [array.shape for array in arrays])
    x = arrays[0]
    shape = (1, -1, *(1,) * (x.ndim - 2)) if node.spatial else (1, *x.shape[1:])
    return (x, *(array.reshape(shape) for array in arrays[1:]))


def _axes(x: Array) -> tuple[int, ...]:
    """All but the channels."""
    return (0, *range(2, x.ndim))


def evaluate(node: BatchNormalization, inputs: Inputs) -> tuple[Array, ...]:
    """``(X - mean) / sqrt(var + epsilon) * scale + B``; in training with the batch's own mean and variance."""
    x, scale, bias, mean, variance = _aligned(node, inputs)
    if not node.training:
        return ((x - mean) / np.sqrt(variance + node.epsilon) * scale + bias,)
    center, spread = moments(x, _axes(x))
    return (
        normalized(x, _axes(x), node.epsilon)[0] * scale + bias,
        (mean * node.momentum + center * (1 - node.momentum)).reshape(-1),
        (variance * node.momentum + spread * (1 - node.momentum)).reshape(-1),
    )


def infer(node: BatchNormalization, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    """Type and shape of the input; in training also the running statistics."""
    specs: list[Spec] = [required(inputs, index) for index in range(len(_INPUTS))]
    _check(node, [spec.shape for spec in specs])
    y = Spec(specs[0].dtype, specs[0].shape)
    if not node.training:
        return (y,)
    return (y, Spec(specs[3].dtype, specs[3].shape), Spec(specs[4].dtype, specs[4].shape))


def bound(node: BatchNormalization, inputs: Inputs, exact: Sequence[Array], roundoff: float) -> tuple[Bound, ...]:
    """With ``k = scale / sqrt(var + epsilon)``: ``S = |k| (|X| + |mean|) + |B|``.

    That covers ``(X - mean) k + B`` as well as ``X k + (B - mean k)``. At most 7 roundings lie on a path: adding
    epsilon, root, reciprocal, times scale, product, and two additions. In training the statistics have errors of
    their own (``moments.normalized_bounds``), and the running ones are sums of two products more.
    """
    x, scale, bias, mean, variance = _aligned(node, inputs)
    if not node.training:
        factor = np.abs(scale) / np.sqrt(variance + node.epsilon)
        return (accumulated(factor * (np.abs(x) + np.abs(mean)) + np.abs(bias), _ROUNDINGS, roundoff),)
    count, kept = x.size // max(x.shape[1], 1), 1 - node.momentum
    absolute = np.abs(x).mean(axis=_axes(x), keepdims=True)
    squares = 4 * np.square(x).mean(axis=_axes(x), keepdims=True)
    center = np.abs(mean) * node.momentum + absolute * kept
    spread = np.abs(variance) * node.momentum + squares * kept
    return (
        normalized_bounds(x, _axes(x), node.epsilon, scale, bias, roundoff)[0],
        accumulated(center.reshape(-1), count + 3, roundoff),
        accumulated(spread.reshape(-1), count + 6, roundoff),
    )


def spread(
    operator: Operator, node: BatchNormalization, inputs: Inputs, errors: Errors, roundoff: float
) -> tuple[Array, ...]:
    """Inference is monotone in each input; in training the statistics depend on the whole batch.

    Raises:
        ValueError: training.
    """
    if node.training:
        raise ValueError("how errors spread through the statistics of a batch is not derived")
    return corners(operator, node, inputs, errors, roundoff)


_VERSIONS = frozenset({1, 6, 7, 9, 14, 15})
OPERATORS = (Operator("BatchNormalization", _VERSIONS, parse, evaluate, infer, bound, spread=spread),)
