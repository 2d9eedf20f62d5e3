"""One way to hurt whoever reads a model file, and what the loader answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from toolchain.errors import FileError, ToolchainError, UnsafeError

FLOAT = TensorProto.FLOAT
MIB = 1 << 20

Made = onnx.ModelProto | bytes | Path
Answer = type[ToolchainError] | None


@dataclass(frozen=True)
class Attack:
    """A file and the answer to it.

    Attributes:
        group: what is attacked.
        title: one line.
        make: writes what it needs into an empty folder; gives the model, its bytes, or its path.
        answer: the error; ``None`` where the file is read, harmlessly.
        word: in the message.
    """

    group: str
    title: str
    make: Callable[[Path], Made]
    answer: Answer
    word: str

    def write(self, folder: Path) -> Path:
        """Make the file, in an empty folder."""
        folder.mkdir(parents=True, exist_ok=True)
        made = self.make(folder)
        if isinstance(made, Path):
            return made
        path = folder / "m.onnx"
        path.write_bytes(made if isinstance(made, bytes) else made.SerializeToString())
        return path


class Group:
    """Attacks of one kind, in the order in which they are stated."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.attacks: list[Attack] = []

    def add(self, title: str, answer: Answer, word: str, make: Callable[[Path], Made]) -> None:
        """State an attack."""
        self.attacks.append(Attack(self.title, title, make, answer, word))

    def unsafe(self, title: str, word: str, make: Callable[[Path], Made]) -> None:
        """One that is refused as unsafe."""
        self.add(title, UnsafeError, word, make)

    def broken(self, title: str, word: str, make: Callable[[Path], Made]) -> None:
        """One that is refused as a broken file."""
        self.add(title, FileError, word, make)

    def harmless(self, title: str, make: Callable[[Path], Made]) -> None:
        """One that is read."""
        self.add(title, None, "", make)


def value(name: str, *shape: int | str, kind: int = FLOAT) -> onnx.ValueInfoProto:
    """A stated type."""
    return helper.make_tensor_value_info(name, kind, list(shape))


def model(
    nodes: list[onnx.NodeProto] | None = None,
    initializers: list[TensorProto] | None = None,
    functions: list[onnx.FunctionProto] | None = None,
    inputs: list[onnx.ValueInfoProto] | None = None,
) -> onnx.ModelProto:
    """A model from ``x`` to ``y``, of one Relu where nothing else is said."""
    default = [helper.make_node("Relu", ["x"], ["y"], name="relu")]
    graph = helper.make_graph(
        default if nodes is None else nodes, "g", inputs or [value("x", 2)], [value("y", "n")], initializers or []
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("local", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10, functions=functions or [])


def weight(**facts: object) -> TensorProto:
    """A tensor ``w`` of two floats, with what is said of it in place of that."""
    return TensorProto(**{"name": "w", "data_type": FLOAT, "dims": [2], **facts})


def with_weight(tensor: TensorProto) -> onnx.ModelProto:
    """A model that adds it."""
    return model([helper.make_node("Add", ["x", "w"], ["y"])], [tensor])


def varint(number: int) -> bytes:
    """A number as protobuf writes it."""
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def field(number: int, content: bytes) -> bytes:
    """A field that has a length."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def in_graph(content: bytes) -> bytes:
    """A model whose graph has these bytes more."""
    proto = model()
    graph = proto.graph.SerializeToString() + content
    proto.ClearField("graph")
    return proto.SerializeToString() + field(7, graph)


def filled(number: int, unit: bytes, size: int = MIB - 4096) -> bytes:
    """One field again and again."""
    one = field(number, unit)
    return one * (size // len(one))
