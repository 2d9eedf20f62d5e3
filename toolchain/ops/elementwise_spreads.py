"""How errors spread through element-wise functions whose extremes need more care than the corners of a box."""

from __future__ import annotations

from typing import Any

import numpy as np

from toolchain.ops.operator import Array, Inputs, Operator, required
from toolchain.ops.spreads import Errors, Spread, corners


def monotone(operator: Operator, node: Any, inputs: Inputs, errors: Errors, roundoff: float) -> tuple[Array, ...]:
    """Like :func:`corners`; without limit where the error leaves the function's domain."""
    limits = corners(operator, node, inputs, errors, roundoff)
    return tuple(np.where(np.isnan(limit), np.inf, limit) for limit in limits)


def excluding_zero(index: int) -> Spread:
    """Monotone in each input as long as one of them keeps its sign: without limit where it may not."""

    def spread(operator: Operator, node: Any, inputs: Inputs, errors: Errors, roundoff: float) -> tuple[Array, ...]:
        (limit,) = monotone(operator, node, inputs, errors, roundoff)
        error = errors[index]
        if error is None:
            return (limit,)
        crossing = np.abs(required(inputs, index)) <= error
        return (np.where(np.broadcast_to(crossing, limit.shape), np.inf, limit),)

    return spread


def none_at_all(operator: Operator, node: Any, inputs: Inputs, errors: Errors, roundoff: float) -> tuple[Array, ...]:
    """Of operators whose output does not depend on the values of their inputs."""
    return tuple(np.zeros(np.shape(y)) for y in operator.evaluate(node, inputs))


def largest(operator: Operator, node: Any, inputs: Inputs, errors: Errors, roundoff: float) -> tuple[Array, ...]:
    """Of a minimum or maximum of tensors: it moves by no more than the largest error."""
    arrays = [required(inputs, i) for i in range(len(inputs))]
    limit = np.zeros(np.broadcast_shapes(*(x.shape for x in arrays)))
    for error in errors:
        limit = limit if error is None else np.maximum(limit, np.abs(error))
    return (limit,)
