"""A model that grows node by node, with the shapes that the operators' own rules give it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from tests.graphs.written import source
from toolchain.nodes import find, version_in_force
from toolchain.ops.operator import NodeFacts, Spec, widen

Array = NDArray[Any]
F32 = np.float32


@dataclass(frozen=True)
class Graph:
    """A correct model and what to feed it.

    Attributes:
        proto: the model; its first dimension is fixed and common to all inputs.
        feeds: an array for every input, by name.
    """

    proto: onnx.ModelProto
    feeds: Mapping[str, Array]

    def __repr__(self) -> str:
        """As ``cases.py`` keeps it."""
        return source(self.proto, self.feeds)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """Hypothesis prints dataclasses in its own way otherwise."""
        printer.text(repr(self))

    @cached_property
    def operators(self) -> tuple[str, ...]:
        """Operators of the nodes, in order."""
        return tuple(node.op_type for node in self.proto.graph.node)

    @property
    def opset(self) -> int:
        """Of ai.onnx."""
        return int(self.proto.opset_import[0].version)


@dataclass(frozen=True)
class Candidate:
    """A node about to be added: what exclusions look at.

    Attributes:
        op: operator.
        version: since_version of its definition in force.
        attributes: as given to the node.
        inputs: types and shapes; ``None`` for one left out.
        special: NaN or infinities may be among the values of an input.
        sources: operators that made the inputs; empty for constants and graph inputs.
        outputs: how many are asked for.
        opset: of the graph.
        dequantized: element type from which DequantizeLinear made the first input; empty for all others.
    """

    op: str
    version: int
    attributes: Mapping[str, Any]
    inputs: tuple[Spec | None, ...]
    special: bool = False
    sources: tuple[str, ...] = ()
    outputs: int = 1
    opset: int = 0
    dequantized: str = ""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the first input."""
        assert self.inputs[0] is not None
        return self.inputs[0].shape

    @property
    def kind(self) -> str:
        """Element type of the first input, as numpy calls it."""
        assert self.inputs[0] is not None
        return str(self.inputs[0].dtype.numpy())

    def ints(self, name: str, default: int = 1) -> tuple[int, ...]:
        """An attribute for each spatial axis."""
        return tuple(self.attributes.get(name, (default,) * (len(self.shape) - 2)))


MAKES_SPECIAL = frozenset({"Log", "Sqrt", "Pow", "Div", "Reciprocal", "ReduceLogSum", "ReduceProd", "Exp", "MaxPool",
                           "GlobalLpPool", "LRN", "Cast"})  # fmt: skip
"""Operators that answer NaN or infinity for some finite inputs: by definition, or in float32 on the way."""


@cache
def exists(op: str, opset: int) -> bool:
    """Whether an opset has an operator."""
    try:
        return not onnx.defs.get_schema(op, opset, "").deprecated
    except onnx.defs.SchemaError:
        return False


Barred = Callable[[Candidate], bool]


