"""How far two ways of computing the same outputs are apart in float64, and how far they may be.

Both sides mean the same sums, so in float64 almost nothing remains: what does are constants that one side holds
rounded to float32 (an epsilon, a folded scale). Those do no more harm than the rounding of float32 arithmetic that
the model suffers anyway. So the limit is not chosen but measured: :data:`~toolchain.exported.AGREEMENT` times the
error of the model's own float32 run, and never less than what an answer in float32 can tell apart.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from toolchain.exported import AGREEMENT
from toolchain.ops.bounds import FLOAT32_ROUNDOFF
from toolchain.verify.tally import distance

Array = NDArray[Any]


@dataclass(frozen=True)
class OutputAgreement:
    """One output, computed twice.

    Attributes:
        output: its name in the judged graph.
        node: the node of that graph that makes it; empty if it is a graph input or constant.
        samples: number of samples.
        difference: largest absolute difference; infinite where only one side is NaN or infinite.
        float32_error: what float32 rounding alone does to this output, measured on the same samples.
        magnitude: largest absolute expected value; 0 for integers, which are not rounded to a float.
        sample: index of the first sample of the batch in which ``difference`` is.
        index: where, in the output for that batch.
        expected: the value there.
        received: the judged graph's value there.
        problem: why nothing could be compared, else empty.
    """

    output: str
    node: str
    samples: int
    difference: float
    float32_error: float
    magnitude: float
    sample: int
    index: tuple[int, ...]
    expected: float
    received: float
    problem: str = ""

    @property
    def limit(self) -> float:
        """The largest difference that rounding to float32 explains."""
        return max(AGREEMENT * self.float32_error, FLOAT32_ROUNDOFF * self.magnitude)

    @property
    def ok(self) -> bool:
        """Compared, measured by a finite error, and within the limit."""
        return not self.problem and math.isfinite(self.limit) and self.difference <= self.limit

    def describe(self) -> str:
        """One line: node, index, expected, received, limit."""
        where = f"output {self.output!r} of node {self.node!r}" if self.node else f"output {self.output!r}"
        if self.problem:
            return f"{where}: {self.problem}"
        measured = "" if math.isfinite(self.limit) else "; the float32 run overflows, so that nothing limits it"
        return (
            f"{where}: sample {self.sample}, index {list(self.index)}: expected {self.expected:.9g}, "
            f"received {self.received:.9g}, difference {self.difference:.3g}, limit {self.limit:.3g} "
            f"({AGREEMENT:g} times what float32 rounding does: {self.float32_error:.3g}){measured}"
        )


class OutputTally:
    """Collects one output over many batches.

    Args:
        value: the output in the judged graph.
    """

    def __init__(self, value: ir.Value) -> None:
        node = value.producer()
        self._output = value.name or ""
        self._node = (node.name or node.op_type) if node is not None else ""
        self._samples = 0
        self._difference = self._error = self._magnitude = 0.0
        self._at: tuple[int, tuple[int, ...], float, float] = (0, (), 0.0, 0.0)
        self._problem = ""

    def add(self, start: int, count: int, expected: Array, received: Array, float32_error: float) -> None:
        """Compare one batch.

        Args:
            start: index of its first sample.
            count: how many of its samples are real, and not there to fill it.
            expected: float64 or integer.
            received: of the judged graph, the same shape.
            float32_error: largest absolute error of a float32 run of this batch.
        """
        if self._problem:
            return
        if expected.shape != received.shape:
            self._problem = f"it has shape {list(received.shape)}; expected {list(expected.shape)}"
            return
        self._samples += count
        self._error = max(self._error, float32_error)
        if not expected.size:
            return
        if expected.dtype.kind == "f":
            finite = np.abs(expected[np.isfinite(expected)])
            self._magnitude = max(self._magnitude, float(finite.max(initial=0.0)))
        apart = distance(received, expected)
        position = int(apart.argmax())
        if self._at[1:] == ((), 0.0, 0.0) or float(apart.flat[position]) > self._difference:
            self._difference = float(apart.flat[position])
            index = tuple(int(i) for i in np.unravel_index(position, expected.shape))
            self._at = (start, index, float(expected.flat[position]), float(received.flat[position]))

    def fail(self, problem: str) -> None:
        """Say why it cannot be compared; the first reason stays."""
        self._problem = self._problem or problem

    def verdict(self) -> OutputAgreement:
        """What was found so far."""
        sample, index, expected, received = self._at
        return OutputAgreement(
            output=self._output,
            node=self._node,
            samples=self._samples,
            difference=self._difference,
            float32_error=self._error,
            magnitude=self._magnitude,
            sample=sample,
            index=index,
            expected=expected,
            received=received,
            problem=self._problem,
        )


def largest(a: Array, b: Array) -> float:
    """Largest absolute difference; infinite for other shapes, and where only one side is NaN or infinite."""
    if a.shape != b.shape:
        return math.inf
    return float(distance(a, b).max(initial=0.0))


@dataclass(frozen=True)
class Layer:
    """A step of the side that is meant, with its result.

    Attributes:
        name: of the layer or node.
        exact: its output in float64.
        single: its output in float32, of the same shape.
    """

    name: str
    exact: Array
    single: Array

    def found(self, other: Array) -> bool:
        """Whether another tensor holds these values, perhaps in another shape, within the limit of float32."""
        if other.size != self.exact.size or other.dtype.kind != self.exact.dtype.kind:
            return False
        magnitude = float(np.abs(self.exact).max(initial=0.0))
        limit = max(AGREEMENT * largest(self.single, self.exact), FLOAT32_ROUNDOFF * magnitude)
        return math.isfinite(limit) and largest(other.reshape(self.exact.shape), self.exact) <= limit


@dataclass(frozen=True)
class Parting:
    """Where two computations part, as far as their tensors tell.

    Attributes:
        layer: the first layer, after the last whose result the judged graph holds too; empty if there is none.
        node: the first node of the judged graph that reads that last result; empty if none does.
        after: the layer whose result it is; empty if not even the first layer's result is there.
    """

    layer: str
    node: str
    after: str

    def describe(self) -> str:
        """One line."""
        behind = f"behind {self.after!r}, whose result both hold" if self.after else "at the first layer"
        return f"they part {behind}: at {self.layer or 'the end'!r}, in the judged graph at node {self.node or '?'!r}"


def parted(layers: Sequence[Layer], model: ir.Model, tensors: Mapping[str, Array]) -> Parting | None:
    """Where a graph leaves the layers that it should compute.

    A layer that the graph computes together with the next one leaves no tensor, so a missing result alone says
    nothing: what counts is the last result that is there.

    Args:
        layers: in the order of computing.
        model: the judged graph.
        tensors: its tensors by name.

    Returns:
        ``None`` if the last layer's result is there, or if there are no layers.
    """
    for position in range(len(layers) - 1, -1, -1):
        name = _holder(layers[position], model, tensors)
        if name is not None:
            if position == len(layers) - 1:
                return None
            return Parting(layers[position + 1].name, _reader(model, {name}), layers[position].name)
    if not layers:
        return None
    inputs = {value.name or "" for value in model.graph.inputs}
    return Parting(layers[0].name, _reader(model, inputs), "")


def _holder(layer: Layer, model: ir.Model, tensors: Mapping[str, Array]) -> str | None:
    """The last tensor of the graph that holds a layer's result."""
    made = [value.name for node in model.graph for value in node.outputs if value.name in tensors]
    return next((name for name in reversed(made) if name and layer.found(tensors[name])), None)


def _reader(model: ir.Model, names: Iterable[str]) -> str:
    """The first node that reads one of the tensors."""
    wanted = set(names)
    for node in model.graph:
        if any(value is not None and value.name in wanted for value in node.inputs):
            return node.name or node.op_type
    return ""
