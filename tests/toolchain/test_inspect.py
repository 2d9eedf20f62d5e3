"""inspect: sizes by the formula, parameters, work, memory, receptive fields, and what is not supported."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.conftest import RunCli
from toolchain.errors import ShapeError
from toolchain.inspect import Layer, inspect, operators
from toolchain.load import read
from toolchain.ops import registry
from toolchain.shapes import infer


def array(name: str, *shape: int, dtype: type = np.float32) -> TensorProto:
    return numpy_helper.from_array(np.ones(shape, dtype), name)


def build(
    nodes: list[onnx.NodeProto], tensors: list[TensorProto], shape: list[int | str], output: str = "y"
) -> ir.Model:
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, [])],
        tensors,
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.example", 1)]
    proto = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    return read(proto.SerializeToString(), "net")


def lenet() -> ir.Model:
    """LeNet-5 by hand: 61,706 parameters, and sizes 28, 14, 10, 5, 1."""
    node = helper.make_node
    pool = {"kernel_shape": [2, 2], "strides": [2, 2]}
    return build(
        [
            node("Conv", ["x", "w1", "b1"], ["c1"], name="c1"),
            node("AveragePool", ["c1"], ["s2"], name="s2", **pool),
            node("Conv", ["s2", "w3", "b3"], ["c3"], name="c3"),
            node("Tanh", ["c3"], ["t3"], name="t3"),
            node("AveragePool", ["t3"], ["s4"], name="s4", **pool),
            node("Conv", ["s4", "w5", "b5"], ["c5"], name="c5"),
            node("Flatten", ["c5"], ["flat"], name="flat"),
            node("Gemm", ["flat", "w6", "b6"], ["f6"], name="f6", transB=1),
            node("Gemm", ["f6", "w7", "b7"], ["y"], name="out", transB=1),
        ],
        [
            *(array("w1", 6, 1, 5, 5), array("b1", 6), array("w3", 16, 6, 5, 5), array("b3", 16)),
            *(array("w5", 120, 16, 5, 5), array("b5", 120), array("w6", 84, 120), array("b6", 84)),
            *(array("w7", 10, 84), array("b7", 10)),
        ],
        ["N", 1, 32, 32],
    )


def layers(model: ir.Model, **options: object) -> dict[str, Layer]:
    return {layer.name: layer for layer in inspect(model, **options).layers}  # type: ignore[arg-type]


def test_lenet_in_numbers() -> None:
    found = inspect(lenet())
    by_name = {layer.name: layer for layer in found.layers}
    assert found.parameters == 61_706
    assert found.parameter_bytes == 4 * 61_706
    assert by_name["c1"].formula == "floor((32 + 2*0 - 5)/1) + 1 = 28"
    assert by_name["s2"].formula == "floor((28 + 2*0 - 2)/2) + 1 = 14"
    assert by_name["c1"].shape == (1, 6, 28, 28)
    assert by_name["c1"].parameters == 156
    assert by_name["c1"].dense_parameters == 32 * 32 * 6 * 28 * 28 + 6 * 28 * 28
    assert by_name["c1"].macs == 6 * 28 * 28 * 25
    assert by_name["f6"].macs == 120 * 84
    assert found.macs == 117_600 + 240_000 + 48_000 + 10_080 + 840
    assert by_name["c1"].activation_bytes == 4 * 6 * 28 * 28
    fields = [by_name[name].receptive_field for name in ("c1", "s2", "c3", "t3", "s4", "c5", "flat", "out")]
    assert fields == [(n, n) for n in (5, 6, 14, 14, 16, 32, 32, 32)]
    assert found.peak_bytes == 4 * (6 * 28 * 28 + 6 * 14 * 14) == 23_520
    assert found.inputs[0].shape == ("N", 1, 32, 32)
    assert not found.problems


def test_a_padded_image_of_ten_under_a_window_of_three_has_eight_places() -> None:
    model = build([helper.make_node("Conv", ["x", "w"], ["y"], name="c")], [array("w", 4, 3, 3, 3)], [1, 3, 10, 10])
    assert layers(model)["c"].shape == (1, 4, 8, 8)
    assert layers(model)["c"].dense_parameters == 300 * 256


def test_formulas_say_what_the_operators_compute() -> None:
    checked = 0
    for size, kernel, stride, dilation, begin, end, ceil in itertools.product(
        (7, 12), (2, 3), (1, 2, 3), (1, 2), (0, 1), (0, 1), (0, 1)
    ):
        node = helper.make_node(
            "MaxPool",
            ["x"],
            ["y"],
            name="p",
            kernel_shape=[kernel],
            strides=[stride],
            dilations=[dilation],
            pads=[begin, end],
            ceil_mode=ceil,
        )
        layer = layers(build([node], [], [1, 1, size]))["p"]
        left, right = layer.formula.split(" = ")
        expression = left.replace(" (a window that starts in the padding)", "")
        assert layer.shape is not None
        assert eval(expression, {"floor": np.floor, "ceil": np.ceil}) == int(right) == layer.shape[2]  # noqa: S307
        checked += 1
    assert checked == 192


def test_different_axes_have_formulas_of_their_own() -> None:
    node = helper.make_node("MaxPool", ["x"], ["y"], name="p", kernel_shape=[2, 3], pads=[0, 1, 0, 0])
    assert layers(build([node], [], [1, 1, 8, 9]))["p"].formula == (
        "floor((8 + 2*0 - 2)/1) + 1 = 7; floor((9 + 1 + 0 - 3)/1) + 1 = 8"
    )


def test_where_paths_meet_the_larger_field_counts() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w3"], ["a"], name="a", pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["x", "w5"], ["b"], name="b", pads=[2, 2, 2, 2]),
        helper.make_node("Add", ["a", "b"], ["s"], name="sum"),
        helper.make_node("Conv", ["s", "w3"], ["d"], name="dilated", dilations=[2, 2]),
        helper.make_node("GlobalAveragePool", ["d"], ["y"], name="all"),
    ]
    found = layers(build(nodes, [array("w3", 1, 1, 3, 3), array("w5", 1, 1, 5, 5)], [1, 1, 16, 16]))
    fields = [found[name].receptive_field for name in ("a", "b", "sum", "dilated", "all")]
    assert fields == [(n, n) for n in (3, 5, 5, 9, 16)]


def test_a_mean_over_the_picture_sees_all_of_it() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], name="a"),
        helper.make_node("ReduceMean", ["a", "axes"], ["y"], name="mean", keepdims=0),
    ]
    axes = numpy_helper.from_array(np.array([2, 3], np.int64), "axes")
    found = inspect(build(nodes, [array("w", 1, 1, 3, 3), axes], [1, 1, 8, 8]))
    assert [layer.receptive_field for layer in found.layers] == [(3, 3), (8, 8)]
    assert found.parameters == 9


def test_shared_weights_count_once_in_the_total() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], name="a"),
        helper.make_node("Conv", ["a", "w"], ["y"], name="b"),
    ]
    found = inspect(build(nodes, [array("w", 1, 1, 3, 3)], [1, 1, 8, 8]))
    assert [layer.parameters for layer in found.layers] == [9, 9]
    assert found.parameters == 9


def test_a_qdq_model_counts_what_its_convolution_uses() -> None:
    scales = [array("s", 2), numpy_helper.from_array(np.float32(0.1), "sx"), numpy_helper.from_array(np.int8(0), "zx")]
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "sx", "zx"], ["xq"], name="q"),
        helper.make_node("DequantizeLinear", ["xq", "sx", "zx"], ["xd"], name="dq"),
        helper.make_node("DequantizeLinear", ["w", "s"], ["wd"], name="wdq", axis=0),
        helper.make_node("Conv", ["xd", "wd"], ["y"], name="c"),
    ]
    found = inspect(build(nodes, [array("w", 2, 1, 3, 3, dtype=np.int8), *scales], [1, 1, 8, 8]))
    by_name = {layer.name: layer for layer in found.layers}
    assert (found.parameters, found.parameter_bytes) == (18, 18)
    assert by_name["c"].parameters == 18
    assert by_name["q"].activation_bytes == 64
    assert by_name["wdq"].constant
    assert by_name["wdq"].activation_bytes == 0
    assert by_name["c"].receptive_field == (3, 3)


def test_an_unsupported_operator_is_listed_and_the_rest_shown() -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], name="known"),
        helper.make_node("Strange", ["a"], ["b"], name="odd", domain="com.example"),
        helper.make_node("Relu", ["b"], ["y"], name="after"),
    ]
    found = inspect(build(nodes, [], [1, 2]))
    by_name = {layer.name: layer for layer in found.layers}
    assert by_name["known"].shape == (1, 2)
    assert by_name["odd"].shape is None
    assert len(found.problems) == 2
    assert "'odd'" in found.problems[0]
    assert "com.example.Strange" in found.problems[0]
    assert "'b'" in found.problems[1]


def test_free_dimensions_are_bound_by_the_caller() -> None:
    model = build([helper.make_node("Relu", ["x"], ["y"], name="r")], [], ["N", 3, "H", "W"])
    with pytest.raises(ShapeError, match="--shape"):
        inspect(model)
    assert layers(model, shape=(2, 3, 4, 5))["r"].shape == (2, 3, 4, 5)
    assert layers(model, shape={"x": (1, 3, 8, 8)})["r"].shape == (1, 3, 8, 8)
    for wrong in ((1, 4, 8, 8), (1, 3, 8), (1, 3, -8, 8)):
        with pytest.raises(ShapeError, match="'x'"):
            inspect(model, shape=wrong)
    with pytest.raises(ShapeError, match="no input 'z'"):
        inspect(model, shape={"z": (1,)})
    assert infer(model, {"x": (1, 3, 8, 8)})["y"].shape == (1, 3, 8, 8)


def test_broken_metadata_is_a_problem_not_an_end() -> None:
    model = lenet()
    model.metadata_props["onnx_edge.labels"] = "["
    model.metadata_props["onnx_edge.input"] = "{}"
    assert len(inspect(model).problems) == 2


def test_the_table_of_operators_is_the_registry() -> None:
    listed = operators()
    assert len(listed.operators) == len(registry())
    assert "| Conv | 1, 11, 22 |" in listed.markdown()


def test_the_command(run_cli: RunCli, tmp_path: Path) -> None:
    path = tmp_path / "lenet.onnx"
    onnx.save(ir.to_proto(lenet()), path)
    table = run_cli("inspect", path)
    assert table.exit_code == 0
    assert "floor((32 + 2*0 - 5)/1) + 1 = 28" in table.stdout
    assert "61,706" in table.stdout
    assert table.stderr == ""
    facts = json.loads(run_cli("inspect", path, "--json", "--shape", "2,1,32,32").stdout)
    assert (facts["version"], facts["verb"], facts["parameters"]) == (1, "inspect", 61_706)
    assert facts["layers"][0]["shape"] == [2, 6, 28, 28]


def test_names_cannot_write_to_the_terminal(run_cli: RunCli, tmp_path: Path) -> None:
    model = lenet()
    next(iter(model.graph)).name = "\x1b[31mred\x07[bold]"
    path = tmp_path / "m.onnx"
    onnx.save(ir.to_proto(model), path)
    shown = run_cli("inspect", path)
    assert "\x1b" not in shown.stdout
    assert "\x07" not in shown.stdout
    assert "red" in shown.stdout
    assert "[bold]" in shown.stdout
