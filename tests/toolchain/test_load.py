"""The door: what comes in is the model, whole; the attacker's list is in ``tests/border``."""

from __future__ import annotations

import random
import time
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from tests.border.attack import model, weight, with_weight
from tests.border.bombs import chain
from tests.border.graphs import doubling
from tests.border.mutate import change_field, mutate
from tests.border.tensors import external
from toolchain.allowance import Allowance, Part
from toolchain.errors import FileError, ToolchainError, UnsafeError
from toolchain.external import allowance, read_plain
from toolchain.load import MESSAGE, load, parse, read
from toolchain.scan import scan

NODES = Allowance().of(Part.NODES)


def test_a_good_model_is_read() -> None:
    loaded = read(model().SerializeToString(), "m.onnx")
    assert [node.op_type for node in loaded.graph] == ["Relu"]


def test_local_functions_are_inlined() -> None:
    loaded = read(doubling(4).SerializeToString(), "m.onnx")
    assert [node.op_type for node in loaded.graph] == ["Relu"] * 16
    assert not loaded.functions


def test_a_name_that_a_function_does_not_define_is_a_file_error() -> None:
    body = [helper.make_node("Relu", ["nowhere"], ["c"])]
    with pytest.raises(FileError, match="nowhere"):
        read(doubling(1, body).SerializeToString(), "m.onnx")


def test_inlining_takes_time_in_proportion() -> None:
    content = doubling(11).SerializeToString()
    started = time.process_time()
    assert len(list(read(content, "m.onnx", allowed=Allowance(10)).graph)) == 2048
    assert time.process_time() - started < 3


def test_every_truncation_is_a_file_error() -> None:
    proto = with_weight(helper.make_tensor("w", TensorProto.FLOAT, [2], [1.0, 2.0]))
    del proto.opset_import[1]  # what is cut off before it would be a whole model
    content = proto.SerializeToString()
    read(content, "m.onnx")
    for length in range(len(content)):
        with pytest.raises(FileError):
            read(content[:length], "m.onnx")


def test_every_flipped_bit_is_read_or_refused() -> None:
    content = with_weight(helper.make_tensor("w", TensorProto.FLOAT, [2], [1.0, 2.0])).SerializeToString()
    answers = {"read": 0, "refused": 0}
    for bit in range(8 * len(content)):
        broken = bytearray(content)
        broken[bit // 8] ^= 1 << bit % 8
        try:
            read(bytes(broken), "m.onnx")
            answers["read"] += 1
        except ToolchainError as error:
            assert str(error).isprintable()  # noqa: PT017
            answers["refused"] += 1
    assert min(answers.values()) > 100


def test_external_data_beside_the_model_is_read(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "w.bin").write_bytes(bytes(4) + bytes.fromhex("0000404000008040"))
    proto = external("sub/w.bin", offset="4", length="8")
    loaded = read(proto.SerializeToString(), "m.onnx", tmp_path)
    constant = loaded.graph.initializers["w"].const_value
    assert constant is not None
    assert constant.numpy().tolist() == [3.0, 4.0]
    with pytest.raises(FileError, match="load the model from its folder"):
        read(proto.SerializeToString(), "m.onnx")


def test_a_file_that_becomes_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "w.bin").symlink_to(tmp_path / "secret")
    with pytest.raises(ToolchainError):
        read_plain(tmp_path / "w.bin", "w", linked=False)
    assert read_plain(tmp_path / "w.bin", "m.onnx") == b"secret"  # a model that the user names may be a link


def test_limits_grow_with_the_file_and_its_weights(tmp_path: Path) -> None:
    proto = chain("Relu", NODES + 100)
    small = proto.SerializeToString()
    with pytest.raises(UnsafeError, match=f"more than {NODES} nodes"):
        read(small, "m.onnx")
    assert len(list(read(small, "m.onnx", allowed=Allowance(2)).graph)) == NODES + 102
    proto.graph.initializer.append(weight(dims=[1 << 19], raw_data=bytes(4 << 19)))
    read(proto.SerializeToString(), "m.onnx")

    del proto.graph.initializer[:]
    outside = weight(dims=[1 << 19], data_location=TensorProto.EXTERNAL)
    outside.external_data.add(key="location", value="w.bin")
    proto.graph.initializer.append(outside)
    (tmp_path / "w.bin").write_bytes(bytes(4 << 19))
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    load(tmp_path / "m.onnx")


def test_weights_that_may_not_be_read_allow_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "big").write_bytes(bytes(4 << 20))
    (folder / "big").write_bytes(bytes(4 << 20))
    (folder / "link").symlink_to(tmp_path / "big")
    for location, mib in (("big", 5), ("../big", 1), ("link", 1), (str(tmp_path / "big"), 1), ("none", 1)):
        assert allowance(external(location).SerializeToString(), folder).mib == mib, location
    assert allowance(external("big").SerializeToString(), None).mib == 1


def test_limits_never_grow_beyond_the_largest_networks() -> None:
    assert all(Allowance(10**9).of(part) == part.most for part in Part)


def test_a_long_name_makes_no_long_message() -> None:
    proto = with_weight(weight(name="w" * 100_000))
    with pytest.raises(FileError, match="export it again") as caught:
        read(proto.SerializeToString(), "m.onnx")
    assert str(caught.value).startswith("m.onnx")
    assert len(str(caught.value)) < 2 * MESSAGE


def fields(message: onnx.ModelProto) -> int:
    """As protobuf itself counts them: a packed list is one, any other list as many as it has entries."""
    total = 0
    for field, value in message.ListFields():
        if not field.is_repeated:
            total += 1
        else:
            total += 1 if field.is_packed else len(value)
        if field.message_type is not None:
            total += sum(map(fields, value if field.is_repeated else (value,)))
    return total


def test_the_scan_reads_what_protobuf_writes() -> None:
    draw, accepted = random.Random(5), 0  # noqa: S311
    for _ in range(300):
        proto = chain("Relu", 3) if draw.random() < 0.5 else doubling(2)
        for _ in range(draw.randrange(30)):
            change_field(draw, proto)
        try:
            counted = scan(proto.SerializeToString(), "m.onnx", Allowance(8))
        except UnsafeError as error:
            assert "NUL" in str(error)  # noqa: PT017
            continue
        assert counted == fields(proto)
        accepted += 1
    assert accepted > 250


def test_the_scan_refuses_what_protobuf_refuses() -> None:
    refused = 0
    for seed in range(2_000):
        draw = random.Random(seed)  # noqa: S311
        content = bytearray(mutate(doubling(2).SerializeToString(), 4096, seed, lambda data, _: data))
        for _ in range(draw.randrange(1, 4)):
            content[draw.randrange(len(content))] = draw.randrange(256)
        try:
            parse(bytes(content), "m.onnx")
        except FileError:
            refused += 1
            with pytest.raises(ToolchainError):
                scan(bytes(content), "m.onnx", Allowance(8))
    assert refused > 100
