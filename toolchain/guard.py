"""What is refused before anything that it could hurt reads on.

Works on the parsed protobuf only, in time proportional to its size: nothing is expanded, evaluated or allocated
here that the file does not itself contain.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

import onnx

from toolchain.allowance import Allowance, Part
from toolchain.errors import FileError, UnsafeError, UnsupportedError
from toolchain.layouts import MAX_BYTES, MAX_RANK, byte_size, check_value

MAX_DEPTH = 8
"""Graphs within attributes within graphs."""
_ENOUGH = 10**15
"""Counts of an expansion are not followed beyond."""

_KINDS = onnx.AttributeProto
LISTS = {_KINDS.FLOATS: "floats", _KINDS.INTS: "ints", _KINDS.STRINGS: "strings"}
PLAIN = frozenset({_KINDS.FLOAT, _KINDS.INT, _KINDS.STRING, *LISTS})
"""Attributes that hold no tensor and no graph; the checker refuses one that holds more than its type says."""

Function = tuple[str, str, str]


@dataclass
class _Content:
    """What a graph or function holds itself, before expansion.

    Attributes:
        nodes: their number.
        parts: as :class:`~toolchain.allowance.Part` counts them.
        fields: of those nodes: tensor names, attributes and their values.
        size: bytes of its tensors.
        calls: of local functions.
    """

    nodes: int = 0
    parts: int = 0
    fields: int = 0
    size: int = 0
    calls: Counter[Function] = field(default_factory=Counter)

    def add(self, inner: _Content) -> None:
        """Take in a graph within this one."""
        self.nodes += inner.nodes
        self.parts += inner.parts
        self.fields += inner.fields
        self.size += inner.size
        self.calls.update(inner.calls)


def guard(proto: onnx.ModelProto, name: str, allowed: Allowance) -> tuple[onnx.TensorProto, ...]:
    """Refuse what is unsafe or broken.

    Args:
        proto: the parsed file.
        name: how messages call it.
        allowed: how much of everything it may hold.

    Returns:
        The tensors whose data lies in other files, wherever in the model they are.

    Raises:
        FileError: no model, or a tensor that is not what it says.
        UnsupportedError: of an operator set or format later than this installation knows.
        UnsafeError: two readers could read two models, or reading on costs far more than the file's size.
    """
    _versions(proto, name)
    walk = _Walk(proto, name, allowed)
    main = walk.graph(proto.graph, 0)
    bodies: dict[Function, _Content] = {}
    for function in proto.functions:
        key = (function.domain, function.name, function.overload)
        if key in bodies:
            raise UnsafeError(f"{name} defines function {_shown(key)} twice; export it again")
        if function.domain in ("", "ai.onnx"):
            raise UnsafeError(f"{name} defines function {_shown(key)} over ONNX's own operator; rename it")
        bodies[key] = walk.body(function.node, 0)
        walk.attributes_of(function.attribute_proto, bodies[key], 0)
        walk.types(function.value_info)
    _expansion(main, bodies, name, allowed)
    return tuple(walk.external)


def _versions(proto: onnx.ModelProto, name: str) -> None:
    """Operator sets and format are known, and stated once."""
    if not proto.HasField("graph") or not proto.opset_import:
        raise FileError(f"{name} is no ONNX model: it has no graph or no opset; export it again")
    if proto.ir_version > onnx.IR_VERSION:
        raise UnsupportedError(
            f"{name} has IR version {proto.ir_version}; this installation of onnx knows {onnx.IR_VERSION} at most; "
            "upgrade onnx, or export for an older version"
        )
    domains = [("" if o.domain == "ai.onnx" else o.domain) for o in proto.opset_import]
    _unique(domains, "operator set", name)
    newest = onnx.defs.onnx_opset_version()
    for opset, domain in zip(proto.opset_import, domains, strict=True):
        if opset.version < 1 or (domain == "" and opset.version > newest):
            raise UnsupportedError(
                f"{name} needs opset {opset.version} of {domain or 'ai.onnx'}; expected 1 to {newest}; "
                "upgrade onnx, or export for an older opset"
            )
    _unique((entry.key for entry in proto.metadata_props), "metadata entry", name)
    if proto.training_info:
        raise UnsupportedError(f"{name} holds graphs for training, which are not read here; export it for inference")


class _Walk:
    """One pass over every graph, attribute and tensor of a file."""

    def __init__(self, proto: onnx.ModelProto, name: str, allowed: Allowance) -> None:
        self.name = name
        self.allowed = allowed
        self.left = {part: allowed.of(part) for part in Part}
        self.external: list[onnx.TensorProto] = []
        self.count(Part.FUNCTIONS, len(proto.functions))
        self.local = {(f.domain, f.name, f.overload) for f in proto.functions}

    def count(self, part: Part, more: int) -> None:
        """Add to a count that is limited."""
        self.left[part] -= more
        if self.left[part] < 0:
            raise UnsafeError(f"{self.name} {self.allowed.excess(part)}")

    def graph(self, graph: onnx.GraphProto, depth: int) -> _Content:
        """Check a graph, and count what it holds."""
        if depth > MAX_DEPTH:
            raise UnsafeError(f"{self.name} nests graphs more than {MAX_DEPTH} deep; flatten it")
        if graph.sparse_initializer:
            raise UnsupportedError(f"{self.name} holds sparse tensors, which are not read here; store them dense")
        _unique((t.name for t in graph.initializer), "initializer", self.name)
        _unique((value.name for value in graph.input), "input", self.name)
        if not depth:  # the graph in an If may hand out one tensor twice
            _unique((value.name for value in graph.output), "output", self.name)
        for values in (graph.input, graph.output, graph.value_info):
            self.types(values)
        content = self.body(graph.node, depth)
        for tensor in graph.initializer:
            content.size += self.tensor(tensor)
        return content

    def types(self, values: Collection[onnx.ValueInfoProto]) -> None:
        """Check stated types."""
        self.count(Part.PARTS, len(values))
        for value in values:
            rank = len(value.type.tensor_type.shape.dim)
            if rank > MAX_RANK:
                raise UnsafeError(
                    f"{self.name}: tensor {value.name!r} has {rank} dimensions; at most {MAX_RANK} are read"
                )

    def body(self, nodes: Collection[onnx.NodeProto], depth: int) -> _Content:
        """Check nodes, and count what they hold."""
        self.count(Part.NODES, len(nodes))
        self.count(Part.PARTS, 4 * len(nodes))
        content = _Content(nodes=len(nodes))
        before = self.left[Part.PARTS]
        for node in nodes:
            outputs = len(node.output)
            self.count(Part.PARTS, outputs)
            content.fields += 1 + len(node.input) + outputs
            if self.local:
                key = (node.domain, node.op_type, node.overload)
                if key in self.local:
                    content.calls[key] += 1
            if node.attribute:
                self.attributes_of(node.attribute, content, depth)
        content.parts = 4 * len(nodes) + before - self.left[Part.PARTS]
        return content

    def attributes_of(self, attributes: Collection[onnx.AttributeProto], content: _Content, depth: int) -> None:
        """Check the attributes of one node, and add what they hold."""
        self.count(Part.PARTS, len(attributes))
        content.fields += len(attributes)
        if len(attributes) > 1:
            _unique((attribute.name for attribute in attributes), "attribute", f"{self.name}: one node")
        for attribute in attributes:
            kind = attribute.type
            if kind in LISTS:
                values = len(getattr(attribute, LISTS[kind]))
                content.fields += values
                self.count(Part.FIELDS, values)  # packed, they are one field in the file
            if kind in PLAIN:
                continue
            if attribute.HasField("sparse_tensor") or attribute.sparse_tensors:
                raise UnsupportedError(f"{self.name} holds sparse tensors, which are not read here; store them dense")
            for tensor in (*((attribute.t,) if attribute.HasField("t") else ()), *attribute.tensors):
                content.size += self.tensor(tensor)
            for graph in (*((attribute.g,) if attribute.HasField("g") else ()), *attribute.graphs):
                self.count(Part.GRAPHS, 1)
                content.add(self.graph(graph, depth + 1))

    def tensor(self, tensor: onnx.TensorProto) -> int:
        """Check a tensor's value, and give its size in bytes."""
        self.count(Part.PARTS, 2)
        check_value(tensor, f"{self.name}: tensor {tensor.name!r}")
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            self.external.append(tensor)
        return byte_size(tensor)


