"""Which tensors of the model survive in the graph that the runtime runs, and in what disguise.

The runtime's optimiser keeps most names, with four exceptions:

- NCHWc convolutions and pools give their output a new name and call *the node* after the tensor that it replaces,
  ``T_nchwc``. The tensor holds blocks of channels. An Add and an activation that the node took in later leave its
  name as it is: then the tensor is the activation's result.
- Quantized operators (QLinearConv, QGemm, ...) keep the name of the node that they stand for, perhaps with a suffix
  ``_token_N``, and give the quantized value of its result. Where the processor has no signed kernels, int8 tensors
  become uint8 with 128 added.
- QuantizeLinear may change places with a node in front of it that moves or selects (MaxPool): a new pair of
  QuantizeLinear and DequantizeLinear stands before the node then, whose result keeps its name and is another tensor.
- Channels-last operators (NhwcMaxPool, QLinearConv with ``channels_last``) hold N, H, W, C, and may use the name of
  another tensor of the model.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from toolchain.ops.operator import Spec

Array = NDArray[Any]
Layout = Literal["plain", "blocked", "channels last"]

BLOCKED_DOMAIN = "com.microsoft.nchwc"
_BLOCKED_SUFFIX = "_nchwc"
_COPY_SUFFIX = re.compile(r"_token_\d+$")
_FUSED_BEFORE_QUANTIZING = frozenset({"Relu", "Clip", "LeakyRelu", "Sigmoid", "HardSigmoid", "Tanh", "HardSwish"})
_SUM_INPUT = 3
_ADDING = frozenset({"Add", "Sum"})
_ELIMINATED = frozenset({"Identity", "Dropout"})
_QUANTIZED = frozenset(
    {
        "Add",
        "AveragePool",
        "Concat",
        "Conv",
        "Flatten",
        "Gemm",
        "GlobalAveragePool",
        "LeakyRelu",
        "MatMul",
        "MaxPool",
        "Mul",
        "QuantizeLinear",
        "Reshape",
        "Sigmoid",
        "Softmax",
        "Squeeze",
        "Transpose",
        "Unsqueeze",
        "Where",
    }
)


@dataclass(frozen=True)
class Survivor:
    """A tensor of the graph that runs, and the tensor of the model that it is.

    Attributes:
        running: its name in the graph that runs.
        model: its name in the model.
        layout: how its elements are ordered.
        quantized: it holds the quantized value, perhaps with 128 added.
    """

    running: str
    model: str
    layout: Layout = "plain"
    quantized: bool = False


def survivors(running: onnx.ModelProto, model: ir.Model, given: ir.Model | None = None) -> tuple[Survivor, ...]:
    """Match the tensors of the graph that runs with the model's.

    Args:
        running: the graph that runs.
        model: whose tensors are meant.
        given: what the runtime was given, if it is another graph. A node of it may make another tensor than the model's
            node of that name does; then its name tells nothing.
    """
    theirs = {} if given is None else {node.name: node.outputs[0].name for node in given.graph if node.outputs}
    known = _Known(
        produced=_computed(model),
        outputs=frozenset(value.name for value in model.graph.outputs if value.name),
        nodes={
            node.name: node
            for node in model.graph
            if node.name and theirs.get(node.name, node.outputs[0].name) == node.outputs[0].name
        },
        values={value.name: value for node in model.graph for value in node.outputs if value.name},
        given=frozenset(v.name for node in (given or model).graph for v in node.outputs if v.name),
    )
    states: dict[str, _State] = {}
    found: dict[str, Survivor] = {}
    for node in running.graph.node:
        state = _follow(node, states, known)
        states.update(dict.fromkeys(node.output, state))
        for survivor in _of_node(node, state, known):
            found.setdefault(survivor.model, survivor)
    return tuple(found.values())


def _computed(model: ir.Model) -> frozenset[str]:
    """Tensors that depend on an input of the graph; constants may be folded, turned or stretched under their names."""
    found = {value.name for value in model.graph.inputs if value.name}
    found -= set(model.graph.initializers)
    made: set[str] = set()
    for node in model.graph:
        if any(value is not None and value.name in found for value in node.inputs):
            names = {value.name for value in node.outputs if value.name}
            found |= names
            made |= names
    return frozenset(made)


@dataclass(frozen=True)
class _Known:
    """Names of the model: tensors computed from its inputs, graph outputs, nodes by name, and those tensors by name.

    ``given`` are the tensors that the graph given to the runtime makes, if that is another one.
    """

    produced: frozenset[str]
    outputs: frozenset[str]
    nodes: Mapping[str, ir.Node]
    values: Mapping[str, ir.Value]
    given: frozenset[str]

    def own(self, node: onnx.NodeProto) -> bool:
        """Whether a running node stands in the model, by its name or (nodes need none) by what it makes."""
        if node.name in self.nodes:
            return True
        made = self.values.get(node.output[0])
        return made is not None and _operator_of(made) == node.op_type


@dataclass(frozen=True)
class _State:
    """How a running tensor is laid out, and whether it holds quantized values.

    ``early`` are integers that a QuantizeLinear of the runtime's own made, ``rounded`` what is computed of them again.
    """

    layout: Layout = "plain"
    quantized: bool = False
    early: bool = False
    rounded: bool = False


def _follow(node: onnx.NodeProto, states: Mapping[str, _State], known: _Known) -> _State:
    """The state of a running node's outputs from that of its inputs."""
    before = [states[name] for name in node.input if name in states]
    quantized = node.op_type in ("QuantizeLinear", "DynamicQuantizeLinear") or (
        node.op_type not in ("DequantizeLinear", "DynamicQuantizeMatMul")
        and (node.op_type.startswith("Q") or any(state.quantized for state in before))
    )
    last = node.op_type.startswith("Nhwc") or any(a.name == "channels_last" and a.i for a in node.attribute)
    last = last or any(state.layout == "channels last" for state in before)
    if node.domain == BLOCKED_DOMAIN:
        # Reordering out of blocks may transpose as well: then it stands for the model's own Transpose.
        last = False
    elif node.op_type == "Transpose" and node.output[0] in known.produced:
        # It gives its result the name that the model has for it, so it restores the model's layout.
        last = False
    elif node.op_type == "Transpose" and not known.own(node):
        order = next((tuple(a.ints) for a in node.attribute if a.name == "perm"), ())
        # The runtime's own transposes move the channels behind the spatial axes, or back (of three axes: both alike).
        last = (
            order != (0, len(order) - 1, *range(1, len(order) - 1)) if last else order == (0, *range(2, len(order)), 1)
        )
    return _State("channels last" if last else "plain", quantized, *_rounding(node, before, known))


