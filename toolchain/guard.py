"""What is refused before anything that it could hurt reads on.

Works on the parsed protobuf only, in time proportional to its size: nothing is expanded, evaluated or allocated
here that the file does not itself contain.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

import onnx

from toolchain.errors import FileError, UnsafeError, UnsupportedError

MAX_NODES = 10_000
"""Nodes of all graphs after local functions have been expanded; large CNNs in QDQ form have 6,000."""
MAX_PARTS = {
    "attributes": 40_000,
    "tensors": 10_000,
    "tensor names": 100_000,
    "stated types": 50_000,
    "functions": 1_000,
    "operator sets": 100,
    "metadata entries": 1_000,
}
"""Of anything else that is read one by one."""
MAX_RANK = 32
MAX_DEPTH = 8
"""Graphs within attributes within graphs."""
MAX_BYTES = 1 << 31
"""Of tensors; an ONNX file holds no more."""
MAX_COPIED_BYTES = 64 << 20
"""Of tensors that expanding local functions would copy."""

VALUE_FIELDS = (
    "raw_data",
    "float_data",
    "int32_data",
    "int64_data",
    "double_data",
    "uint64_data",
    "string_data",
)

_KINDS = onnx.AttributeProto
PLAIN = frozenset({_KINDS.FLOAT, _KINDS.FLOATS, _KINDS.INT, _KINDS.INTS, _KINDS.STRING, _KINDS.STRINGS})
"""Attributes that hold no tensor and no graph; the checker refuses one that holds more than its type says."""

Function = tuple[str, str, str]


@dataclass(frozen=True)
class _Layout:
    """How a tensor type is stored.

    Attributes:
        field: the typed value field.
        bits: of an element in ``raw_data``.
        packed: elements share bytes, in ``int32_data`` too.
        values: entries of the typed field an element.
    """

    field: str
    bits: int
    packed: bool = False
    values: int = 1


def _layouts() -> dict[int, _Layout]:
    def sized(bits: int, typed: str, *names: str) -> dict[int, _Layout]:
        return {onnx.TensorProto.DataType.Value(n): _Layout(typed, bits, bits < 8) for n in names if n in known}

    known = set(onnx.TensorProto.DataType.keys())
    return {
        **sized(32, "float_data", "FLOAT"),
        **sized(64, "double_data", "DOUBLE"),
        **sized(32, "int32_data", "INT32"),
        **sized(64, "int64_data", "INT64"),
        **sized(32, "uint64_data", "UINT32"),
        **sized(64, "uint64_data", "UINT64"),
        **sized(16, "int32_data", "INT16", "UINT16", "FLOAT16", "BFLOAT16"),
        **sized(8, "int32_data", "INT8", "UINT8", "BOOL", "FLOAT8E8M0"),
        **sized(8, "int32_data", "FLOAT8E4M3FN", "FLOAT8E4M3FNUZ", "FLOAT8E5M2", "FLOAT8E5M2FNUZ"),
        **sized(4, "int32_data", "INT4", "UINT4", "FLOAT4E2M1"),
        **sized(2, "int32_data", "INT2", "UINT2"),
        onnx.TensorProto.COMPLEX64: _Layout("float_data", 64, values=2),
        onnx.TensorProto.COMPLEX128: _Layout("double_data", 128, values=2),
    }


LAYOUTS = _layouts()


@dataclass
class _Content:
    """What a graph or function holds itself, before expansion."""

    nodes: int = 0
    size: int = 0
    calls: Counter[Function] = field(default_factory=Counter)


def guard(proto: onnx.ModelProto, name: str) -> tuple[onnx.TensorProto, ...]:
    """Refuse what is unsafe or broken.

    Args:
        proto: the parsed file.
        name: how messages call it.

    Returns:
        The tensors whose data lies in other files, wherever in the model they are.

    Raises:
        FileError: no model, or a tensor that is not what it says.
        UnsupportedError: of an operator set or format later than this installation knows.
        UnsafeError: two readers could read two models, or reading on costs far more than the file's size.
    """
    walk = _Walk(proto, name)
    _versions(proto, name)
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
    _expansion(main, bodies, name)
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


class _Walk:
    """One pass over every graph, attribute and tensor of a file."""

    def __init__(self, proto: onnx.ModelProto, name: str) -> None:
        self.name = name
        self.nodes = 0
        self.names = 0
        self.parts: Counter[str] = Counter()
        self.external: list[onnx.TensorProto] = []
        self.count("functions", len(proto.functions))
        self.count("operator sets", len(proto.opset_import))
        self.count("metadata entries", len(proto.metadata_props))
        self.local = {(f.domain, f.name, f.overload) for f in proto.functions}

    def count(self, what: str, more: int) -> None:
        """Add to a count that is limited."""
        self.parts[what] += more
        if self.parts[what] > MAX_PARTS[what]:
            raise UnsafeError(f"{self.name} has more than {MAX_PARTS[what]} {what}; no network of this kind has")

    def graph(self, graph: onnx.GraphProto, depth: int) -> _Content:
        """Check a graph, and count what it holds."""
        if depth > MAX_DEPTH:
            raise UnsafeError(f"{self.name} nests graphs more than {MAX_DEPTH} deep; flatten it")
        self.count("tensors", len(graph.initializer) + 2 * len(graph.sparse_initializer))
        self.count("stated types", len(graph.input) + len(graph.output) + len(graph.value_info))
        _unique((t.name for t in graph.initializer), "initializer", self.name)
        content = self.body(graph.node, depth)
        for tensor in graph.initializer:
            content.size += self.tensor(tensor)
        for sparse in graph.sparse_initializer:
            content.size += self.tensor(sparse.values) + self.tensor(sparse.indices)
        return content

    def body(self, nodes: Iterable[onnx.NodeProto], depth: int) -> _Content:
        """Check nodes, and count what they hold."""
        content = _Content()
        for node in nodes:
            content.nodes += 1
            self.nodes += 1
            self.names += len(node.input) + len(node.output)
            if self.nodes > MAX_NODES:
                raise UnsafeError(f"{self.name} has more than {MAX_NODES} nodes; no network of this kind has")
            if self.local:
                key = (node.domain, node.op_type, node.overload)
                if key in self.local:
                    content.calls[key] += 1
            if node.attribute:
                self.attributes_of(node.attribute, content, depth)
        self.count("tensor names", self.names - self.parts["tensor names"])
        return content

    def attributes_of(self, attributes: Collection[onnx.AttributeProto], content: _Content, depth: int) -> None:
        """Check the attributes of one node, and add what they hold."""
        self.count("attributes", len(attributes))
        if len(attributes) > 1:
            self._once(attributes)
        for attribute in attributes:
            if attribute.type in PLAIN:
                continue
            for tensor in _tensors(attribute):
                self.count("tensors", 1)
                content.size += self.tensor(tensor)
            for graph in (*((attribute.g,) if attribute.HasField("g") else ()), *attribute.graphs):
                inner = self.graph(graph, depth + 1)
                content.nodes += inner.nodes
                content.size += inner.size
                content.calls.update(inner.calls)

    def _once(self, attributes: Collection[onnx.AttributeProto]) -> None:
        """No attribute is stated twice."""
        names = [attribute.name for attribute in attributes]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise UnsafeError(f"{self.name} states attribute {twice!r} twice in one node; export it again")

    def tensor(self, tensor: onnx.TensorProto) -> int:
        """Check a tensor's value, and give its size in bytes."""
        where = f"{self.name}: tensor {tensor.name!r}"
        present = [f for f in VALUE_FIELDS if len(getattr(tensor, f))]
        external = tensor.data_location == onnx.TensorProto.EXTERNAL
        if len(present) + external > 1:
            stated = [*present, *(("external data",) if external else ())]
            raise UnsafeError(
                f"{where} holds its value {len(stated)} times ({', '.join(stated)}); two readers could read two "
                "models; export it again"
            )
        if len(tensor.dims) > MAX_RANK:
            raise UnsafeError(f"{where} has {len(tensor.dims)} dimensions; at most {MAX_RANK} are read")
        if any(d < 0 for d in tensor.dims):
            raise FileError(f"{where} has shape {list(tensor.dims)}; expected no negative size; export it again")
        elements = math.prod(tensor.dims)
        if external:
            if tensor.data_type not in LAYOUTS:
                raise UnsupportedError(f"{where} of element type {tensor.data_type} cannot lie in another file")
            self.external.append(tensor)
        else:
            _length(tensor, elements, present[0] if present else None, where)
        return byte_size(tensor)