def _unique(names: Iterable[str], what: str, name: str) -> None:
    seen: set[str] = set()
    for entry in names:
        if entry in seen:
            raise UnsafeError(
                f"{name} states {what} {entry or 'ai.onnx'!r} twice; two readers could read two models; export it again"
            )
        seen.add(entry)


def _shown(key: Function) -> str:
    return f"{key[0]}.{key[1]}" if key[0] else key[1]


def _expansion(main: _Content, bodies: dict[Function, _Content], name: str, allowed: Allowance) -> None:
    """Count what there is after inlining, callees first, so that a doubling chain costs nothing to see."""
    whole: dict[Function, _Content] = {}
    for key in _callees_first(bodies, name):
        whole[key] = _expanded(bodies[key], whole)
    total = _expanded(main, whole)
    for part, count in ((Part.NODES, total.nodes), (Part.PARTS, total.parts), (Part.FIELDS, total.fields)):
        if count > allowed.of(part):
            raise UnsafeError(
                f"{name} has {_magnitude(count)} {part.shown}, once its local functions are expanded; at most "
                f"{allowed.of(part)} are read from a model of {allowed.mib} MiB; inline them, or export it again"
            )
    own = main.size + sum(content.size for content in bodies.values())
    if own > MAX_BYTES:
        raise UnsafeError(f"{name} holds {_magnitude(own)} bytes of tensors; at most {MAX_BYTES} are read")
    if total.size - own > allowed.copied:
        raise UnsafeError(
            f"{name} holds {_magnitude(total.size)} bytes of tensors once its local functions are expanded, and {own} "
            "before; inline the functions, or export it again"
        )


