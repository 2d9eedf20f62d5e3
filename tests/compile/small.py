"""Small models, a node a line."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
from onnx import TensorProto, helper, numpy_helper

from toolchain.load import read

FLOAT, INT8, UINT8 = TensorProto.FLOAT, TensorProto.INT8, TensorProto.UINT8
Port = tuple[str, int, list[int]]
Nodes = list[onnx.NodeProto]
ROW: list[int] = [1, 12]
X: list[Port] = [("x", FLOAT, ROW)]
Y: list[Port] = [("y", FLOAT, ROW)]
CONSTANTS: dict[str, np.ndarray] = {
    "s": np.array(0.05, np.float32),
    "z": np.array(-1, np.int8),
    "s2": np.array(0.02, np.float32),
    "z2": np.array(7, np.int8),
    "u": np.array(100, np.uint8),
}


def node(op_type: str, inputs: str, output: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(op_type, inputs.split(), output.split(), f"{op_type}_{output.split()[0]}", **attributes)


def q(x: str, y: str, scale: str = "s", zero: str = "z") -> onnx.NodeProto:
    return node("QuantizeLinear", f"{x} {scale} {zero}", y)


def dq(x: str, y: str, scale: str = "s", zero: str = "z") -> onnx.NodeProto:
    return node("DequantizeLinear", f"{x} {scale} {zero}", y)


def rounded(x: str, y: str, scale: str = "s", zero: str = "z") -> Nodes:
    return [q(x, f"{y}_q", scale, zero), dq(f"{y}_q", y, scale, zero)]


def model(nodes: Nodes, inputs: list[Port], outputs: list[Port], opset: int = 21, **more: np.ndarray) -> ir.Model:
    graph = helper.make_graph(
        nodes,
        "borders",
        [helper.make_tensor_value_info(*port) for port in inputs],
        [helper.make_tensor_value_info(*port) for port in outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in (CONSTANTS | more).items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    return read(proto.SerializeToString(), "borders")


def tanh(*behind: onnx.NodeProto) -> Nodes:
    return [*rounded("x", "a"), node("Tanh", "a", "t"), *behind]
