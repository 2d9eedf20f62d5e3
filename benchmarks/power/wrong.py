"""A region as somebody computes it who got one thing wrong, and how to compute it: in float64, or by ONNX Runtime.

A fault changes attributes, constants, or what one node does (:class:`Wrong`). Where the change can be written as a
model, ONNX Runtime runs the region of that model; every change can be computed by the reference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from benchmarks.power.networks import Subject
from toolchain.nodes import Step, find, version_in_force
from toolchain.ops.operator import Inputs, NodeFacts, widen
from toolchain.reference import evaluate
from toolchain.session import Session, SessionOptions
from toolchain.verify.regions import Region

Array = NDArray[Any]
Evaluate = Callable[[Any, Inputs], tuple[Array, ...]]


@dataclass(frozen=True)
class Wrong:
    """One region with one fault.

    Attributes:
        kind: of the fault, a key of ``toolchain.verify.cause.KINDS``.
        detail: what was changed.
        steps: the region's nodes, changed.
        constants: changed or new ones by name, in the types of the model.
        written: a model can say it; otherwise only a backend can compute so.
    """

    kind: str
    detail: str
    steps: tuple[Step, ...]
    constants: Mapping[str, Array] = field(default_factory=dict)
    written: bool = True


@dataclass(frozen=True)
class Place:
    """A region of a network, ready to be changed.

    Attributes:
        subject: the network.
        region: of it.
    """

    subject: Subject
    region: Region

    @property
    def steps(self) -> tuple[Step, ...]:
        """The region's nodes."""
        return self.region.steps

    def find(self, *names: str) -> int | None:
        """Position of the first node with one of these operators."""
        return next((i for i, step in enumerate(self.steps) if step.operator.name in names), None)

    def maker(self, name: str | None) -> int | None:
        """Position of the node of this region that makes a tensor."""
        return next((i for i, step in enumerate(self.steps) if name in step.outputs), None)

    def stored(self, position: int, index: int) -> tuple[int, int] | None:
        """Where a node's input is stored as a constant: the node and input that read it, through DequantizeLinear."""
        inputs = self.steps[position].inputs
        name = inputs[index] if index < len(inputs) else None
        if name is None:
            return None
        if name in self.subject.native:
            return position, index
        maker = self.maker(name)
        if maker is not None and self.steps[maker].inputs[0] in self.subject.native:
            return maker, 0
        return None

    def constant(self, where: tuple[int, int]) -> Array:
        """The constant that a node's input reads, in its own type."""
        return self.subject.native[str(self.steps[where[0]].inputs[where[1]])]

    def change(self, kind: str, detail: str, *edits: Edit, written: bool = True) -> Wrong:
        """The region with some nodes changed."""
        steps, constants = list(self.steps), {}
        for edit in edits:
            steps[edit.position], new = edit.apply(steps[edit.position])
            constants.update(new)
        return Wrong(kind, detail, tuple(steps), constants, written)

    def behind(self, kind: str, detail: str, op: str, *constants: Array, **attributes: Any) -> Wrong:
        """The region with one more node at its end."""
        target = self.region.tensor
        inner = f"{target}.before"
        last = self.maker(target) or 0
        steps = list(self.steps)
        steps[last] = replace(steps[last], outputs=tuple(inner if n == target else n for n in steps[last].outputs))
        names = {f"{target}.{op}.{i}": array for i, array in enumerate(constants)}
        added = self.node(op, (inner, *names), (target,), attributes)
        return Wrong(kind, detail, (*steps, added), names)

    def before(self, kind: str, detail: str, position: int, op: str, *constants: Array, **attributes: Any) -> Wrong:
        """The region with one more node in front of a node's first input."""
        steps = list(self.steps)
        source = steps[position].inputs[0]
        made = f"{source}.read"
        names = {f"{made}.{op}.{i}": array for i, array in enumerate(constants)}
        added = self.node(op, (source, *names), (made,), attributes)
        steps[position] = replace(steps[position], inputs=(made, *steps[position].inputs[1:]))
        steps.insert(position, added)
        return Wrong(kind, detail, tuple(steps), names)

    def node(
        self, op: str, inputs: Sequence[str | None], outputs: Sequence[str], attributes: Mapping[str, Any]
    ) -> Step:
        """A node of the model's operator set."""
        version = version_in_force("", op, self.subject.model.opset_imports[""])
        present = tuple(name is not None for name in inputs)
        facts = NodeFacts(f"{outputs[0]}.{op}", op, "", version, dict(attributes), present, len(outputs))
        operator = find(facts)
        return Step(facts.name, operator, operator.parse(facts), tuple(inputs), tuple(outputs), facts)