class Sketch:
    """The nodes so far.

    Args:
        opset: of ai.onnx.
        inputs: the graph's inputs.
        barred: says of a candidate whether it is left out, because an implementation is known to be wrong there.
    """

    def __init__(self, opset: int, inputs: Mapping[str, Array], *, barred: Barred) -> None:
        self.opset = opset
        self.inputs = dict(inputs)
        self.tainted: set[str | None] = {n for n, a in inputs.items() if not np.isfinite(a).all()}
        self.barred = barred
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, Array] = {}
        self.specs = {n: Spec(ir.DataType.from_numpy(a.dtype), a.shape) for n, a in inputs.items()}
        self.sources: dict[str, str] = {}
        self.dequantized: dict[str, str] = {}

    def shape(self, name: str) -> tuple[int, ...]:
        """Of a tensor."""
        return self.specs[name].shape

    def dtype(self, name: str) -> np.dtype[Any]:
        """Of a tensor."""
        return np.dtype(self.specs[name].dtype.numpy())

    def version(self, op: str) -> int:
        """The definition of an operator in force."""
        return version_in_force("", op, self.opset)

    def constant(self, array: Any, dtype: Any = None, name: str | None = None) -> str:
        """A new initializer."""
        value = np.asarray(array, dtype=dtype)
        name = name or f"c{len(self.constants)}"
        self.constants[name] = value
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            self.tainted.add(name)
        self.specs[name] = Spec(ir.DataType.from_numpy(value.dtype), value.shape, widen(value))
        return name

    def add(self, op: str, inputs: Sequence[str | None], outputs: int = 1, **attributes: Any) -> str | None:
        """Add a node.

        Returns:
            The name of its first output; ``None`` if it is barred or this opset does not have it (nothing is added).
        """
        if not exists(op, self.opset):
            return None
        given = {name: value for name, value in attributes.items() if value is not None}
        specs = tuple(None if name is None else self.specs[name] for name in inputs)
        sources = tuple(self.sources.get(name or "", "") for name in inputs)
        special = not self.tainted.isdisjoint(inputs)
        dequantized = self.dequantized.get(inputs[0] or "", "")
        candidate = Candidate(op, self.version(op), given, specs, special, sources, outputs, self.opset, dequantized)
        if self.barred(candidate):
            return None
        index = len(self.nodes)
        names = [f"t{index}" if k == 0 else f"t{index}_{k}" for k in range(outputs)]
        node = helper.make_node(op, [n or "" for n in inputs], names, name=f"{op}_{index}", **given)
        found = self._inferred(candidate, node.name, outputs)
        self.nodes.append(node)
        if op == "DequantizeLinear":
            self.dequantized[names[0]] = candidate.kind
        for name, spec in zip(names, found, strict=False):
            self.specs[name] = spec
            self.sources[name] = op
            if special or op in MAKES_SPECIAL:
                self.tainted.add(name)
        return names[0]

    def _inferred(self, candidate: Candidate, name: str, outputs: int) -> tuple[Spec, ...]:
        """Types and shapes of the outputs, by the operator's own rule."""
        plain = {n: tuple(v) if isinstance(v, list) else v for n, v in candidate.attributes.items()}
        present = tuple(spec is not None for spec in candidate.inputs)
        facts = NodeFacts(name, candidate.op, "", candidate.version, plain, present, outputs)
        operator = find(facts)
        return operator.infer(operator.parse(facts), candidate.inputs)

    def checkpoint(self) -> tuple[int, int]:
        """For :meth:`rollback`."""
        return len(self.nodes), len(self.constants)

    def rollback(self, mark: tuple[int, int]) -> None:
        """Forget nodes and constants added since."""
        nodes, constants = mark
        for node in self.nodes[nodes:]:
            for name in node.output:
                self.specs.pop(name, None)
                self.sources.pop(name, None)
                self.dequantized.pop(name, None)
        del self.nodes[nodes:]
        for name in list(self.constants)[constants:]:
            del self.constants[name], self.specs[name]

    def finish(self) -> Graph:
        """The model; whatever no node reads is an output, and so are stray second outputs."""
        read = {name for node in self.nodes for name in node.input}
        made = [name for node in self.nodes for name in node.output if name]
        used_inputs = {n: a for n, a in self.inputs.items() if n in read}
        graph = helper.make_graph(
            self.nodes,
            "drawn",
            [_value(n, self.specs[n]) for n in used_inputs],
            [_value(n, self.specs[n]) for n in made if n not in read],
            [numpy_helper.from_array(a, n) for n, a in self.constants.items() if n in read],
        )
        opsets = [helper.make_opsetid("", self.opset)]
        proto = helper.make_model(graph, opset_imports=opsets, ir_version=10 if self.opset >= 9 else 8)
        return Graph(proto, used_inputs)


def _value(name: str, spec: Spec) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, int(spec.dtype), spec.shape)
