"""Cut a piece out of a graph, and make it smaller: new models from old ones, nothing in place."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Array = NDArray[Any]


@dataclass(frozen=True)
class Piece:
    """A small model, what it is fed with, and what it gives.

    Attributes:
        nodes: in order.
        constants: by name; those that the nodes read.
        feeds: by name; what else they read.
        output: name, element type and rank of the result.
        opsets: versions of the operator sets.
        ir_version: of the file format.
    """

    nodes: tuple[onnx.NodeProto, ...]
    constants: Mapping[str, Array]
    feeds: Mapping[str, Array]
    output: tuple[str, int, int]
    opsets: Mapping[str, int]
    ir_version: int

    def proto(self) -> onnx.ModelProto:
        """As a model of its own, its shapes those of the feeds."""
        inputs = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            for name, array in self.feeds.items()
        ]
        name, kind, rank = self.output
        constants = [numpy_helper.from_array(np.ascontiguousarray(a), n) for n, a in self.constants.items()]
        output = helper.make_tensor_value_info(name, kind, [None] * rank)
        graph = helper.make_graph(list(self.nodes), "minimal", inputs, [output], constants)
        opsets = [helper.make_opsetid(domain, version) for domain, version in self.opsets.items()]
        return helper.make_model(graph, opset_imports=opsets, ir_version=self.ir_version, producer_name="onnx-edge")

    def model(self) -> ir.Model:
        """The same, for the toolchain."""
        return ir.from_proto(self.proto())

    @property
    def size(self) -> int:
        """Numbers in the feeds and the constants, and nodes: what minimizing makes smaller."""
        return sum(a.size for a in (*self.feeds.values(), *self.constants.values())) + len(self.nodes)


def cut_out(model: ir.Model, feeds: Mapping[str, Array], output: str, kind: int, rank: int) -> Piece | None:
    """The nodes between some tensors and one that depends on them.

    Args:
        model: the whole.
        feeds: values of the tensors that become inputs.
        output: the tensor that becomes the output.
        kind: its element type, of ``onnx.TensorProto``.
        rank: its number of dimensions.

    Returns:
        ``None`` where the tensor depends on something else as well, or is not in the model.
    """
    proto = ir.to_proto(model)
    producers = {name: node for node in proto.graph.node for name in node.output if name}
    stored = {tensor.name: tensor for tensor in proto.graph.initializer}
    if output not in producers:
        return None
    kept: set[int] = set()
    needed: set[str] = set()
    pending = [output]
    while pending:
        name = pending.pop()
        if name in needed or not name:
            continue
        needed.add(name)
        if name in feeds or name in stored:
            continue
        if name not in producers:
            return None
        kept.add(id(producers[name]))
        pending.extend(producers[name].input)
    nodes = tuple(node for node in proto.graph.node if id(node) in kept)
    return Piece(
        nodes=nodes,
        constants={n: numpy_helper.to_array(stored[n]) for n in stored if n in needed and n not in feeds},
        feeds={n: array for n, array in feeds.items() if n in needed},
        output=(output, kind, rank),
        opsets={entry.domain: entry.version for entry in proto.opset_import},
        ir_version=proto.ir_version,
    )


@dataclass(frozen=True)
class Slices:
    """Which indices of which axis each tensor keeps; tensors not named stay whole."""

    kept: Mapping[str, tuple[int, tuple[int, ...]]]

    def of(self, piece: Piece) -> Piece:
        """The piece with smaller tensors."""

        def less(name: str, array: Array) -> Array:
            if name not in self.kept:
                return array
            axis, indices = self.kept[name]
            return np.take(array, indices, axis=axis)

        return Piece(
            nodes=piece.nodes,
            constants={n: less(n, a) for n, a in piece.constants.items()},
            feeds={n: less(n, a) for n, a in piece.feeds.items()},
            output=piece.output,
            opsets=piece.opsets,
            ir_version=piece.ir_version,
        )


WEIGHTS: Mapping[str, tuple[int, int, int, int]] = {
    "Conv": (0, 1, 0, 1),
    "ConvInteger": (0, 1, 0, 1),
    "QLinearConv": (0, 3, 0, 1),
    "ConvTranspose": (0, 1, 1, 0),
    "Gemm": (0, 1, 1, 0),
    "MatMul": (0, 1, 1, 0),
    "MatMulInteger": (0, 1, 1, 0),
    "QLinearMatMul": (0, 3, 1, 0),
}
"""Of linear operators: which inputs are data and weight, and the weight's axes of output and of input channels."""


