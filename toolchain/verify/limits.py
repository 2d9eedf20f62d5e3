"""The exact value of a region and the limits around it, for what is known of the backend's arithmetic."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from toolchain.ops.bounds import Bound
from toolchain.ops.operator import Array, Spec
from toolchain.verify.arithmetic import FLOAT32, Arithmetic
from toolchain.verify.judge import exact
from toolchain.verify.regions import Region
from toolchain.verify.spans import saying_nothing
from toolchain.verify.widened import rounded_to


def limits(
    region: Region,
    constants: Mapping[str, Array],
    observed: Mapping[str, Array],
    specs: Mapping[str, Spec],
    *,
    arithmetic: Arithmetic = FLOAT32,
    short: Arithmetic | None = None,
) -> tuple[Array, Bound]:
    """The exact value of a region's tensor, and the limits around it.

    Args:
        region: the nodes.
        constants: initialisers, widened.
        observed: the backend's tensors, at least the region's inputs.
        specs: types of the model's tensors.
        arithmetic: in which the backend computes float32.
        short: the format to which a tensor of a short type is rounded at its end, where everything before it is
            known to be computed in float32; else ``None``, and every node rounds as its tensors do.

    Raises:
        UnsupportedError: the nodes cannot be evaluated on these tensors, or their errors cannot be composed.
    """
    if short is not None:
        value, bound = exact(region, constants, observed, arithmetic.roundoff, arithmetic=arithmetic, folded=short)
        return value, rounded_to(bound, value, short)
    return exact(region, constants, observed, arithmetic.roundoff, specs, arithmetic)


def unlimited(received: Array, expected: Array, bound: Bound) -> tuple[int, int]:
    """Elements whose limit says nothing, and how many of them are not the nearest to the exact value either.

    Args:
        received: the backend's tensor.
        expected: exact values of the same shape.
        bound: the limits, broadcastable.
    """
    if received.dtype.kind == "b":
        return 0, 0
    open_ended = saying_nothing(bound, received.shape)
    if not open_ended.any():
        return 0, 0
    with np.errstate(over="ignore", invalid="ignore"):
        nearest = expected.astype(received.dtype)
    right = (received == nearest) | (np.isnan(received) & np.isnan(nearest))
    return int(np.count_nonzero(open_ended)), int(np.count_nonzero(open_ended & ~right))
