"""Float C is judged node by node, by the limits that any backend is held to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper, numpy_helper

from tests.compile.graphs import draw
from tests.conftest import Exported
from tests.toolchain import digits
from toolchain.load import read
from toolchain.verify import verify


@pytest.mark.parametrize("net", ["lenet5", "lenet5-relu", "example-cnn"])
def test_networks(net: str, exported: Exported) -> None:
    found = verify(exported(net), backend="c", data="mnist:test:6")
    assert found.ok, found.defects
    assert found.end_to_end is not None
    assert found.end_to_end.agree == 6


def test_batchnormalization_and_softmax() -> None:
    found = verify(digits.model(batch=1, softmax=True), backend="c", data="mnist:test:4")
    assert found.ok, found.defects
    assert "BatchNormalization" in {op for region in found.regions for op in region.arithmetic.split(" + ")}


OPERATORS = {
    "sigmoid": ("Sigmoid", {}),
    "leaky": ("LeakyRelu", {"alpha": 0.3}),
    "elu": ("Elu", {"alpha": 0.7}),
    "hard_sigmoid": ("HardSigmoid", {}),
    "hard_swish": ("HardSwish", {}),
    "tanh": ("Tanh", {}),
    "max": ("MaxPool", {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1], "dilations": [1, 2]}),
    "average": ("AveragePool", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 0}),
    "ceil": ("AveragePool", {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}),
    "global_average": ("GlobalAveragePool", {}),
    "global_max": ("GlobalMaxPool", {}),
}


def _model(nodes: list[onnx.NodeProto], shape: list[int], constants: dict[str, np.ndarray], rank: int = 4) -> ir.Model:
    graph = helper.make_graph(
        nodes,
        "one",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(nodes[-1].output[0], onnx.TensorProto.FLOAT, [None] * rank)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return read(proto.SerializeToString(), "one")


@pytest.mark.parametrize("name", OPERATORS)
def test_operators_on_maps_of_several_channels(name: str) -> None:
    op_type, attributes = OPERATORS[name]
    node = helper.make_node(op_type, ["x"], ["y"], name, **attributes)
    found = verify(_model([node], [1, 5, 7, 6], {}), backend="c", synthetic=3)
    assert found.ok, found.defects


@pytest.mark.parametrize("groups", [1, 2, 6])
@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("channels", [6, 18])
def test_convolutions(groups: int, strides: int, channels: int) -> None:
    generator = np.random.default_rng(groups)
    constants = {
        "w": generator.standard_normal((channels, 6 // groups, 3, 2)).astype(np.float32),
        "b": generator.standard_normal(channels).astype(np.float32),
        "m": generator.standard_normal((channels, 3)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], "conv", group=groups, pads=[1, 0, 2, 1], strides=[strides] * 2,
                         dilations=[2, 1]),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
        helper.make_node("Add", ["r", "c"], ["s"], "sum"),
        helper.make_node("Concat", ["s", "r", "c"], ["t"], "joined", axis=1),
        helper.make_node("MaxPool", ["t"], ["p"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("GlobalAveragePool", ["p"], ["y"], "mean"),
    ]  # fmt: skip
    found = verify(_model(nodes, [1, 6, 12, 11], constants), backend="c", synthetic=2)
    assert found.ok, found.defects


def test_a_map_comes_out_in_the_order_of_onnx(tmp_path: Path) -> None:
    node = helper.make_node("Relu", ["x"], ["y"], "relu")
    found = verify(_model([node], [1, 3, 2, 4], {}), backend="c", synthetic=2)
    assert found.ok
    assert found.undisturbed
    flat = [
        helper.make_node("MaxPool", ["x"], ["p"], "pool", kernel_shape=[2, 2]),
        helper.make_node("Flatten", ["p"], ["y"], "flat"),
    ]
    found = verify(_model(flat, [1, 3, 4, 4], {}, rank=2), backend="c", synthetic=2)
    assert found.ok, found.defects


@pytest.mark.parametrize("seed", [*range(8), *(pytest.param(s, marks=pytest.mark.sweep) for s in range(100, 400))])
def test_random_graphs(seed: int) -> None:
    found = verify(draw(seed, real=True), backend="c", synthetic=2)
    assert found.ok, found.defects
    assert found.undisturbed


ROWS, TURNED = [1, 6, 4, 16], [1, 8, 6, 8]


@pytest.mark.parametrize(
    ("op_type", "shape"),
    [("Relu", [1, -1]), *((op, shape) for op in ("Relu", "MaxPool", "AveragePool") for shape in (ROWS, TURNED))],
)
@pytest.mark.parametrize("first", ["Conv", "ConvTranspose"])
def test_what_sees_another_shape_is_a_layer_of_its_own(first: str, op_type: str, shape: list[int]) -> None:
    generator = np.random.default_rng(0)
    constants = {
        "w": generator.standard_normal((6, 6, 3, 3)).astype(np.float32),
        "s": np.array(shape, np.int64),
    }
    window = {} if op_type == "Relu" else {"kernel_shape": [2, 2], "strides": [2, 2]}
    nodes = [
        helper.make_node(first, ["x", "w"], ["c"], "c", pads=[1, 1, 1, 1]),
        helper.make_node("Reshape", ["c", "s"], ["r"], "r"),
        helper.make_node(op_type, ["r"], ["y"], "y", **window),
    ]
    found = verify(_model(nodes, [1, 6, 8, 8], constants, rank=len(shape)), backend="c", synthetic=2)
    assert found.ok, found.defects


MAPS = ([1, 6, 2, 1], [1, 12, 1, 1], [1, 1, 12])


@pytest.mark.parametrize(
    ("reader", "shape"),
    [("QuantizeLinear", [1, 12]), *((op, shape) for op in ("QuantizeLinear", "Conv") for shape in MAPS)],
)
def test_a_map_under_another_shape_keeps_its_order(reader: str, shape: list[int]) -> None:
    """Channels-last in memory, it is quantized, or convolved as a map of one channel or one position."""
    generator = np.random.default_rng(1)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], "c"),
        helper.make_node("Reshape", ["c", "s"], ["r"], "r"),
    ]
    constants = {"w": generator.standard_normal((3, 2, 1, 1)).astype(np.float32), "s": np.array(shape, np.int64)}
    if reader == "QuantizeLinear":
        constants |= {"scale": np.float32(0.03), "zero": np.int8(3)}
        nodes += [
            helper.make_node("QuantizeLinear", ["r", "scale", "zero"], ["q"], "q"),
            helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"], "y"),
        ]
    else:
        kernel = [1] * (len(shape) - 3) + [min(2, shape[-1])]
        constants["v"] = generator.standard_normal((5, shape[1], *kernel)).astype(np.float32)
        nodes.append(helper.make_node("Conv", ["r", "v"], ["y"], "y"))
    found = verify(_model(nodes, [1, 2, 2, 2], constants, rank=len(shape)), backend="c", synthetic=2)
    assert found.ok, found.defects
