"""Axes, broadcasting and folding of constants: what shape rules of many operators share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from toolchain.ops.operator import Array, Inputs, Spec, required

FOLD_LIMIT = 4096
"""Elements of the largest tensor whose content shape inference carries along."""

Infer = Callable[[Any, Sequence[Spec | None]], tuple[Spec, ...]]
Evaluate = Callable[[Any, Inputs], tuple[Array, ...]]


def axis_of(axis: int, rank: int) -> int:
    """A possibly negative axis, counted from the front.

    Raises:
        ValueError: outside [-rank, rank - 1].
    """
    if not -rank <= axis < rank:
        raise ValueError(f"axis {axis} is outside [{-rank}, {rank - 1}] of a tensor of rank {rank}")
    return axis + rank if axis < 0 else axis


def axes_of(axes: Iterable[int], rank: int) -> tuple[int, ...]:
    """Like :func:`axis_of` for several different axes, in the given order."""
    found = tuple(axis_of(int(axis), rank) for axis in axes)
    if len(set(found)) != len(found):
        raise ValueError(f"axes {found} repeat one another")
    return found


def broadcast(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of several operands under multidirectional broadcasting.

    Raises:
        ValueError: they do not fit.
    """
    try:
        return tuple(int(d) for d in np.broadcast_shapes(*shapes))
    except ValueError:
        raise ValueError(f"shapes {[list(s) for s in shapes]} do not broadcast") from None


def constant(spec: Spec, what: str) -> Array:
    """Content of an input that decides a shape.

    Raises:
        ValueError: it is known only when the model runs.
    """
    if spec.value is None:
        raise ValueError(f"{what} is computed by the model; the output's shape depends on data")
    return spec.value


def like_first(node: object, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    """Type and shape of the first input."""
    first = required(inputs, 0)
    return (Spec(first.dtype, first.shape),)


def folding(infer: Infer, evaluate: Evaluate) -> Infer:
    """``infer`` that also evaluates where every input is a small constant: chains that compute shapes need it."""

    def inferred(node: Any, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
        specs = infer(node, inputs)
        if any(s is not None and s.value is None for s in inputs) or any(s.size > FOLD_LIMIT for s in specs):
            return specs
        results = evaluate(node, [None if s is None else s.value for s in inputs])
        return tuple(Spec(spec.dtype, spec.shape, array) for spec, array in zip(specs, results, strict=True))

    return inferred
