"""Small graphs with a planted fault, judged as one region without any runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from toolchain.nodes import Step
from toolchain.ops.bounds import FLOAT32_ROUNDOFF
from toolchain.reference import Reference
from toolchain.shapes import infer
from toolchain.verify.cause import Cause, diagnose
from toolchain.verify.judge import exact
from toolchain.verify.regions import cut

Array = NDArray[Any]
Change = Callable[[onnx.ModelProto], None]
Numbers = Mapping[str, Any]
Node = tuple[str, Sequence[str], str, Mapping[str, Any]]


@dataclass(frozen=True)
class Sketch:
    """A graph of one region.

    Attributes:
        nodes: operator, inputs, output, attributes.
        data: what it is fed with, by input name.
        constants: by name.
        output: the observed tensor.
        opset: of ai.onnx.
    """

    nodes: tuple[Node, ...]
    data: Numbers
    constants: Numbers
    output: str = "y"
    opset: int = 21

    def proto(self) -> onnx.ModelProto:
        """The model."""
        nodes = [helper.make_node(op, list(i), [o], f"n_{o}", **dict(a)) for op, i, o, a in self.nodes]
        inputs = [
            helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
            for n, a in self.data.items()
        ]
        constants = [numpy_helper.from_array(np.asarray(a), n) for n, a in self.constants.items()]
        graph = helper.make_graph(nodes, "g", inputs, [onnx.ValueInfoProto(name=self.output)], constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=10)


def evaluated(proto: onnx.ModelProto, feeds: Numbers, output: str) -> Array:
    """The interpreter's answer, rounded to the type that a runtime would give."""
    value = Reference(ir.from_proto(proto)).run(feeds)[output]
    return value.astype(np.float32) if value.dtype == np.float64 else value


def cause_of(sketch: Sketch, received: Array, feeds: Numbers | None = None) -> Cause:
    """What is said of a received tensor."""
    model = ir.from_proto(sketch.proto())
    reference, given = Reference(model), dict(sketch.data if feeds is None else feeds)
    specs = infer(model, {name: array.shape for name, array in given.items()})
    (region,) = cut(reference.steps, reference.constants, {*given, sketch.output})
    value, bound = exact(region, reference.constants, given, FLOAT32_ROUNDOFF, specs)
    return diagnose(region, reference.constants, given, received, value, bound, FLOAT32_ROUNDOFF, specs)


def planted(sketch: Sketch, change: Change) -> Cause:
    """The cause that is found when a backend computes a changed graph."""
    proto = sketch.proto()
    change(proto)
    return cause_of(sketch, evaluated(proto, sketch.data, sketch.output))


def attribute(output: str, **values: Any) -> Change:
    """Set attributes of the node that makes a tensor."""

    def change(proto: onnx.ModelProto) -> None:
        node = node_of(proto, output)
        kept = [a for a in node.attribute if a.name not in values]
        del node.attribute[:]
        node.attribute.extend([*kept, *(helper.make_attribute(n, v) for n, v in values.items() if v is not None)])

    return change


def constant(name: str, function: Callable[[Array], Array]) -> Change:
    """Replace a constant."""

    def change(proto: onnx.ModelProto) -> None:
        (tensor,) = (t for t in proto.graph.initializer if t.name == name)
        old = numpy_helper.to_array(tensor)
        tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(function(old.copy())).astype(old.dtype), name))

    return change


def without(output: str) -> Change:
    """Leave a node out: what it reads takes its place."""

    def change(proto: onnx.ModelProto) -> None:
        node = node_of(proto, output)
        node.CopyFrom(helper.make_node("Identity", [node.input[0]], [output], node.name))

    return change


def dropped(output: str, position: int) -> Change:
    """Leave out an input of a node."""

    def change(proto: onnx.ModelProto) -> None:
        node_of(proto, output).input[position] = ""

    return change


def node_of(proto: onnx.ModelProto, output: str) -> onnx.NodeProto:
    """The node that makes a tensor."""
    nodes: list[onnx.NodeProto] = [n for n in proto.graph.node if output in n.output]
    return nodes[0]


def step_of(sketch: Sketch, output: str) -> Step:
    """The same, ready to run."""
    return next(s for s in Reference(ir.from_proto(sketch.proto())).steps if output in s.outputs)
