"""Whether a fault changes a region beyond rounding. The verdicts' limits play no part here.

Both the region and the faulty region are computed from the same inputs, in float64 or exact integers.

*Floats.* The correct backend shows how large rounding errors are on this tensor: ``rho`` is the largest
``|received - exact| / S`` of all elements, where ``S`` is the sum of the absolute values that are added up to the
element. A fault changes the tensor beyond rounding if some element changes
by more than ``4 rho S``.

*Integers.* A changed integer counts, except where rounding explains it: the two are neighbours, and the exact quotient
lies so near the tie between them that float32 may fall on either side. *So near* is 4 times the larger of one float32
rounding of the quotient and the distance at which the correct backend was seen to fall on the other side here.

A fault that changes the shape always counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.power.wrong import Place, Wrong, computed
from toolchain.nodes import Step
from toolchain.ops.operator import widen
from toolchain.reference import evaluate

Array = NDArray[Any]

FACTOR = 4.0
ROUNDOFF = 2.0**-24
LIPSCHITZ = frozenset({"Relu", "LeakyRelu", "Tanh", "Sigmoid", "Identity", "Clip", "QuantizeLinear"})
"""Functions with slopes of at most 1: what is added up in front of them is what their errors come from."""


@dataclass(frozen=True)
class Baseline:
    """What a region should give and what the correct backend gives.

    Attributes:
        place: the region.
    """

    place: Place

    @cached_property
    def values(self) -> dict[str, Array]:
        """Every tensor of the region, exactly."""
        return computed(self.place, self.place.steps, {})

    @property
    def exact(self) -> Array:
        """The region's tensor, exactly."""
        return self.values[self.place.region.tensor]

    @property
    def received(self) -> Array:
        """The region's tensor, by the correct backend."""
        return self.place.subject.tensors[self.place.region.tensor]

    @cached_property
    def allowance(self) -> Array:
        """Of floats: the change of each element that rounding explains."""
        error = np.abs(self.received.astype(np.float64) - self.exact)
        scale = self._magnitude()
        with np.errstate(divide="ignore", invalid="ignore"):
            rho = np.where(scale > 0, error / scale, 0.0).max(initial=0.0)
        return np.asarray(FACTOR * rho * scale)

    @cached_property
    def quotient(self) -> Array | None:
        """Of integers: what is rounded, in steps and with the zero point; ``None`` where nothing is."""
        last = self._last()
        if last.operator.name != "QuantizeLinear":
            return None
        x, scale, zero = (self._input(last, i) for i in range(3))
        return np.asarray(x / scale.astype(np.float64) + zero.astype(np.float64))

    def real(self, wrong: Array) -> bool:
        """Whether a faulty result differs beyond rounding.

        Args:
            wrong: the region's tensor with the fault, exactly.
        """
        if wrong.shape != self.exact.shape or wrong.dtype != self.exact.dtype:
            return True
        if wrong.dtype.kind == "f":
            with np.errstate(invalid="ignore"):
                change = np.abs(wrong - self.exact)
            return bool((~(change <= self.allowance)).any())
        if self.quotient is None:
            return not np.array_equal(wrong, self.exact)
        return bool((self._apart(wrong) & ~self._near_tie(wrong, self._tolerance())).any())

    def _apart(self, other: Array) -> Array:
        return np.asarray(other != self.exact)

    def _tolerance(self) -> Array:
        """In steps."""
        quotient = np.asarray(self.quotient)
        rounding = ROUNDOFF * np.abs(quotient)
        seen = self._apart(self.received) & (self._gap(self.received) < 0.5)
        observed = float(self._gap(self.received)[seen].max(initial=0.0))
        return np.asarray(FACTOR * np.maximum(rounding, observed))

    def _gap(self, other: Array) -> Array:
        """From the quotient to the tie between the exact integer and another."""
        ours, theirs = self.exact.astype(np.float64), other.astype(np.float64)
        return np.asarray(np.abs(np.asarray(self.quotient) - (ours + theirs) / 2.0))

    def _near_tie(self, other: Array, tolerance: Array) -> Array:
        steps = np.abs(self.exact.astype(np.float64) - other.astype(np.float64))
        return np.asarray((steps <= 1.0) & (self._gap(other) <= tolerance))

    def _last(self) -> Step:
        tensor = self.place.region.tensor
        return next(step for step in self.place.steps if tensor in step.outputs)

    def _input(self, step: Step, index: int) -> Array:
        name = str(step.inputs[index])
        return self.values[name] if name in self.values else self.place.subject.reference.constants[name]

    def _magnitude(self) -> Array:
        """``S``: the region on absolute values, its functions left out."""
        subject = self.place.subject
        values = {name: _absolute(widen(subject.tensors[name])) for name in self.place.region.inputs}
        for step in self.place.steps:
            inputs = [
                None if n is None else values[n] if n in values else _absolute(subject.reference.constants[n])
                for n in step.inputs
            ]
            name = step.operator.name
            if name in LIPSCHITZ:
                outputs: tuple[Array, ...] = (np.asarray(inputs[0]),)
            elif name == "InstanceNormalization":
                # It subtracts a mean: what cancels there is not what is added up here.
                outputs = (np.abs(self.values[str(step.outputs[0])]) + np.abs(self.values[str(step.outputs[0])]).max(),)
            else:
                # Integers keep their sign, and so does what is dequantized from them.
                outputs = tuple(_absolute(y) for y in evaluate(step, inputs))
            values.update({n: y for n, y in zip(step.outputs, outputs, strict=False) if n})
        return values[self.place.region.tensor]


def _absolute(array: Array) -> Array:
    return np.abs(array) if array.dtype.kind == "f" else array


def faulty(baseline: Baseline, wrong: Wrong) -> Array:
    """The region's tensor with the fault, exactly.

    Raises:
        ToolchainError: it cannot be computed.
    """
    return computed(baseline.place, wrong.steps, wrong.constants)[baseline.place.region.tensor]


def as_backend(baseline: Baseline, wrong: Array) -> Array:
    """What a backend with the fault gives: the faulty value, with the rounding errors that the correct one makes."""
    kind = baseline.received.dtype
    if wrong.shape != baseline.exact.shape:
        return wrong.astype(kind)
    if kind.kind != "f":
        return np.where(wrong == baseline.exact, baseline.received, wrong).astype(kind)
    with np.errstate(invalid="ignore", over="ignore"):
        rounding = baseline.received.astype(np.float64) - baseline.exact
        return np.asarray((wrong + rounding).astype(kind))