def _rounding(node: onnx.NodeProto, before: Sequence[_State], known: _Known) -> tuple[bool, bool]:
    """Whether a running node's outputs are :attr:`_State.early`, and whether they are rounded."""
    early = any(state.early for state in before)
    if node.op_type == "QuantizeLinear":
        return node.output[0] not in known.given and not known.own(node), False
    if node.op_type == "DequantizeLinear":
        return False, early and node.output[0] not in known.given
    return early and not node.op_type.startswith("Q"), any(state.rounded for state in before)


def _of_node(node: onnx.NodeProto, state: _State, known: _Known) -> Iterator[Survivor]:
    """What one running node shows."""
    if node.domain == BLOCKED_DOMAIN and not node.op_type.startswith("Reorder"):
        original = _behind_fused(node, known)
        if original is not None:
            yield Survivor(node.output[0], original, "blocked")
        return
    twin = known.nodes.get(_COPY_SUFFIX.sub("", node.name))
    quantized = _quantized(twin) if twin is not None and state.quantized else None
    for name in node.output:
        # Under such a name the runtime may hold something else than the model does.
        reused = quantized not in (None, name)
        if name in known.produced and (name in known.outputs or not (reused or state.rounded)):
            # Only quantized operators give the model's names to tensors in another layout.
            plain = name in known.outputs or not state.quantized
            yield Survivor(name, name, "plain" if plain else state.layout, state.quantized)
    if quantized is not None and quantized not in node.output:
        yield Survivor(node.output[0], quantized, state.layout, quantized=True)


