"""Sums that a runtime may begin elsewhere: a product of matrices or a convolution, then an Add.

A runtime that fuses ``Add`` into ``Conv`` may start its sum at the other addend (ONNX Runtime's blocked Conv does) and
so round every partial sum at the addend's size; one that fuses it into ``MatMul`` may start at the bias. Any such
order of summing ``n`` products and ``k`` addends costs each of them at most ``n + k`` roundings (Higham 2002,
section 4.2), while nodes judged one by one would allow the addend a single one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from toolchain.nodes import Step
from toolchain.ops.arrays import Array
from toolchain.ops.bounds import LAMBDA, Bound, gamma

PRODUCTS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
_ADDING = frozenset({"Add", "Sub", "Sum"})
_SCALING = frozenset(
    {
        "BatchNormalization",
        "Mul",
        "Div",
        "Identity",
        "Dropout",
        "Reshape",
        "Flatten",
        "Transpose",
        "Squeeze",
        "Unsqueeze",
    }
)


class RunningSums:
    """Follows the sums of one region.

    Args:
        steps: the region's nodes, in order.
    """

    def __init__(self, steps: Sequence[Step]) -> None:
        self._addends = sum(step.operator.name in {*_ADDING, "BatchNormalization"} for step in steps)
        self._terms: dict[str, int] = {}

    def continued(
        self, step: Step, inputs: Sequence[Array | None], bounds: Sequence[Bound], roundoff: float
    ) -> Bound | None:
        """What a node's first output may be off by besides its own limit; ``None`` for nothing.

        Args:
            step: the node.
            inputs: its exact inputs.
            bounds: its own limits.
            roundoff: unit roundoff.
        """
        name, output = step.operator.name, step.outputs[0]
        if not self._addends or output is None:
            return None
        if name in PRODUCTS:
            n = self._terms[output] = terms(step, inputs)
            # The same products, rounded once more for each addend.
            share = self._addends / (n + 1)
            return Bound(share * bounds[0].sound, share * bounds[0].probable)
        known = [self._terms[n] for n in step.inputs if n in self._terms]
        if not known or name not in _ADDING | _SCALING:
            return None
        n = self._terms[output] = max(known)
        addends = self._added(step, inputs)
        if addends is None:
            return None
        roundings = n + self._addends + 1
        return Bound(gamma(roundings, roundoff) * addends, LAMBDA * np.sqrt(roundings) * roundoff * addends)

    def _added(self, step: Step, inputs: Sequence[Array | None]) -> Array | None:
        """Absolute values of what a node adds to a running sum."""
        if step.operator.name == "BatchNormalization":
            nothing: list[Any] = [np.zeros_like(np.asarray(inputs[0])), *inputs[1:]]
            return np.abs(step.operator.evaluate(step.attributes, nothing)[0])
        if step.operator.name not in _ADDING:
            return None
        running = [name in self._terms for name in step.inputs]
        # Of two sums either may be continued by the other's result.
        others = [
            np.abs(x) for x, sums in zip(inputs, running, strict=True) if x is not None and (not sums or all(running))
        ]
        total: Array | None = None
        for other in others:
            total = other if total is None else total + other
        return total


def terms(step: Step, inputs: Sequence[Array | None]) -> int:
    """Products in one sum, at most."""
    a, b = np.asarray(inputs[0]), np.asarray(inputs[1])
    if step.operator.name == "Conv":
        return int(np.prod(b.shape[1:]))
    if step.operator.name == "ConvTranspose":
        return int(b.shape[0] * np.prod(b.shape[2:]))
    turned = step.operator.name == "Gemm" and step.attributes.transpose_a
    return int(a.shape[0] if turned else a.shape[-1])
