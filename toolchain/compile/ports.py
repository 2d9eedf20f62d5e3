"""Integers in and out: a quantized model without the float borders, for firmware whose sensor gives integers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import numpy_helper

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
        _taken_away(graph, value, node, node.output[0], value.name)
    for value in graph.output:
        if value.type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
            continue
        node = _only([n for n in graph.node if value.name in n.output], "DequantizeLinear", f"output {value.name!r}")
        _entry(node, constants)
        _taken_away(graph, value, node, node.input[0], value.name)
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


def _taken_away(
    graph: onnx.GraphProto, value: onnx.ValueInfoProto, node: onnx.NodeProto, inner: str, name: str
) -> None:
    """The graph's port takes the place of the quantized value ``inner``, under the port's own name."""
    zero = next(numpy_helper.to_array(tensor) for tensor in graph.initializer if tensor.name == node.input[2])
    graph.node.remove(node)
    for other in graph.node:
        for names in (other.input, other.output):
            for index, used in enumerate(names):
                if used == inner:
                    names[index] = name
    del graph.value_info[:]
    value.type.tensor_type.elem_type = onnx.helper.np_dtype_to_tensor_dtype(zero.dtype)


def integer_samples(given: Samples, entries: Mapping[str, Entry]) -> Samples:
    """The same samples as integers, all of them in memory."""
    arrays = given.feeds(0, len(given))
    made = {name: entries[name].integers(a) if name in entries else a for name, a in arrays.items()}
    return replace(given, arrays=made, image=None)
