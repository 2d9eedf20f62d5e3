"""Compute what a quantized model means beside a runtime, and classify every integer in which they differ.

The model is cut at its tensors of integers; each region between them is computed exactly from the integers that the
runtime really had before it (``toolchain/integers``). ``deviation.py`` names the classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import onnx_ir as ir

from toolchain.errors import ToolchainError
from toolchain.integers import Answer, IntegerReference
from toolchain.ops.arrays import Array
from toolchain.ops.bounds import Bound
from toolchain.ops.exact import requantize
from toolchain.ops.operator import Spec
from toolchain.reference import evaluate
from toolchain.verify.deviation import Deviations
from toolchain.verify.fusions import fused
from toolchain.verify.kernels import Kernel
from toolchain.verify.reach import PRODUCTS, Floats, computing, reach, scale_of
from toolchain.verify.regions import Region
from toolchain.verify.rewritten import Rewritten, quantized_regions, stated
from toolchain.verify.saturation import deficit
from toolchain.verify.spans import of_integers

FLOAT64_SLACK = 2.0**-40
"""Relative error of quotients computed here, generously."""


class IntegerJudge:
    """Exact values of a quantized model beside a runtime's.

    Args:
        model: the model as it is meant.
        kernels: for each tensor that the runtime shows the runtime's node that made it.
        roundoff: unit roundoff of the runtime's float32 arithmetic.
        specs: types and shapes of the model's tensors.
        run: the graph that the runtime was given, if it is another one.
    """

    def __init__(
        self,
        model: ir.Model,
        kernels: Mapping[str, Kernel],
        roundoff: float,
        specs: Mapping[str, Spec],
        run: ir.Model | None = None,
    ) -> None:
        self.reference = IntegerReference(model)
        self._kernels = kernels
        self._roundoff = roundoff
        self._specs = specs
        self._meant = quantized_regions(self.reference, kernels)
        rewritten = Rewritten(self.reference.constants, kernels, specs, stated(model if run is None else run))
        self.regions = {tensor: rewritten.inputs(region) for tensor, region in self._meant.items()}
        self._as_run = {tensor: rewritten.output(region) for tensor, region in self.regions.items()}
        self.reference.constants.update(rewritten.parameters)
        self.found: dict[str, Deviations] = {}
        self.skipped: dict[str, str] = {}
        self._limits: dict[str, tuple[Array, Bound]] = {}

    @classmethod
    def of(
        cls,
        model: ir.Model,
        kernels: Mapping[str, Kernel],
        roundoff: float,
        specs: Mapping[str, Spec],
        run: ir.Model | None = None,
    ) -> IntegerJudge | None:
        """A judge of a model that has quantized tensors; ``None`` of another."""
        quantizes = any(node.op_type == "QuantizeLinear" for node in model.graph)
        return cls(model, kernels, roundoff, specs, run) if quantizes else None

    def observe(self, tensors: Mapping[str, Array]) -> None:
        """Compare every tensor of integers of one run.

        Args:
            tensors: the runtime's, and the graph's inputs.
        """
        self._limits = {}
        for tensor in self.regions:
            limits = self.judge(tensor, tensors)
            if limits is not None:
                self._limits[tensor] = limits

    def limits(self, region: Region) -> tuple[Array, Bound] | None:
        """Exact integers of the last run and the steps that correct arithmetic may be off.

        Returns:
            ``None`` where the region is not one from integers to integers, or has no exact value.
        """
        return self._limits.get(region.tensor) if self.covers(region) else None

    def covers(self, region: Region) -> bool:
        """Whether a region of ``verify`` is one from integers to integers that can be computed exactly."""
        mine = self._meant.get(region.tensor)
        return mine is not None and mine.steps == region.steps and region.tensor not in self.skipped

    def result(self, tensor: str) -> Deviations | None:
        """What was found so far at a tensor of integers; ``None`` at another tensor."""
        if tensor in self.skipped:
            return Deviations(island=self.skipped[tensor])
        return self.found.get(tensor)

    def judge(self, tensor: str, tensors: Mapping[str, Array]) -> tuple[Array, Bound] | None:
        """Compare one tensor of integers, and count what differs.

        Args:
            tensor: a key of :attr:`regions`.
            tensors: the runtime's, and the graph's inputs.

        Returns:
            Exact integers, and how many steps correct float32 arithmetic may be off; ``None`` where the region has no
            exact value (:attr:`skipped` says why) or the runtime's tensor another shape.
        """
        region, received = self.regions[tensor], tensors[tensor]
        if tensor in self.skipped:
            return None
        try:
            answer = self.reference.exact(region, tensors)
            if answer.values.shape != received.shape:
                return None
            low, high = self._interval(region, answer, tensors)
            self.count(region, answer, received, tensors)
        except ToolchainError as error:
            self.skipped[tensor] = str(error)
            return None
        y = answer.values.astype(np.float64)
        steps = np.maximum(high - y, y - low)
        return answer.values, Bound(steps, steps, of_integers(answer.values))

    def count(self, region: Region, answer: Answer, received: Array, tensors: Mapping[str, Array]) -> None:
        """Classify what differs in one tensor whose exact value is at hand."""
        before = self.found.get(region.tensor, Deviations())
        counts = Deviations(elements=answer.values.size)
        if answer.values.shape != received.shape:
            counts = replace(counts, unknown=counts.elements, example=f"{region.tensor!r} has another shape")
        elif (answer.values != received).any():
            answer, received, tensors = self._differing(region, answer, received, tensors)
            counts = replace(self._classified(region, answer, received, tensors), elements=counts.elements)
        self.found[region.tensor] = before + counts

    def _differing(
        self, region: Region, answer: Answer, received: Array, tensors: Mapping[str, Array]
    ) -> tuple[Answer, Array, Mapping[str, Array]]:
        """Only the samples that differ, where the region treats each sample alone."""
        apart = (answer.values != received).reshape(len(received), -1).any(axis=1)
        inputs = {n: tensors[n] for n in region.inputs}
        if apart.all() or any(a.ndim == 0 or len(a) != len(received) for a in inputs.values()):
            return answer, received, tensors
        some = {n: a[apart] for n, a in inputs.items()}
        try:
            again = self.reference.exact(region, some)
        except ToolchainError:
            return answer, received, tensors
        if not np.array_equal(again.values, answer.values[apart]):
            return answer, received, tensors
        return again, received[apart], some

    def _interval(self, region: Region, answer: Answer, tensors: Mapping[str, Array]) -> tuple[Floats, Floats]:
        """The integers that correct float32 arithmetic may give."""
        kernel, quotient = self._kernels[region.tensor].op, answer.quotient
        error = reach(kernel, region, self.reference.constants, tensors, quotient, self._roundoff, self._specs)
        low, high = self._rounded(region, quotient, error, answer.values)
        # Without an error there is no other side of a tie, however near it lies to the float64 quotient.
        none = error == 0.0
        return np.where(none, answer.values, low), np.where(none, answer.values, high)

    def _rounded(self, region: Region, quotient: Floats, error: Floats, exact: Array) -> tuple[Floats, Floats]:
        """The integers that a quotient within the error may become."""
        _, zero = scale_of(region, self.reference.constants, quotient.shape)
        margin = error + np.abs(quotient) * FLOAT64_SLACK
        ends = (requantize(np.rint(quotient + sign * margin), zero, exact.dtype) for sign in (-1.0, 1.0))
        low, high = (np.asarray(end.astype(np.float64)) for end in ends)
        return low, high

    def _classified(self, region: Region, answer: Answer, received: Array, tensors: Mapping[str, Array]) -> Deviations:
        """Counts of one tensor."""
        exact, kernel = answer.values, self._kernels[region.tensor].op
        low, high = self._interval(region, answer, tensors)
        left = received != exact
        tie = left & (low <= received) & (received <= high)
        left &= ~tie
        saturated, fusion = left & False, left & False
        if left.any() and kernel in PRODUCTS:
            saturated = left & self._saturates(region, received, tensors)
            left &= ~saturated
        if left.any():
            theirs = self._fused(region, exact, tensors)
            fusion = fusion if theirs is None else left & (theirs[0] <= received) & (received <= theirs[1])
            left &= ~fusion
            rewritten = self._as_run[region.tensor]
            if rewritten is not None and left.any() and kernel in PRODUCTS:
                both = left & self._saturates(rewritten, received, tensors)
                fusion, left = fusion | both, left & ~both
        counts = Deviations(exact.size, int(tie.sum()), int(saturated.sum()), int(fusion.sum()), int(left.sum()))
        for name, mask in (("unknown", left), ("wrong fusion", fusion), ("saturation", saturated)):
            if mask.any():
                place = tuple(int(i) for i in np.unravel_index(int(mask.argmax()), mask.shape))
                return replace(
                    counts,
                    example=f"{name} in {kernel or 'the runtime'}: index {list(place)} of {region.tensor!r}: expected "
                    f"{int(exact[place])} (quotient {answer.quotient[place]:.9g}), received {int(received[place])}",
                )
        return counts

    def _fused(self, region: Region, exact: Array, tensors: Mapping[str, Array]) -> tuple[Array, Array] | None:
        """The least and largest integers that what the runtime really runs may give."""
        rewritten = self._as_run[region.tensor]
        if rewritten is None:
            return fused(self._kernels[region.tensor].op, region, self.reference.constants, tensors, exact)
        return self._interval(rewritten, self.reference.exact(rewritten, tensors), tensors)

    def _saturates(self, region: Region, received: Array, tensors: Mapping[str, Array]) -> Array:
        """Where the received integer is that of an accumulator whose pairs saturate."""
        constants = self.reference.constants
        missing = deficit(region, constants, tensors)
        none = np.zeros(received.shape, np.bool_)
        if missing is None or not missing.any():
            return none
        product = computing(region)[0]
        made = product.outputs[0] or ""
        steps = self.reference.compute(region.steps, {n: tensors[n] for n in region.inputs}, {made})
        makers = {name: step for step in region.steps for name in step.outputs if name}
        factors = [constants[makers[n or ""].inputs[1] or ""].astype(np.float64) for n in product.inputs[:2]]
        unit = factors[0].reshape(()) * _by_channel(factors[1], missing.ndim)
        value = steps[made] + missing * unit
        for step in computing(region)[1:]:
            inputs = [
                value if n in (made, *_names(region)) else None if n is None else constants[n] for n in step.inputs
            ]
            (value,) = evaluate(step, inputs)
        scale, _ = scale_of(region, constants, value.shape)
        q = value / scale
        error = reach("QLinearConv", region, constants, tensors, q, self._roundoff, self._specs)
        low, high = self._rounded(region, q, error, received)
        return np.asarray((missing != 0) & (low <= received) & (received <= high))


def _by_channel(factor: Array, rank: int) -> Array:
    if factor.size == 1:
        return factor.reshape(())
    return factor.reshape(-1, *(1,) * (rank - 2))


def _names(region: Region) -> frozenset[str]:
    """Tensors that activations behind the product make of it."""
    return frozenset(name for step in computing(region)[1:] for name in step.outputs if name)