def _expanded(content: _Content, whole: dict[Function, _Content]) -> _Content:
    def all_of(own: int, inner: Iterable[int]) -> int:
        return min(own + sum(inner), _ENOUGH)

    calls = [(whole[key], count) for key, count in content.calls.items()]
    return _Content(
        all_of(content.nodes, (count * called.nodes for called, count in calls)),
        all_of(content.parts, (count * called.parts for called, count in calls)),
        all_of(content.fields, (count * called.fields for called, count in calls)),
        all_of(content.size, (count * called.size for called, count in calls)),
    )


def _magnitude(count: int) -> str:
    """A number, as far as it was followed."""
    return str(count) if count < _ENOUGH else f"more than {_ENOUGH:.0e}"


def _callees_first(bodies: dict[Function, _Content], name: str) -> list[Function]:
    """Functions in an order in which each comes after those that it calls.

    Raises:
        UnsafeError: a function calls itself, directly or through others.
    """
    order: list[Function] = []
    done: set[Function] = set()
    for start in bodies:
        path: list[tuple[Function, Iterator[Function]]] = []
        on_path: set[Function] = set()
        stack = [start] if start not in done else []
        while stack or path:
            if stack:
                key = stack.pop()
                path.append((key, iter(bodies[key].calls)))
                on_path.add(key)
            key, callees = path[-1]
            callee = next((c for c in callees if c not in done), None)
            if callee is None:
                path.pop()
                on_path.discard(key)
                done.add(key)
                order.append(key)
            elif callee in on_path:
                raise UnsafeError(f"{name}: function {_shown(callee)} calls itself; no graph means that")
            else:
                stack.append(callee)
    return order
