"""The integer reference: walks a QDQ model and computes every quantized tensor exactly.

Between a ``DequantizeLinear`` and the next ``QuantizeLinear`` nothing is rounded: the nodes there mean arithmetic on
real numbers, with the float32 scales read as the rational numbers that they are, and ``QuantizeLinear`` rounds the
exact quotient half to even, adds the zero point and saturates. For a convolution that is
``clamp(round_half_even(acc sx sw / sy) + zy)`` with an accumulator that is a sum of integers. So a quantized model has
one answer, and every implementation can be compared with it byte by byte.

A node without an exact rule is a *float island*: it is computed in float64, its name and the reason are kept, and what
follows from it is exact only as a function of its rounded result.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import onnx_ir as ir

from toolchain.errors import ToolchainError, UnsupportedError
from toolchain.integers.real import Array, Inexact, Real, rounded
from toolchain.integers.rules import rule
from toolchain.nodes import Step, steps
from toolchain.ops.exact import positive, requantize
from toolchain.ops.operator import widen
from toolchain.ops.quantize_linear import quantized_type, spread_out
from toolchain.reference import check_feed, evaluate

QUANTIZED = "iu"
QUANTIZERS = frozenset({"QuantizeLinear", "QLinearConv", "QLinearMatMul", "QGemm", "QLinearAdd", "QLinearMul"})


@dataclass(frozen=True)
class Island:
    """A node that is not computed exactly.

    Attributes:
        node: its name.
        op_type: its operator.
        reason: why.
    """

    node: str
    op_type: str
    reason: str


@dataclass(frozen=True)
class IntegerRegion:
    """Nodes between quantized tensors: one exact function from integers to integers.

    Attributes:
        tensor: the quantized tensor that they make.
        steps: in the model's order, ``QuantizeLinear`` last.
        inputs: the quantized tensors (or inputs of the graph) that they read.
    """

    tensor: str
    steps: tuple[Step, ...]
    inputs: tuple[str, ...]


class Region(Protocol):
    """Anything that lists nodes between tensors: an :class:`IntegerRegion`, or a region of ``verify``."""

    @property
    def tensor(self) -> str:
        """What they make."""

    @property
    def steps(self) -> tuple[Step, ...]:
        """The nodes."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """What they read."""


@dataclass(frozen=True)
class Answer:
    """What a region means on given inputs.

    Attributes:
        values: the exact integers.
        quotient: real value over scale before it was rounded, in float64 (relative error below 2^-40); the integers
            themselves where the region does not end in a ``QuantizeLinear``.
    """

    values: Array
    quotient: Array


@dataclass(frozen=True)
class Rounded:
    """A tensor that an island made: float64 numbers that are not exact."""

    values: Array


Value = Any
"""An array (integers, or float numbers that are meant exactly), a ``Real``, or ``Rounded``."""


class IntegerReference:
    """A quantized model ready to be computed exactly.

    Args:
        model: in QDQ form, or with integer operators (QLinearConv, ...).

    Raises:
        UnsupportedError: a node has no operator here.
    """

    def __init__(self, model: ir.Model) -> None:
        self.model = model
        self.steps = steps(model)
        self.constants: dict[str, Array] = {
            name: widen(value.const_value.numpy())
            for name, value in model.graph.initializers.items()
            if value.const_value is not None
        }
        self.inputs = tuple(value for value in model.graph.inputs if value.name not in self.constants)
        self.outputs = tuple(value.name or "" for value in model.graph.outputs)
        self._islands: dict[str, Island] = {}
        self._folded: dict[str, Value] = {}
        for step in self.steps:
            if all(name is None or name in self.constants or name in self._folded for name in step.inputs):
                self._folded.update(self._step(step, {name: self._known(name, {}) for name in step.inputs if name}))

    @property
    def islands(self) -> tuple[Island, ...]:
        """Nodes that were not computed exactly, as far as the graph was walked."""
        return tuple(self._islands.values())

    def run(
        self, feeds: Mapping[str, Array], keep: Collection[str] = (), instead: Mapping[str, Array] | None = None
    ) -> dict[str, Array]:
        """Compute the graph.

        Args:
            feeds: an array for every graph input, by name.
            keep: names of further tensors to return.
            instead: tensors that later nodes read in the place of what was computed, which is still returned.

        Returns:
            Every tensor of integers that a node makes, the graph's outputs and the kept tensors, by name. Numbers
            that are no integers are returned as the float64 nearest to them, or its neighbour.

        Raises:
            ShapeError: the feeds do not fit the graph's inputs.
            UnsupportedError: a bias at another scale than that of its products, or shapes that do not fit.
        """
        for value in self.inputs:
            if value.name not in feeds:
                raise UnsupportedError(f"input {value.name!r} is not fed; received {sorted(feeds)}")
            check_feed(value, np.asarray(feeds[value.name or ""]))
        given = {name: widen(np.asarray(array)) for name, array in feeds.items()}
        return self.compute(self.steps, given, {*self.outputs, *keep}, instead)

    def compute(
        self,
        chosen: Sequence[Step],
        given: Mapping[str, Array],
        keep: Collection[str] = (),
        instead: Mapping[str, Array] | None = None,
    ) -> dict[str, Array]:
        """Compute some nodes from given tensors.

        Args:
            chosen: steps in the model's order.
            given: the tensors that they read besides constants.
            keep: names of tensors to return even if they hold no integers.
            instead: tensors that later nodes read in the place of what was computed.

        Returns:
            Integer tensors that these nodes make, and the kept ones, by name.
        """
        values: dict[str, Value] = dict(given)
        replaced = instead or {}
        shown: dict[str, Array] = {}
        pending = Counter(name for step in chosen for name in step.inputs if name)
        for step in chosen:
            for name, value in self._results(step, values).items():
                values[name] = replaced.get(name, value)
                if name in keep or (isinstance(value, np.ndarray) and value.dtype.kind in QUANTIZED):
                    shown[name] = _plain(value)
            for name in filter(None, step.inputs):
                pending[name] -= 1
                if not pending[name]:
                    values.pop(name, None)
        return shown

    def regions(self) -> tuple[IntegerRegion, ...]:
        """The model cut at the tensors of integers that depend on its inputs, in the model's order."""
        cuts = {value.name or "" for value in self.inputs}
        makers: dict[str, int] = {}
        found = []
        for index, step in enumerate(self.steps):
            makers.update({name: index for name in step.outputs if name and name not in self._folded})
            for name in step.outputs:
                if name and name not in self._folded and step.operator.name in QUANTIZERS:
                    found.append(self._region(name, makers, cuts))
                    cuts.add(name)
        return tuple(found)

    def _region(self, tensor: str, makers: Mapping[str, int], cuts: Collection[str]) -> IntegerRegion:
        members, inputs, pending = {makers[tensor]}, set(), [makers[tensor]]
        while pending:
            for name in self.steps[pending.pop()].inputs:
                if name is None:
                    continue
                if name in cuts:
                    inputs.add(name)
                elif name in makers and makers[name] not in members:
                    members.add(makers[name])
                    pending.append(makers[name])
        return IntegerRegion(tensor, tuple(self.steps[i] for i in sorted(members)), tuple(sorted(inputs)))

    def exact(self, region: Region, given: Mapping[str, Array]) -> Answer:
        """The quantized tensor that a region makes of its inputs.

        Args:
            region: nodes in the model's order; the last one makes the tensor.
            given: at least the region's inputs.

        Raises:
            UnsupportedError: a node of it has no exact rule on these tensors.
        """
        before, self._islands = self._islands, {}
        try:
            values: dict[str, Value] = {n: widen(np.asarray(given[n])) for n in region.inputs}
            for step in region.steps:
                values.update(self._results(step, values))
            for island in self._islands.values():
                raise UnsupportedError(f"node {island.node!r} ({island.op_type}) is not exact: {island.reason}")
        finally:
            self._islands = {**self._islands, **before}
        last = region.steps[-1]
        quotient = values[region.tensor].astype(np.float64)
        if last.operator.name == "QuantizeLinear":
            source, scale = (self._known(name or "", values) for name in last.inputs[:2])
            quotient = _plain(source) / spread_out(last.attributes, scale, source.shape, "scale")
        return Answer(values[region.tensor], quotient)

    def _results(self, step: Step, values: Mapping[str, Value]) -> dict[str, Value]:
        """The outputs of a node, folded ones as they were folded."""
        folded = {name: self._folded[name] for name in step.outputs if name in self._folded}
        return folded or self._step(step, {name: self._known(name, values) for name in step.inputs if name})

    def _known(self, name: str, values: Mapping[str, Value]) -> Value:
        if name in values:
            return values[name]
        return self._folded[name] if name in self._folded else self.constants[name]

    def _step(self, step: Step, known: Mapping[str, Value]) -> dict[str, Value]:
        """One node: exactly where it has a rule, else as an island."""
        inputs = [None if name is None else known[name] for name in step.inputs]
        names = [name for name in step.outputs if name]
        results: Any
        try:
            results = self._exactly(step, inputs)
        except Inexact as why:
            self._islands[step.name] = Island(step.name, step.operator.name, str(why))
            results = [_island(a) for a in evaluate(step, [_plain(v) for v in inputs])]
        except ToolchainError:
            raise
        except (ValueError, TypeError, IndexError) as error:
            raise UnsupportedError(f"{step.facts.where()}: cannot be computed exactly: {error}") from error
        return dict(zip(names, results, strict=False))

    def _exactly(self, step: Step, inputs: Sequence[Value]) -> Sequence[Value]:
        """The exact outputs of a node.

        Raises:
            Inexact: there is no rule, or an operand is not exact.
        """
        if any(isinstance(v, Rounded) for v in inputs):
            if step.operator.name == "QuantizeLinear":
                return evaluate(step, [_plain(v) for v in inputs])
            raise Inexact("it follows a float island")
        arrays = all(v is None or isinstance(v, np.ndarray) for v in inputs)
        if arrays and _closed(step, inputs):
            return evaluate(step, list(inputs))
        if step.operator.name == "QuantizeLinear":
            return [quantize(step, inputs)]
        found = rule(step.operator)
        if found is None:
            raise Inexact("the operator has no exact rule")
        results = found(step.facts, step.attributes, inputs)
        return results if isinstance(results, tuple) else [results]


