"""Attacks on whatever reads the bytes."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import onnx
from onnx import helper

from tests.border.attack import MIB, Group, field, filled, in_graph, model, varint

WIRE = Group("the bytes")

GOOD = model().SerializeToString()


def _zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", b"x" * 100)
    return buffer.getvalue()


def _deep(levels: int) -> bytes:
    """Types within types: sequence(sequence(...))."""
    inner = b""
    for _ in range(levels):
        inner = field(4, field(1, inner))
    return in_graph(field(13, field(1, b"t") + field(2, inner)))


def _strings(*places: str, text: bytes) -> bytes:
    proto = model()
    marker = "MARKER"[: len(text)].ljust(len(text), "M")
    if "name" in places:
        proto.graph.node[0].name = marker
    if "metadata" in places:
        proto.metadata_props.add(key="k", value=marker)
    return proto.SerializeToString().replace(marker.encode(), text)


WIRE.broken("an empty file", "empty", lambda _: b"")
WIRE.broken("text", "no ONNX file", lambda _: b"not a model, only text\n" * 20)
WIRE.broken("protobuf's text format", "text format", lambda _: b'ir_version: 8\ngraph { name: "g" }\n')
WIRE.broken("JSON", "JSON", lambda _: b'{"irVersion": "8", "graph": {}}')
WIRE.broken("ONNX's own text", "text", lambda _: b'<ir_version: 8, opset_import: ["" : 18]>\ng (float x) => (y) {}')
WIRE.broken("a PyTorch checkpoint", "zip archive", lambda _: _zip())
WIRE.broken("a pickle", "pickle", lambda _: pickle.dumps({"a": 1}, 2))
WIRE.broken("a runtime's flatbuffer", "flatbuffer", lambda _: b"\x18\0\0\0ORTM" + bytes(200))
WIRE.broken("a Git LFS pointer", "LFS", lambda _: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n")
WIRE.broken("a megabyte of zeros", "begins no field", lambda _: bytes(MIB))
WIRE.broken("a model cut off", "cut off", lambda _: GOOD[:-7])
WIRE.broken("bytes behind the model", "cut off", lambda _: GOOD + b"\xff")
WIRE.broken("a varint that never ends", "64 bits", lambda _: b"\x08" + b"\xff" * (MIB - 1))
WIRE.broken("a varint of more than 64 bits", "64 bits", lambda _: b"\x08" + b"\xff" * 9 + b"\x02")
WIRE.broken("a varint cut off by its message", "a number at byte", lambda _: GOOD + b"\x28\x80")
WIRE.broken("a length beyond the file", "are left", lambda _: GOOD + b"\x32" + varint(2**31 - 1))
WIRE.broken("a length of 2^63", "are left", lambda _: GOOD + b"\x32" + varint(2**63))
WIRE.broken("a length beyond its own message", "are left", lambda _: in_graph(b"\x0a\x7f"))
WIRE.broken("a value of fixed size cut off", "beyond its message", lambda _: in_graph(field(1, field(5, b"\x15\0\0"))))
WIRE.broken("wire types that do not exist", "begins no field", lambda _: GOOD + b"\x0e\x00")
WIRE.broken("groups, which ONNX never had", "begins no field", lambda _: GOOD + b"\xa3\x06\xa4\x06")
WIRE.broken("field number 0", "begins no field", lambda _: GOOD + b"\x02\x00")
WIRE.broken("a known field with another wire type", "not its own", lambda _: b"\x3d\0\0\0\0" + GOOD)
WIRE.unsafe("two graphs in one file", "two readers", lambda _: GOOD + field(7, model().graph.SerializeToString()))
WIRE.unsafe("two formats in one file", "two readers", lambda _: GOOD + b"\x08\x04")
WIRE.unsafe("one field stated 500,000 times", "two readers", lambda _: GOOD + b"\x08\x04" * (MIB // 2 - 200))
WIRE.unsafe("types nested 45 deep", "nests messages", lambda _: _deep(45))
WIRE.unsafe("types nested 20,000 deep", "nests messages", lambda _: _deep(20_000))
WIRE.broken("a name that is not UTF-8", "UTF-8", lambda _: _strings("name", text=b"\xff\xfe"))
WIRE.broken("metadata that is not UTF-8", "UTF-8", lambda _: _strings("metadata", text=b"\xc3\x28"))
WIRE.broken("half a character at the end of a name", "UTF-8", lambda _: _strings("name", text=b"a\xc3"))
WIRE.unsafe("a name with a NUL", "NUL", lambda _: _strings("name", text=b"a\0b"))
WIRE.harmless("names with control characters", lambda _: _strings("name", text=b"\x1b[2J\r\nok"))
WIRE.broken(
    "control characters in a name that a message quotes",
    "nothing",
    lambda _: model([helper.make_node("Relu", ["\x1b[2J\r\nnothing"], ["y"])]),
)
WIRE.harmless("an unknown field", lambda _: GOOD + field(1999, b"from the future"))
WIRE.harmless("an unknown field of a megabyte", lambda _: GOOD + field(1999, bytes(MIB - 4096)))
WIRE.harmless("numbers longer than they need to be", lambda _: GOOD + b"\xfa\xfc\x80\x80\x00\x80\x00")
WIRE.harmless("a documentation of a megabyte", lambda _: GOOD + field(6, b"d" * (MIB - 4096)))


def _packed_dims(_: Path) -> bytes:
    tensor = field(1, b"\x01" * (MIB - 4096)) + b"\x10\x01" + field(8, b"w")
    return in_graph(field(5, tensor))


WIRE.unsafe("a megabyte of dimensions in one field", "dimensions", _packed_dims)
WIRE.unsafe("500,000 unknown fields", "fields of all messages", lambda _: GOOD + b"\xf8\x01\x00" * (MIB // 3 - 200))

_MESSAGES = {
    "nodes": lambda: in_graph(filled(1, b"")),
    "weights": lambda: in_graph(filled(5, b"")),
    "sparse weights": lambda: in_graph(filled(15, b"")),
    "inputs": lambda: in_graph(filled(11, b"")),
    "stated types": lambda: in_graph(filled(13, b"")),
    "quantization annotations": lambda: in_graph(filled(14, b"")),
    "entries of metadata": lambda: GOOD + filled(14, b""),
    "operator sets": lambda: GOOD + filled(8, b""),
    "functions": lambda: GOOD + filled(25, b""),
    "device configurations": lambda: GOOD + filled(26, b""),
    "training graphs": lambda: GOOD + filled(20, b""),
    "attributes of one node": lambda: in_graph(field(1, filled(5, b""))),
    "names of one node": lambda: in_graph(field(1, filled(1, b""))),
    "tensors in one attribute": lambda: in_graph(field(1, field(5, filled(10, b"")))),
    "graphs in one attribute": lambda: in_graph(field(1, field(5, filled(11, b"")))),
    "attributes of a function": lambda: GOOD + field(25, filled(11, b"")),
    "places of external data": lambda: in_graph(field(5, filled(13, b""))),
    "texts of one tensor": lambda: in_graph(field(5, filled(6, b""))),
    "dimensions of one type": lambda: in_graph(field(13, field(2, field(1, field(2, filled(1, b"")))))),
}
for _what, _make in _MESSAGES.items():
    WIRE.unsafe(f"500,000 empty {_what}", "fields of all messages", lambda _, make=_make: make())


def _values_in_attribute(_: Path) -> bytes:
    node = helper.make_node("Relu", ["x"], ["y"])
    packed = field(1, b"axes") + field(8, b"\x01" * (MIB - 4096)) + b"\xa0\x01\x07"
    return in_graph(field(1, node.SerializeToString() + field(5, packed)))


WIRE.unsafe("a million numbers packed into one attribute", "fields of all messages", _values_in_attribute)
WIRE.broken("no graph", "no graph", lambda _: onnx.ModelProto(ir_version=10).SerializeToString())
WIRE.broken("no operator set", "no opset", lambda _: field(7, model().graph.SerializeToString()))