@dataclass(frozen=True)
class Edit:
    """One changed node.

    Attributes:
        position: of the node in the region.
        attributes: new values; ``None`` removes one.
        inputs: new constants by index; ``None`` leaves an input out.
        op: another operator.
        evaluate: another meaning, which no model can say.
    """

    position: int
    attributes: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[int, Array | None] = field(default_factory=dict)
    op: str | None = None
    evaluate: Evaluate | None = None

    def apply(self, step: Step) -> tuple[Step, dict[str, Array]]:
        """The node changed, and its new constants under names of its own."""
        names, constants = list(step.inputs), {}
        names += [None] * (max(self.inputs, default=0) + 1 - len(names))
        for index, array in self.inputs.items():
            names[index] = None if array is None else f"{step.name}.changed.{index}"
            if array is not None:
                constants[str(names[index])] = array
        attributes = {} if self.op else dict(step.facts.attributes)
        attributes.update(self.attributes)
        facts = replace(
            step.facts,
            op_type=self.op or step.facts.op_type,
            attributes={name: value for name, value in attributes.items() if value is not None},
            inputs=tuple(name is not None for name in names),
        )
        if self.op:
            facts = replace(facts, version=version_in_force("", self.op, max(step.facts.version, 13)))
        operator = find(facts)
        parsed = operator.parse(facts)
        if self.evaluate is not None:
            operator = replace(operator, evaluate=self.evaluate)
        return Step(step.name, operator, parsed, tuple(names), step.outputs, facts), constants


def computed(place: Place, steps: Sequence[Step], constants: Mapping[str, Array]) -> dict[str, Array]:
    """Every tensor of a region in float64 or exact integers, from the correct backend's inputs.

    Raises:
        ToolchainError: the nodes cannot be evaluated.
    """
    subject = place.subject
    values = {name: widen(subject.tensors[name]) for name in place.region.inputs}
    for step in steps:
        inputs = [None if n is None else _value(n, values, constants, subject) for n in step.inputs]
        outputs = evaluate(step, inputs)
        values.update({n: y for n, y in zip(step.outputs, outputs, strict=False) if n})
    return values


def _value(name: str, values: Mapping[str, Array], constants: Mapping[str, Array], subject: Subject) -> Array:
    if name in values:
        return values[name]
    return widen(constants[name]) if name in constants else subject.reference.constants[name]


def run(place: Place, wrong: Wrong) -> Array:
    """What ONNX Runtime computes on the region of the changed model, from the correct backend's inputs.

    Raises:
        ToolchainError: it refuses the model.
    """
    subject, region = place.subject, place.region
    used = {name for step in wrong.steps for name in step.inputs if name}
    known = {**subject.native, **wrong.constants}
    feeds = {name: subject.tensors[name] for name in region.inputs}
    inputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in feeds.items()
    ]
    graph = helper.make_graph(
        [node_proto(step) for step in wrong.steps],
        "region",
        inputs,
        [onnx.ValueInfoProto(name=region.tensor)],
        [numpy_helper.from_array(np.asarray(known[name], order="C"), name) for name in sorted(used & set(known))],
    )
    opsets = [helper.make_opsetid(domain, version) for domain, version in subject.model.opset_imports.items()]
    proto = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    return Session(proto.SerializeToString(), SessionOptions()).run(feeds)[region.tensor]


def node_proto(step: Step) -> onnx.NodeProto:
    """A node as ONNX writes it."""
    names = [name or "" for name in step.inputs]
    outputs = [name or "" for name in step.outputs]
    return helper.make_node(
        step.facts.op_type, names, outputs, step.name, domain=step.facts.domain, **step.facts.attributes
    )


def whole(subject: Subject, wrong: Wrong) -> ir.Model:
    """The network with one region changed."""
    proto = ir.to_proto(subject.model)
    changed = {name for step in wrong.steps for name in step.outputs if name}
    kept = [node for node in proto.graph.node if not changed & set(node.output)]
    ordered = _ordered([*kept, *(node_proto(step) for step in wrong.steps)], proto)
    del proto.graph.node[:]
    proto.graph.node.extend(ordered)
    proto.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(array, order="C"), name) for name, array in wrong.constants.items()
    )
    del proto.graph.value_info[:]
    return ir.from_proto(proto)


def _ordered(nodes: list[onnx.NodeProto], proto: onnx.ModelProto) -> list[onnx.NodeProto]:
    """Nodes so that each stands behind those whose results it reads."""
    made = {name for node in nodes for name in node.output}
    done: set[str] = {""}
    waiting, ordered = list(nodes), []
    while waiting:
        ready = [n for n in waiting if all(name in done or name not in made for name in n.input)]
        if not ready:
            raise ValueError(f"the nodes of {proto.graph.name!r} form a cycle")
        ordered += ready
        done |= {name for node in ready for name in node.output}
        waiting = [n for n in waiting if n not in ready]
    return ordered