def _closed(step: Step, inputs: Sequence[Any]) -> bool:
    """Whether the operator's own evaluation is exact on these arrays: integers to integers, or values only moved."""
    if step.operator.name in ("QuantizeLinear", "Constant", "ConstantOfShape", "Shape", "Range", "Cast"):
        return True
    if all(v is None or v.dtype.kind != "f" for v in inputs):
        return step.operator.name not in ("DequantizeLinear",)
    whole = inputs[0] is not None and inputs[0].dtype.kind in "iub"
    if step.operator.name.startswith(("QLinear", "QGemm")):
        return whole or step.operator.name == "QLinearConcat"
    return whole and step.operator.name in ("Resize", "Upsample")


def quantize(step: Step, inputs: Sequence[Any]) -> Array:
    """QuantizeLinear of an exact tensor.

    Raises:
        Inexact: not to integers.
        ValueError: a scale is not positive and finite, or shapes do not fit.
    """
    value: Real = inputs[0]
    given = inputs[2] if len(inputs) > 2 else None
    dtype = quantized_type(step.attributes, given)
    if dtype.kind not in QUANTIZED:
        raise Inexact(f"it quantizes to {dtype}")
    scale = spread_out(step.attributes, positive(inputs[1], "the scale"), value.shape, "scale")
    zero = 0 if given is None else spread_out(step.attributes, given, value.shape, "zero point")
    return requantize(rounded(value, scale), zero, dtype)


def _island(array: Array) -> Value:
    return Rounded(array) if array.dtype.kind == "f" else array


def _plain(value: Value) -> Any:
    """As the float64 interpreter takes it: exact numbers as the float64 nearest to them, or its neighbour."""
    if isinstance(value, Rounded):
        return value.values
    if value is None or isinstance(value, np.ndarray):
        return value
    return value.approximate()[0]