def _behind_fused(node: onnx.NodeProto, known: _Known) -> str | None:
    """The tensor of the model that an NCHWc node computes; ``None`` where that cannot be told."""
    value = known.values.get(node.name.removesuffix(_BLOCKED_SUFFIX))
    if value is not None and len(node.input) > _SUM_INPUT and node.input[_SUM_INPUT]:
        value = _next(value, _ADDING)
    function = next((a.s.decode() for a in node.attribute if a.name == "activation"), "")
    if value is not None and function and _operator_of(value) != function:
        value = _next(value, frozenset({function}))
    return None if value is None else value.name


def _operator_of(value: ir.Value) -> str:
    producer = value.producer()
    return "" if producer is None else producer.op_type


def _next(value: ir.Value, operators: frozenset[str]) -> ir.Value | None:
    """The result of the only reader of a tensor, if it is one of these operators; passes eliminated nodes."""
    while True:
        readers = {id(user): user for user, _ in value.uses()}
        if len(readers) != 1 or value.is_graph_output():
            return None
        (reader,) = readers.values()
        value = reader.outputs[0]
        if reader.op_type in operators:
            return value
        if reader.op_type not in _ELIMINATED:
            return None


def _quantized(node: ir.Node) -> str | None:
    """The tensor in which a node's result is quantized, if it goes nowhere else."""
    if node.op_type not in _QUANTIZED or len(node.outputs) != 1:
        return None
    if node.op_type == "QuantizeLinear":
        return node.outputs[0].name
    value = node.outputs[0]
    while True:
        readers = [user for user, _ in value.uses()]
        if len(readers) != 1:
            return None
        reader = readers[0]
        if reader.op_type == "QuantizeLinear":
            return reader.outputs[0].name
        if reader.op_type not in _FUSED_BEFORE_QUANTIZING:
            return None
        value = reader.outputs[0]


def restored(survivor: Survivor, array: Array, spec: Spec, block: int) -> Array:
    """The array in the layout and type of the model.

    Args:
        survivor: what it is.
        array: as the runtime gave it.
        spec: type and shape that the model means (its batch may differ).
        block: channels in a block of the channel-blocked layout.
    """
    if survivor.layout == "blocked":
        array = unblock(array, block)[:, : spec.shape[1]]
    else:
        array = _turned(survivor, array, spec.shape)
    if survivor.quantized and array.dtype == np.uint8 and spec.dtype == ir.DataType.INT8:
        array = (array.astype(np.int16) - 128).astype(np.int8)
    return array


def _turned(survivor: Survivor, array: Array, meant: tuple[int, ...]) -> Array:
    """Channels where the model has them.

    Shapes tell where they are (but for the batch), except where several orders have the same: then what was followed.
    """
    if array.ndim < 3 or not survivor.quantized:
        return array
    orders = {"plain": array, "last": np.moveaxis(array, -1, 1), "first": np.moveaxis(array, 1, -1)}
    fitting = [order for order, turned in orders.items() if turned.shape[1:] == meant[1:]]
    followed = "last" if survivor.layout == "channels last" else "plain"
    return orders[fitting[0] if fitting and followed not in fitting else followed]


def unblock(array: Array, block: int) -> Array:
    """[N, C, spatial...] stored as [N, C / block, spatial..., block], to the order that its shape says."""
    n, c, *spatial = array.shape
    stored = array.reshape(n, c // block, *spatial, block)
    return np.moveaxis(stored, -1, 2).reshape(array.shape)