def dimensions(piece: Piece) -> list[tuple[str, Slices, int]]:
    """What can be made smaller: the tensors' axes that belong together, and how long they are.

    Returns:
        Name, all indices of every axis that shrinks with it, and length; the largest first.
    """
    found: list[tuple[str, dict[str, tuple[int, tuple[int, ...]]], int]] = []
    heads = {array.shape[:1] for array in piece.feeds.values()}
    if len(heads) == 1 and (size := next(iter(heads), ())):
        found.append(("samples", {n: (0, tuple(range(size[0]))) for n in piece.feeds}, size[0]))
    for node in piece.nodes:
        if node.op_type in WEIGHTS:
            found.extend(_of_weight(piece, node))
    rank = {array.ndim for array in piece.feeds.values()}
    if len(rank) == 1:
        for axis in range(1, next(iter(rank))):
            sizes = {array.shape[axis] for array in piece.feeds.values()}
            if len(sizes) == 1:
                size_of = next(iter(sizes))
                together = {n: (axis, tuple(range(size_of))) for n in piece.feeds}
                if axis == 1:
                    together |= _vectors(piece, piece.nodes, size_of)
                found.append((f"axis {axis}", together, size_of))
    return [(name, Slices(kept), size) for name, kept, size in sorted(found, key=lambda f: -f[2]) if size > 1]


def _of_weight(piece: Piece, node: onnx.NodeProto) -> list[tuple[str, dict[str, tuple[int, tuple[int, ...]]], int]]:
    """Output channels with all constants that have one for each, and input channels with the data."""
    data, position, out, into = WEIGHTS[node.op_type]
    weight = _source(piece, node.input[position])
    if weight is None:
        return []
    name, w = weight
    if node.op_type == "Gemm" and any(a.name == "transB" and a.i for a in node.attribute):
        out, into = into, out
    grouped = any(a.name == "group" and a.i > 1 for a in node.attribute)
    if w.ndim < 2 or grouped:
        return []
    later = piece.nodes[[n.output[0] for n in piece.nodes].index(node.output[0]) :]
    behind = (*_feeding(piece, node), *later)
    made = [
        (
            f"output channels of {name}",
            {**_vectors(piece, behind, w.shape[out]), name: (out, tuple(range(w.shape[out])))},
            w.shape[out],
        )
    ]
    channels = _fed(piece, node.input[data])
    if channels is not None:
        axis = piece.feeds[channels].ndim - 1 if "MatMul" in node.op_type else 1
        if piece.feeds[channels].ndim > axis and piece.feeds[channels].shape[axis] == w.shape[into]:
            every = tuple(range(w.shape[into]))
            made.append((f"input channels of {name}", {name: (into, every), channels: (axis, every)}, w.shape[into]))
    return made


def _source(piece: Piece, name: str) -> tuple[str, Array] | None:
    """The constant behind a tensor, dequantized or not."""
    if name in piece.constants:
        return name, piece.constants[name]
    for node in piece.nodes:
        if name in node.output and node.op_type == "DequantizeLinear" and node.input[0] in piece.constants:
            return node.input[0], piece.constants[node.input[0]]
    return None


def _fed(piece: Piece, name: str) -> str | None:
    """The input behind a tensor, through nodes that keep its channels."""
    while name not in piece.feeds:
        makers = [node for node in piece.nodes if name in node.output]
        if not makers or makers[0].op_type not in ("DequantizeLinear", "QuantizeLinear", "Identity", "Relu", "Cast"):
            return None
        name = makers[0].input[0]
    return name


def _feeding(piece: Piece, node: onnx.NodeProto) -> tuple[onnx.NodeProto, ...]:
    """Nodes that make a node's inputs from constants."""
    return tuple(
        maker
        for maker in piece.nodes
        if set(maker.output) & set(node.input) and all(n in piece.constants for n in maker.input if n)
    )


def _vectors(
    piece: Piece, nodes: Collection[onnx.NodeProto] | Sequence[onnx.NodeProto], size: int
) -> dict[str, tuple[int, tuple[int, ...]]]:
    """Constants of some nodes that have one number for each channel."""
    every = tuple(range(size))
    made: dict[str, tuple[int, tuple[int, ...]]] = {}
    for name in {n for node in nodes for n in node.input}:
        array = piece.constants.get(name)
        if array is not None and array.size == size and size in array.shape and size > 1:
            made[name] = (array.shape.index(size), every)
    return made
