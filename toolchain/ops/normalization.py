"""LayerNormalization, InstanceNormalization and GroupNormalization.

https://onnx.ai/onnx/operators/onnx__LayerNormalization.html. Each normalises by the mean and the variance
of a part of its input; they differ in which part, and in the shape of scale and bias.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from toolchain.ops.bounds import Bound
from toolchain.ops.moments import normalized, normalized_bounds, normalized_spread
from toolchain.ops.operator import Array, Inputs, NodeFacts, Operator, Spec, optional, required
from toolchain.ops.spreads import Errors


@dataclass(frozen=True)
class Normalization:
    """Attributes of a normalising node.

    Attributes:
        epsilon: added to the variance. axis: LayerNormalization's first normalised axis. groups:
        GroupNormalization's number of groups. per_group: GroupNormalization's scale and bias have one value
        a group (version 18), else one a channel. statistics: element type of LayerNormalization's further
        outputs. outputs: number of outputs.
    """

    epsilon: float
    axis: int = -1
    groups: int = 1
    per_group: bool = False
    statistics: ir.DataType = ir.DataType.FLOAT
    outputs: int = 1


def parse(facts: NodeFacts) -> Normalization:
    """Read the attributes."""
    get = facts.attributes.get
    groups = int(get("num_groups", 1))
    if groups < 1:
        raise facts.unsupported(f"num_groups is {groups}", "expected a positive number")
    return Normalization(
        epsilon=float(get("epsilon", np.float32(1e-5))),
        axis=int(get("axis", -1)),
        groups=groups,
        per_group=facts.version < 21,
        statistics=ir.DataType(int(get("stash_type", 1))),
        outputs=facts.outputs,
    )


def _layer_axes(node: Normalization, rank: int) -> tuple[int, ...]:
    """The normalised axes: from ``axis`` to the last."""
    if not -rank <= node.axis < rank:
        raise ValueError(f"axis is {node.axis}; expected one from {-rank} to {rank - 1}")
    return tuple(range(node.axis % rank, rank))


def _check_affine(parameters: Sequence[tuple[int, ...] | None], target: tuple[int, ...]) -> None:
    """Refuse scale and bias that do not broadcast to the normalised tensor."""
    for name, shape in zip(("scale", "bias"), parameters, strict=True):
        if shape is not None and np.broadcast_shapes(shape, target) != target:
            raise ValueError(f"{name} has shape {list(shape)}; expected one that broadcasts to {list(target)}")


def layer(node: Normalization, inputs: Inputs) -> tuple[Array, ...]:
    """Normalise over the last axes; mean and inverse deviation are further outputs."""
    x, scale, bias = required(inputs, 0), required(inputs, 1), optional(inputs, 2)
    _check_affine([scale.shape, None if bias is None else bias.shape], x.shape)
    y, mean, inverse = normalized(x, _layer_axes(node, x.ndim), node.epsilon)
    y = y * scale if bias is None else y * scale + bias
    return (y, mean, inverse)[: node.outputs]


def layer_infer(node: Normalization, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    """Type and shape of the input; statistics with the normalised axes of size 1."""
    x, scale, bias = required(inputs, 0), required(inputs, 1), optional(inputs, 2)
    _check_affine([scale.shape, None if bias is None else bias.shape], x.shape)
    axes = _layer_axes(node, len(x.shape))
    reduced = Spec(node.statistics, tuple(1 if i in axes else d for i, d in enumerate(x.shape)))
    return (Spec(x.dtype, x.shape), reduced, reduced)[: node.outputs]


def layer_bound(node: Normalization, inputs: Inputs, exact: Sequence[Array], roundoff: float) -> tuple[Bound, ...]:
    """See ``moments.normalized_bounds``."""
    x, scale, bias = required(inputs, 0), required(inputs, 1), optional(inputs, 2)
    axes = _layer_axes(node, x.ndim)
    return normalized_bounds(x, axes, node.epsilon, scale, 0 if bias is None else bias, roundoff)[: node.outputs]


def _grouped(node: Normalization, inputs: Inputs) -> tuple[Array, Array, Array]:
    """Input [N, groups, C / groups, spatial...], and scale and bias that broadcast over it."""
    x, scale, bias = required(inputs, 0), required(inputs, 1), required(inputs, 2)
    groups = _check_groups(node, x.shape, scale.shape, bias.shape)
    inner = (1, groups, -1, *(1,) * (x.ndim - 2))
    return x.reshape(x.shape[0], groups, -1, *x.shape[2:]), scale.reshape(inner), bias.reshape(inner)


def _check_groups(node: Normalization, x: tuple[int, ...], scale: tuple[int, ...], bias: tuple[int, ...]) -> int:
    """The number of groups; every channel its own where ``groups`` is 0.

    Raises:
        ValueError: shapes do not fit.
    """
    if len(x) < 3:
        raise ValueError(f"input has shape {list(x)}; expected [N, C, spatial...]")
    groups = node.groups or x[1]
    if x[1] % groups:
        raise ValueError(f"{x[1]} channels do not make {groups} equal groups")
    expected = (groups,) if node.per_group else (x[1],)
    for name, shape in (("scale", scale), ("bias", bias)):
        if tuple(shape) != expected:
            raise ValueError(f"{name} has shape {list(shape)}; expected {list(expected)}")
    return groups


def group(node: Normalization, inputs: Inputs) -> tuple[Array, ...]:
    """Normalise over the channels of a group and the spatial axes."""
    x, scale, bias = _grouped(node, inputs)
    y = normalized(x, tuple(range(2, x.ndim)), node.epsilon)[0] * scale + bias
    return (y.reshape(required(inputs, 0).shape),)


def group_infer(node: Normalization, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    """Type and shape of the input."""
    x, scale, bias = required(inputs, 0), required(inputs, 1), required(inputs, 2)
    _check_groups(node, x.shape, scale.shape, bias.shape)
    return (Spec(x.dtype, x.shape),)


def group_bound(node: Normalization, inputs: Inputs, exact: Sequence[Array], roundoff: float) -> tuple[Bound, ...]:
    """See ``moments.normalized_bounds``."""
    x, scale, bias = _grouped(node, inputs)
    y = normalized_bounds(x, tuple(range(2, x.ndim)), node.epsilon, scale, bias, roundoff)[0]
    shape = required(inputs, 0).shape
    return (Bound(y.sound.reshape(shape), y.probable.reshape(shape)),)


def _only_data(errors: Errors) -> Array:
    """The data's errors.

    Raises:
        ValueError: scale or bias carries errors.
    """
    if errors[0] is None or any(e is not None for e in errors[1:]):
        raise ValueError("how errors of scale and bias spread is not derived")
    return np.asarray(errors[0])


def layer_spread(
    operator: Operator, node: Normalization, inputs: Inputs, errors: Errors, roundoff: float
) -> tuple[Array, ...]:
    """See ``moments.normalized_spread``."""
    x = required(inputs, 0)
    axes = _layer_axes(node, x.ndim)
    return normalized_spread(x, axes, node.epsilon, required(inputs, 1), _only_data(errors))[: node.outputs]


def group_spread(
    operator: Operator, node: Normalization, inputs: Inputs, errors: Errors, roundoff: float
) -> tuple[Array, ...]:
    """See ``moments.normalized_spread``."""
    x, scale, _ = _grouped(node, inputs)
    error = np.broadcast_to(_only_data(errors), required(inputs, 0).shape).reshape(x.shape)
    limit = normalized_spread(x, tuple(range(2, x.ndim)), node.epsilon, scale, error)[0]
    return (limit.reshape(required(inputs, 0).shape),)


def parse_instance(facts: NodeFacts) -> Normalization:
    """Every channel is its own group."""
    return Normalization(epsilon=float(facts.attributes.get("epsilon", np.float32(1e-5))), groups=0)


OPERATORS = (
    Operator("LayerNormalization", frozenset({17}), parse, layer, layer_infer, layer_bound, spread=layer_spread),
    Operator(
        "InstanceNormalization",
        frozenset({1, 6, 22}),
        parse_instance,
        group,
        group_infer,
        group_bound,
        spread=group_spread,
    ),
    Operator("GroupNormalization", frozenset({18, 21}), parse, group, group_infer, group_bound, spread=group_spread),
)
