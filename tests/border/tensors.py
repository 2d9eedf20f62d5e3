"""Attacks through values: of tensors, of shapes, of files beside the model."""

from __future__ import annotations

import os
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from tests.border.attack import FLOAT, Group, model, weight, with_weight
from tests.border.graphs import doubling, node
from toolchain.errors import FileError, UnsafeError, UnsupportedError

TENSORS = Group("tensors")
BESIDE = Group("files beside the model")
PATHS = Group("the path")
TWICE = weight(raw_data=bytes(8), float_data=[1.0, 2.0])


def sparse() -> onnx.ModelProto:
    """Four values that stand for 2^40."""
    proto = with_weight(weight(raw_data=bytes(8)))
    values = helper.make_tensor("s", FLOAT, [1], [1.0])
    indices = helper.make_tensor("i", TensorProto.INT64, [1], [0])
    proto.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [2**40]))
    return proto


def sparse_attribute() -> onnx.ModelProto:
    """The same in an attribute."""
    tensor = sparse().graph.sparse_initializer[0]
    return model([node("Constant", [], ["k"], sparse_value=tensor), node("Relu", ["x"], ["y"])])


def in_function(tensor: TensorProto) -> onnx.ModelProto:
    """A tensor in an attribute of a node of a function."""
    return doubling(1, [node("Constant", [], ["k"], value=tensor), node("Add", ["a", "k"], ["c"])])


def in_default(tensor: TensorProto) -> onnx.ModelProto:
    """A tensor as the default of a function's attribute."""
    proto = doubling(1)
    proto.functions[0].attribute_proto.append(helper.make_attribute("k", tensor))
    return proto


def tensor(title: str, kind: type[Exception], word: str, **facts: object) -> None:
    """State an attack through a weight's fields."""
    TENSORS.add(title, kind, word, lambda _: with_weight(weight(**facts)))  # type: ignore[arg-type]


TENSORS.unsafe("a value stated twice", "raw_data, float_data", lambda _: with_weight(TWICE))
TENSORS.unsafe("the same in a function's node", "raw_data", lambda _: in_function(TWICE))
TENSORS.unsafe("the same as a function's default", "raw_data", lambda _: in_default(TWICE))
TENSORS.unsafe(
    "the same in a list of tensors", "raw_data", lambda _: model([node("Relu", ["x"], ["y"], values=[TWICE, TWICE])])
)
TENSORS.add("a sparse weight that stands for 2^40 values", UnsupportedError, "sparse", lambda _: sparse())
TENSORS.add("the same in an attribute", UnsupportedError, "sparse", lambda _: sparse_attribute())
tensor("fewer bytes than the shape says", FileError, "7 bytes, expected 8", raw_data=bytes(7))
tensor("more bytes than the shape says", FileError, "12 bytes, expected 8", raw_data=bytes(12))
tensor("fewer values than the shape says", FileError, "1 values", float_data=[1.0])
tensor("no value at all", FileError, "0 values")
tensor("a value in the field of another type", FileError, "float_data", int32_data=[1, 2])
tensor("half a byte too much of 4-bit integers", FileError, "expected 2", data_type=22, dims=[3], int32_data=[1])
tensor("a negative dimension", FileError, "negative", dims=[-2], float_data=[1.0, 2.0])
tensor("dimension -2^63", FileError, "negative", dims=[-(2**63)], float_data=[1.0])
tensor("dimensions whose product overflows to 8", FileError, "expected", dims=[2**62, 4, 2], raw_data=bytes(8))
tensor("dimensions whose product overflows to 0", FileError, "expected", dims=[2**32, 2**32])
tensor("2^63 - 1 values in no byte", FileError, "expected", dims=[2**63 - 1], raw_data=b"")
tensor("33 dimensions", UnsafeError, "33 dimensions", dims=[1] * 33, float_data=[1.0])
tensor("an element type that does not exist", UnsupportedError, "999", data_type=999, raw_data=bytes(8))
tensor("no element type", UnsupportedError, "element type 0", data_type=0, dims=[0])
tensor("a segment of a tensor", UnsafeError, "segment", raw_data=bytes(8), segment=TensorProto.Segment(begin=0, end=1))
tensor("external data stated and not used", UnsafeError, "external data", dims=[0], external_data=[
    onnx.StringStringEntryProto(key="location", value="w.bin")
])  # fmt: skip
TENSORS.harmless("a weight of no elements", lambda _: with_weight(weight(dims=[0, 2])))
TENSORS.harmless(
    "a weight of NaN and infinities", lambda _: with_weight(weight(float_data=[float("nan"), float("inf")]))
)


def external(location: str, **facts: str) -> onnx.ModelProto:
    """A model whose weight lies elsewhere."""
    outside = weight(data_location=TensorProto.EXTERNAL)
    for key, text in {"location": location, **facts}.items():
        outside.external_data.add(key=key, value=text)
    return with_weight(outside)


