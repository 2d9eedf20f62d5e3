"""The door: what is refused, with which error, and how fast."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from toolchain.errors import FileError, ToolchainError, UnsafeError, UnsupportedError
from toolchain.guard import MAX_DEPTH, MAX_NODES, guard
from toolchain.load import load, parse, read

BUDGET_SECONDS = 0.1
FLOAT = TensorProto.FLOAT


def value(name: str, *shape: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, FLOAT, list(shape))


def model(
    nodes: list[onnx.NodeProto] | None = None,
    initializers: list[TensorProto] | None = None,
    functions: list[onnx.FunctionProto] | None = None,
    opset: int = 20,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes if nodes is not None else [helper.make_node("Relu", ["x"], ["y"], name="relu")],
        "g",
        [value("x", 2)],
        [value("y", 2)],
        initializers or [],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("local", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10, functions=functions or [])


def with_weight(weight: TensorProto) -> onnx.ModelProto:
    return model([helper.make_node("Add", ["x", "w"], ["y"])], [weight])


def weight(**facts: object) -> TensorProto:
    return TensorProto(**{"name": "w", "data_type": FLOAT, "dims": [2], **facts})


def external(location: str, **facts: str) -> onnx.ModelProto:
    tensor = weight(data_location=TensorProto.EXTERNAL)
    for key, text in {"location": location, **facts}.items():
        tensor.external_data.add(key=key, value=text)
    return with_weight(tensor)


def doubling(levels: int, body: list[onnx.NodeProto] | None = None) -> onnx.ModelProto:
    """Functions of which each calls the one before twice."""
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("local", 1)]
    functions = []
    for level in range(levels):
        inner = f"f{level - 1}" if level else "Relu"
        domain = "local" if level else ""
        nodes = (
            body
            if body and not level
            else [
                helper.make_node(inner, ["a"], ["b"], domain=domain),
                helper.make_node(inner, ["b"], ["c"], domain=domain),
            ]
        )
        functions.append(helper.make_function("local", f"f{level}", ["a"], ["c"], nodes, opsets))
    return model([helper.make_node(f"f{levels - 1}", ["x"], ["y"], domain="local")], functions=functions)


def refused(proto: onnx.ModelProto, kind: type[ToolchainError], *words: str, folder: Path | None = None) -> None:
    with pytest.raises(kind) as caught:
        read(proto.SerializeToString(), "m.onnx", folder)
    assert type(caught.value) is kind
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith("m.onnx")
    for word in words:
        assert word in text


def test_a_good_model_is_read() -> None:
    loaded = read(model().SerializeToString(), "m.onnx")
    assert [node.op_type for node in loaded.graph] == ["Relu"]


def test_local_functions_are_inlined() -> None:
    loaded = read(doubling(4).SerializeToString(), "m.onnx")
    assert [node.op_type for node in loaded.graph] == ["Relu"] * 16
    assert not loaded.functions


def test_inlining_takes_time_in_proportion() -> None:
    content = doubling(12).SerializeToString()
    started = time.process_time()
    assert len(list(read(content, "m.onnx").graph)) == 4096
    assert time.process_time() - started < 3


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "empty"),
        (b"not a model, only text\n" * 20, "no ONNX"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "no ONNX"),
        (os.urandom(4096), "no ONNX"),
        (onnx.ModelProto(ir_version=10).SerializeToString(), "no graph"),
    ],
    ids=["empty", "text", "picture", "noise", "no graph"],
)
def test_what_is_no_model_is_a_file_error(tmp_path: Path, content: bytes, word: str) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(FileError, match=word) as caught:
        load(path)
    assert str(path) in str(caught.value)


def test_every_truncation_is_a_file_error() -> None:
    content = with_weight(helper.make_tensor("w", FLOAT, [2], [1.0, 2.0])).SerializeToString()
    read(content, "m.onnx")
    graph = content.index(b"relu") if b"relu" in content else len(content) // 2
    for length in (1, 2, graph, len(content) - 30, len(content) - 1):
        with pytest.raises(FileError):
            read(content[:length], "m.onnx")


def test_a_folder_a_missing_file_and_a_device_are_file_errors(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="folder"):
        load(tmp_path)
    with pytest.raises(FileError, match="No such file"):
        load(tmp_path / "none.onnx")
    with pytest.raises(FileError, match="no plain file"):
        load("/dev/zero")


def test_later_versions_are_unsupported() -> None:
    refused(model(opset=99), UnsupportedError, "opset 99", "upgrade onnx")
    newer = model()
    newer.ir_version = 99
    refused(newer, UnsupportedError, "IR version 99")


def test_an_invalid_graph_is_a_file_error() -> None:
    refused(model([helper.make_node("Relu", ["nothing"], ["y"])]), FileError, "nothing")
    refused(model([helper.make_node("NoSuchOperator", ["x"], ["y"])]), FileError, "NoSuchOperator")


def test_two_values_in_one_tensor_are_unsafe() -> None:
    refused(with_weight(weight(raw_data=bytes(8), float_data=[1, 2])), UnsafeError, "'w'", "raw_data", "float_data")


def test_two_values_hidden_in_a_function_are_unsafe() -> None:
    hidden = weight(raw_data=bytes(8), float_data=[1, 2])
    body = [
        helper.make_node("Constant", [], ["k"], value=hidden),
        helper.make_node("Add", ["a", "k"], ["c"]),
    ]
    refused(doubling(1, body), UnsafeError, "raw_data")


def test_two_values_in_a_nested_graph_are_unsafe() -> None:
    hidden = weight(raw_data=bytes(8), float_data=[1, 2])
    branch = helper.make_graph([helper.make_node("Identity", ["w"], ["b"])], "then", [], [value("b", 2)], [hidden])
    node = helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch)
    refused(model([node]), UnsafeError, "raw_data")


@pytest.mark.parametrize(
    ("facts", "word"),
    [
        ({"raw_data": bytes(7)}, "7 bytes, expected 8"),
        ({"raw_data": bytes(12)}, "12 bytes, expected 8"),
        ({"float_data": [1.0]}, "1 values, expected 2"),
        ({"dims": [-2], "float_data": [1.0, 2.0]}, "negative"),
        ({"dims": [2**62, 2**62, 16], "raw_data": bytes(8)}, "expected"),
        ({"dims": [2**63 - 1, 2], "raw_data": b""}, "expected"),
        ({"data_type": TensorProto.INT64, "int32_data": [1, 2]}, "expected int64_data"),
        ({"data_type": TensorProto.INT4, "dims": [3], "int32_data": [1]}, "expected 2"),
    ],
)
def test_a_value_that_is_not_what_its_shape_says_is_a_file_error(facts: dict[str, object], word: str) -> None:
    refused(with_weight(weight(**facts)), FileError, "'w'", word)


def test_what_is_stated_twice_is_unsafe() -> None:
    tensor = helper.make_tensor("w", FLOAT, [2], [1.0, 2.0])
    refused(model([helper.make_node("Add", ["x", "w"], ["y"])], [tensor, tensor]), UnsafeError, "initializer", "twice")
    attributes = model([helper.make_node("Elu", ["x"], ["y"], alpha=1.0)])
    attributes.graph.node[0].attribute.append(helper.make_attribute("alpha", 2.0))
    refused(attributes, UnsafeError, "'alpha' twice")
    opsets = model()
    opsets.opset_import.append(helper.make_opsetid("ai.onnx", 13))
    refused(opsets, UnsafeError, "operator set")
    functions = doubling(1)
    functions.functions.append(functions.functions[0])
    refused(functions, UnsafeError, "f0 twice")


def test_a_tensor_behind_another_type_of_attribute_is_refused() -> None:
    proto = model([helper.make_node("Elu", ["x"], ["y"], alpha=1.0)])
    proto.graph.node[0].attribute[0].t.CopyFrom(weight(raw_data=bytes(8), float_data=[1, 2]))
    refused(proto, FileError, "alpha")


def test_a_function_over_an_operator_of_onnx_is_unsafe() -> None:
    body = [helper.make_node("Neg", ["a"], ["c"])]
    hiding = helper.make_function("", "Relu", ["a"], ["c"], body, [helper.make_opsetid("", 20)])
    refused(model(functions=[hiding]), UnsafeError, "Relu")


def test_expansion_is_counted_without_expanding() -> None:
    for levels in (16, 18, 40, 400):
        started = time.process_time()
        refused(doubling(levels), UnsafeError, "once its local functions are expanded")
        assert time.process_time() - started < BUDGET_SECONDS * 2


def test_bytes_are_counted_through_expansion() -> None:
    body = [
        helper.make_node(
            "Constant", [], ["k"], value=helper.make_tensor("k", FLOAT, [1, 250_000], bytes(10**6), raw=True)
        ),
        helper.make_node("Add", ["a", "k"], ["c"]),
    ]
    refused(doubling(12, body), UnsafeError, "bytes of tensors")


def test_a_function_that_calls_itself_is_unsafe() -> None:
    loop = doubling(2)
    loop.functions[0].node[0].op_type, loop.functions[0].node[0].domain = "f1", "local"
    refused(loop, UnsafeError, "calls itself")


def test_deep_nesting_is_unsafe() -> None:
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["b"])], "g", [], [value("b", 2)])
    for _ in range(MAX_DEPTH + 1):
        node = helper.make_node("If", ["x"], ["b"], then_branch=graph, else_branch=graph)
        graph = helper.make_graph([node], "g", [], [value("b", 2)])
    wrapped = model(list(graph.node))
    refused(wrapped, UnsafeError, "nests graphs")


def test_external_data_beside_the_model_is_read(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "w.bin").write_bytes(bytes(4) + bytes.fromhex("0000404000008040"))
    proto = external("sub/w.bin", offset="4", length="8")
    loaded = read(proto.SerializeToString(), "m.onnx", tmp_path)
    constant = loaded.graph.initializers["w"].const_value
    assert constant is not None
    assert constant.numpy().tolist() == [3.0, 4.0]


@pytest.mark.parametrize("location", ["../w.bin", "/etc/passwd", "a/../../w.bin", "C:\\w.bin", "..\\w.bin", ""])
def test_external_data_outside_the_folder_is_unsafe(tmp_path: Path, location: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "w.bin").write_bytes(bytes(8))
    refused(external(location), UnsafeError, "within the model's folder", folder=folder)


def test_external_data_behind_links_is_unsafe(tmp_path: Path) -> None:
    folder, outside = tmp_path / "model", tmp_path / "secret.bin"
    folder.mkdir()
    outside.write_bytes(bytes(8))
    (folder / "soft.bin").symlink_to(outside)
    (folder / "hard.bin").hardlink_to(outside)
    (folder / "away").symlink_to(tmp_path)
    refused(external("soft.bin"), UnsafeError, "link", folder=folder)
    refused(external("hard.bin"), UnsafeError, "hard link", folder=folder)
    refused(external("away/secret.bin"), UnsafeError, "link", folder=folder)
    refused(external("."), UnsafeError, folder=folder)


def test_broken_external_data_is_a_file_error(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(7))
    refused(external("w.bin"), FileError, "cut off", folder=tmp_path)
    refused(external("none.bin"), FileError, "missing", folder=tmp_path)
    refused(external("w.bin", length="4"), FileError, "expected 8", folder=tmp_path)
    refused(external("w.bin", offset="-1"), FileError, "offset", folder=tmp_path)
    refused(external("w.bin", offset="9" * 30), FileError, "offset", folder=tmp_path)
    refused(external("w.bin"), FileError, "load the model from its folder")


def chain(count: int, **attributes: object) -> onnx.ModelProto:
    nodes = [helper.make_node("Relu", [f"t{i}"], [f"t{i + 1}"], **attributes) for i in range(count)]
    proto = model([])
    proto.graph.node.extend(nodes)
    return proto


def many_nodes() -> onnx.ModelProto:
    return chain(2 * MAX_NODES)


def empty_nodes() -> onnx.ModelProto:
    proto = model([])
    proto.graph.node.extend([onnx.NodeProto()] * 480_000)
    return proto


def empty_tensors() -> onnx.ModelProto:
    proto = model()
    proto.graph.initializer.extend([TensorProto()] * 480_000)
    return proto


def empty_attributes() -> onnx.ModelProto:
    proto = model()
    proto.graph.node[0].attribute.extend([onnx.AttributeProto(name=str(i), type=1) for i in range(85_000)])
    return proto


def many_sizes() -> onnx.ModelProto:
    return with_weight(weight(dims=[2**62] * 100_000))


def many_names() -> onnx.ModelProto:
    return model([helper.make_node("Sum", ["x"] * 300_000, ["y"])])


def many_entries() -> onnx.ModelProto:
    proto = model()
    proto.metadata_props.extend([onnx.StringStringEntryProto()] * 480_000)
    return proto


def many_functions() -> onnx.ModelProto:
    proto = model()
    proto.functions.extend([onnx.FunctionProto(name=str(i)) for i in range(90_000)])
    return proto


def many_types() -> onnx.ModelProto:
    proto = model()
    proto.graph.value_info.extend([onnx.ValueInfoProto(name=str(i)) for i in range(100_000)])
    return proto


@pytest.mark.parametrize(
    "make",
    [
        many_nodes,
        empty_nodes,
        empty_tensors,
        empty_attributes,
        many_sizes,
        many_names,
        many_entries,
        many_functions,
        many_types,
    ],
)
def test_files_made_to_be_slow_are_refused_within_the_budget(make: Callable[[], onnx.ModelProto]) -> None:
    content = make().SerializeToString()
    assert len(content) <= 2**20
    times = []
    for _ in range(3):
        started = time.process_time()
        with pytest.raises(UnsafeError):
            guard(parse(content, "m.onnx"), "m.onnx")
        times.append(time.process_time() - started)
    assert min(times) < BUDGET_SECONDS


def test_the_largest_file_that_passes_the_guard_passes_within_the_budget() -> None:
    nodes = [
        helper.make_node("MaxPool", [f"t{i}"], [f"t{i + 1}"], kernel_shape=[1, 1], strides=[1, 1])
        for i in range(MAX_NODES)
    ]
    content = model(nodes).SerializeToString()
    assert len(content) <= 2**20
    times = []
    for _ in range(3):
        started = time.process_time()
        guard(parse(content, "m.onnx"), "m.onnx")
        times.append(time.process_time() - started)
    assert min(times) < BUDGET_SECONDS