def _tensors(attribute: onnx.AttributeProto) -> Iterator[onnx.TensorProto]:
    if attribute.HasField("t"):
        yield attribute.t
    yield from attribute.tensors
    for sparse in (
        *((attribute.sparse_tensor,) if attribute.HasField("sparse_tensor") else ()),
        *attribute.sparse_tensors,
    ):
        yield sparse.values
        yield sparse.indices


def _length(tensor: onnx.TensorProto, elements: int, stored: str | None, where: str) -> None:
    """The value has as many bytes or entries as the shape says."""
    layout = LAYOUTS.get(tensor.data_type)
    if stored is None:
        expected, received = elements, 0
    elif tensor.data_type == onnx.TensorProto.STRING:
        expected, received = elements, len(tensor.string_data)
    elif layout is None:
        raise UnsupportedError(f"{where} has element type {tensor.data_type}; it is not known here")
    elif stored == "raw_data":
        expected, received = (elements * layout.bits + 7) // 8, len(tensor.raw_data)
    elif stored != layout.field:
        raise FileError(f"{where} stores its value in {stored}; expected {layout.field}; export it again")
    else:
        per = 8 // layout.bits if layout.packed else 1
        expected = -(-elements // per) * layout.values
        received = len(getattr(tensor, stored))
    if expected != received:
        unit = "bytes" if stored == "raw_data" else "values"
        raise FileError(
            f"{where} of shape {list(tensor.dims)} has {received} {unit}, expected {expected}; "
            "it is cut off or damaged: export it again"
        )


def byte_size(tensor: onnx.TensorProto) -> int:
    """Bytes that a tensor's value takes as ``raw_data``."""
    elements: int = math.prod(tensor.dims)
    layout = LAYOUTS.get(tensor.data_type)
    return elements if layout is None else (elements * layout.bits + 7) // 8


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


def _expansion(main: _Content, bodies: dict[Function, _Content], name: str) -> None:
    """Count nodes and bytes after inlining, callees first, so that a doubling chain costs nothing to see."""
    nodes: dict[Function, int] = {}
    size: dict[Function, int] = {}
    for key in _callees_first(bodies, name):
        nodes[key], size[key] = _expanded(bodies[key], nodes, size)
    total, held = _expanded(main, nodes, size)
    if total > MAX_NODES:
        raise UnsafeError(
            f"{name} has {_magnitude(total)} nodes once its local functions are expanded; at most {MAX_NODES} are "
            "read; inline the functions, or export it again"
        )
    own = main.size + sum(content.size for content in bodies.values())
    if own > MAX_BYTES:
        raise UnsafeError(f"{name} holds {_magnitude(own)} bytes of tensors; at most {MAX_BYTES} are read")
    if held - own > MAX_COPIED_BYTES:
        raise UnsafeError(
            f"{name} holds {_magnitude(held)} bytes of tensors once its local functions are expanded, and {own} "
            "before; inline the functions, or export it again"
        )


def _expanded(content: _Content, nodes: dict[Function, int], size: dict[Function, int]) -> tuple[int, int]:
    calls = content.calls.items()
    return (
        content.nodes + sum(count * nodes[key] for key, count in calls),
        content.size + sum(count * size[key] for key, count in calls),
    )


def _magnitude(count: int) -> str:
    """A number, however large, in a few characters."""
    return str(count) if count < 10**12 else f"about 1e{len(str(count)) - 1}"


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