def beside(title: str, kind: type[Exception] | None, word: str, location: str = "w.bin", **facts: str) -> None:
    """State an attack through the place of a weight; ``w.bin`` of 8 bytes lies in the folder and above it."""

    def make(folder: Path) -> onnx.ModelProto:
        for place in (folder, folder.parent):
            (place / "w.bin").write_bytes(bytes(8))
        return external(location, **facts)

    BESIDE.add(title, kind, word, make)  # type: ignore[arg-type]


beside("weights in the model's folder", None, "")
for _place in (
    "../w.bin",
    "/etc/passwd",
    "a/../../w.bin",
    "..\\w.bin",
    "C:\\w.bin",
    "//host/share/w.bin",
    "",
    "..",
    "~/../x",
):
    beside(f"location {_place!r}", UnsafeError, "within the model's folder", _place)
beside("the folder itself", UnsafeError, "no plain file", ".")
beside("a file that is not there", FileError, "none.bin", "none.bin")
beside("a file as a folder", FileError, "w.bin/w", "w.bin/w")
beside("a name of 100,000 characters", FileError, "too long", "a" * 100_000)
beside("an offset beyond the file", FileError, "0 of its 8", offset="9")
beside("an offset and a length beyond the file", FileError, "7 of its 8", offset="1", length="8")
beside("an offset of 2^64", FileError, "offset", offset=str(2**64))
beside("a negative offset", FileError, "offset", offset="-8")
beside("an offset in other digits", FileError, "offset", offset="\u0661")
beside("a length that is not the shape's", FileError, "expected 8", length="4")
beside("an unknown key", FileError, "inline", inline="1")


def soft(folder: Path) -> onnx.ModelProto:
    (folder.parent / "secret").write_bytes(bytes(8))
    (folder / "w.bin").symlink_to(folder.parent / "secret")
    return external("w.bin")


def hard(folder: Path) -> onnx.ModelProto:
    (folder.parent / "secret").write_bytes(bytes(8))
    (folder / "w.bin").hardlink_to(folder.parent / "secret")
    return external("w.bin")


def away(folder: Path) -> onnx.ModelProto:
    (folder.parent / "w.bin").write_bytes(bytes(8))
    (folder / "sub").symlink_to(folder.parent)
    return external("sub/w.bin")


def twice(folder: Path) -> onnx.ModelProto:
    proto = external("w.bin", length="8")
    proto.graph.initializer[0].external_data.add(key="location", value="v.bin")
    return proto


def pipe(folder: Path) -> onnx.ModelProto:
    os.mkfifo(folder / "w.bin")
    return external("w.bin")


def overlapping(folder: Path) -> onnx.ModelProto:
    """500 tensors of a megabyte each, all the same megabyte."""
    (folder / "w.bin").write_bytes(bytes(1 << 20))
    proto = model()
    for index in range(500):
        outside = weight(name=f"w{index}", dims=[1 << 18], data_location=TensorProto.EXTERNAL)
        outside.external_data.add(key="location", value="w.bin")
        proto.graph.initializer.append(outside)
    return proto


def huge(folder: Path) -> onnx.ModelProto:
    """A file of 3 GB that is all hole."""
    with (folder / "w.bin").open("wb") as file:
        file.truncate(3 << 30)
    return external("w.bin")


def declared(_: Path) -> onnx.ModelProto:
    proto = external("w.bin")
    proto.graph.initializer[0].dims[:] = [2**40]
    return proto


BESIDE.unsafe("a symbolic link", "link", soft)
BESIDE.unsafe("a hard link", "hard link", hard)
BESIDE.unsafe("a folder that is a link", "link", away)
BESIDE.unsafe("two places for one tensor", "twice", twice)
BESIDE.unsafe("a pipe, which would wait for ever", "no plain file", pipe)
BESIDE.unsafe("500 tensors in the same megabyte", "overlaps", overlapping)
BESIDE.unsafe("a file of 3 GB", "at most", huge)
BESIDE.unsafe("4 TiB of weights that are not there", "bytes of tensors", declared)
BESIDE.add("weights elsewhere for texts", UnsupportedError, "element type 8", lambda _: edited_type(TensorProto.STRING))


def edited_type(kind: int) -> onnx.ModelProto:
    """External data of a type that has no raw form."""
    proto = external("w.bin")
    proto.graph.initializer[0].data_type = kind
    return proto


def _fifo(folder: Path) -> Path:
    os.mkfifo(folder / "m.onnx")
    return folder / "m.onnx"


def _hole(folder: Path) -> Path:
    with (folder / "m.onnx").open("wb") as file:
        file.truncate(3 << 30)
    return folder / "m.onnx"


PATHS.broken("nothing there", "No such file", lambda folder: folder / "none.onnx")
PATHS.broken("a folder", "a folder", lambda folder: folder)
PATHS.broken("a pipe", "no plain file", _fifo)
PATHS.broken("a device without end", "no plain file", lambda _: Path("/dev/zero"))
PATHS.unsafe("a file of 3 GB", "at most", _hole)
