"""Integers in and out: a quantized model without the float borders, for firmware whose sensor gives integers."""

from __future__ import annotations

from collections.abc import Mapping, MutableSequence, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import numpy_helper

from toolchain.compile.names import unique
from toolchain.data import Samples
from toolchain.errors import UnsupportedError
from toolchain.load import read

IO = ("float", "int8")
"""What ``--io`` takes: the model's own types, or the 8-bit integers next to its borders."""


@dataclass(frozen=True, eq=False)
class Entry:
    """How a float input became integers.

    Attributes:
        scale: of the QuantizeLinear.
        zero: its zero point, in its type.
    """

    scale: np.float32
    zero: NDArray[np.integer[Any]]

    def integers(self, values: NDArray[np.float32]) -> NDArray[np.integer[Any]]:
        """``clamp(round_half_even(values / scale) + zero)``, exactly.

        The double nearest to a quotient of two floats lies on the same side of every tie as the quotient, or is it.
        """
        limits = np.iinfo(self.zero.dtype)
        made = np.rint(values.astype(np.float64) / np.float64(self.scale)) + float(self.zero)
        return np.clip(made, limits.min, limits.max).astype(self.zero.dtype)


def integer_ports(model: ir.Model) -> tuple[ir.Model, Mapping[str, Entry]]:
    """Take the QuantizeLinear behind each float input and the DequantizeLinear before each float output away.

    Args:
        model: quantized; not changed.

    Returns:
        The model whose inputs and outputs have the names of the float ones, and how to make its inputs.

    Raises:
        UnsupportedError: an input is read by anything but one QuantizeLinear of one constant scale, or an output is
            made by anything but such a DequantizeLinear.
    """
    proto = onnx.ModelProto()
    proto.CopyFrom(ir.to_proto(model))
    graph = proto.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    entries = {}
    for value in graph.input:
        if value.type.tensor_type.elem_type != onnx.TensorProto.FLOAT or value.name in constants:
            continue
        node = _only([n for n in graph.node if value.name in n.input], "QuantizeLinear", f"input {value.name!r}")
        entries[value.name] = _entry(node, constants)
        _taken_away(graph, value, node, node.output[0])
    for value in graph.output:
        if value.type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
            continue
        node = _only([n for n in graph.node if value.name in n.output], "DequantizeLinear", f"output {value.name!r}")
        _entry(node, constants)
        _keep_for_readers(graph, node)
        _taken_away(graph, value, node, node.input[0])
    return read(proto.SerializeToString(), model.graph.name or "model"), entries


def _only(nodes: Sequence[onnx.NodeProto], op_type: str, where: str) -> onnx.NodeProto:
    if len(nodes) != 1 or nodes[0].op_type != op_type:
        found = ", ".join(node.op_type for node in nodes) or "nothing"
        raise UnsupportedError(
            f"{where} is next to {found}, expected one {op_type}: --io int8 is for models that are quantized at their "
            "borders; quantize it with `onnx-edge quantize`, or leave --io out"
        )
    return nodes[0]


def _entry(node: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto]) -> Entry:
    found = [numpy_helper.to_array(constants[name]) for name in node.input[1:] if name in constants]
    if len(found) != 2 or found[0].size != 1:
        raise UnsupportedError(f"node {node.name!r}: expected one constant scale and zero point; quantize per tensor")
    return Entry(np.float32(found[0].reshape(())), found[1].reshape(()))


def _keep_for_readers(graph: onnx.GraphProto, node: onnx.NodeProto) -> None:
    """Nodes that read a float output go on reading floats: of a DequantizeLinear of their own."""
    name = node.output[0]
    readers = [other for other in graph.node if name in other.input]
    if not readers:
        return
    own = onnx.NodeProto()
    own.CopyFrom(node)
    taken = {used for other in graph.node for used in (*other.input, *other.output)}
    own.output[0] = unique(f"{name}_float", taken)
    own.name = unique(f"{node.name}_again", {other.name for other in graph.node}) if node.name else ""
    graph.node.insert(list(graph.node).index(node), own)
    for other in readers:
        _renamed(other.input, name, own.output[0])


def _taken_away(graph: onnx.GraphProto, value: onnx.ValueInfoProto, node: onnx.NodeProto, inner: str) -> None:
    """The graph's port takes the place of the quantized value ``inner``, under the port's own name.

    Where that value is another port, it stays, and the two are the same.
    """
    name = value.name
    zero = next(numpy_helper.to_array(tensor) for tensor in graph.initializer if tensor.name == node.input[2])
    if inner in {port.name for port in (*graph.input, *graph.output)}:
        source, result = (name, inner) if node.op_type == "QuantizeLinear" else (inner, name)
        node.CopyFrom(onnx.helper.make_node("Identity", [source], [result], node.name))
    else:
        graph.node.remove(node)
        for other in graph.node:
            _renamed(other.input, inner, name)
            _renamed(other.output, inner, name)
    del graph.value_info[:]
    value.type.tensor_type.elem_type = onnx.helper.np_dtype_to_tensor_dtype(zero.dtype)


def _renamed(names: MutableSequence[str], old: str, new: str) -> None:
    for index, used in enumerate(names):
        if used == old:
            names[index] = new


def integer_samples(given: Samples, entries: Mapping[str, Entry]) -> Samples:
    """The same samples as integers, all of them in memory."""
    arrays = given.feeds(0, len(given))
    made = {name: entries[name].integers(a) if name in entries else a for name, a in arrays.items()}
    return replace(given, arrays=made, image=None)
