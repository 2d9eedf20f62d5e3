"""Operators of ONNX Runtime's own domain: exact against fractions, and ONNX Runtime within the bound."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from tests.toolchain.operators import agree, bounds, reference, step
from toolchain.errors import UnsupportedError
from toolchain.nodes import steps
from toolchain.ops import nchwc
from toolchain.ops.operator import widen

MS = {"domain": "com.microsoft"}


def scalar(value: object) -> np.ndarray:
    return np.asarray(value)


def every_pair() -> tuple[np.ndarray, np.ndarray]:
    values = np.arange(-128, 128).astype(np.int8)
    return np.repeat(values, 256), np.tile(values, 256)


@pytest.mark.parametrize("zero", [-128, -1, 0, 1, 127])
@pytest.mark.parametrize("name", ["QLinearAdd", "QLinearMul"])
def test_all_65536_pairs(name, zero):
    a, b = every_pair()
    sa, sb, sc = np.float32(0.5), np.float32(0.25), np.float32(1 / 3 if name == "QLinearAdd" else 0.5)
    za, zb = np.int8(3), np.int8(-1)
    args = [a, *map(scalar, (sa, za)), b, *map(scalar, (sb, zb, sc, np.int8(zero)))]
    got = reference(name, args, **MS)[0]
    left, right, out = (Fraction(float(s)) for s in (sa, sb, sc))
    for index in range(0, 65536, 257 if zero else 17):
        p, q = int(a[index]) - 3, int(b[index]) + 1
        value = (p * left + q * right if name == "QLinearAdd" else p * q * left * right) / out
        assert got[index] == min(max(round(value) + zero, -128), 127)
    agree(name, args, **MS)


@pytest.mark.parametrize("name", ["QLinearLeakyRelu", "QLinearSigmoid"])
def test_tables_agree_with_onnx_runtime_for_every_value(name):
    x = np.arange(256).astype(np.uint8)
    args = [x, *map(scalar, (np.float32(0.05), np.uint8(121), np.float32(1 / 256), np.uint8(1)))]
    agree(name, args, **MS)
    assert (bounds(name, args, **MS)[0].sound > 0).mean() < 0.05


def test_pools_agree_with_onnx_runtime():
    x = np.random.default_rng(0).integers(0, 256, (1, 3, 6, 6)).astype(np.uint8)
    rest = [*map(scalar, (np.float32(0.05), np.uint8(7), np.float32(0.031), np.uint8(2)))]
    agree("QLinearGlobalAveragePool", [x, *rest], **MS)
    agree("QLinearAveragePool", [x, *rest], {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 1, 0]}, **MS)


def test_softmax_concat_and_gemm_agree_with_onnx_runtime():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (2, 5, 4)).astype(np.uint8), rng.integers(0, 256, (2, 3, 4)).astype(np.uint8)
    one = [*map(scalar, (np.float32(0.04), np.uint8(9)))]
    out = [*map(scalar, (np.float32(1 / 256), np.uint8(0)))]
    agree("QLinearSoftmax", [x, *one, *out], {"axis": -1, "opset": 13}, **MS)
    agree("QLinearConcat", [*one, x, *map(scalar, (np.float32(0.03), np.uint8(3))), y, *one], {"axis": 1}, **MS)
    a, b = rng.integers(0, 256, (3, 8)).astype(np.uint8), rng.integers(-64, 64, (5, 8)).astype(np.int8)
    c = rng.integers(-900, 900, 5).astype(np.int32)
    weight = [b, np.linspace(0.01, 0.02, 5).astype(np.float32), np.zeros(5, np.int8), c]
    agree("QGemm", [a, *one, *weight, *map(scalar, (np.float32(0.3), np.uint8(7)))], {"transB": 1}, **MS)
    agree("QGemm", [a, *one, *weight], {"transB": 1}, **MS)


@pytest.mark.parametrize(
    ("activation", "parameters"),
    [
        ("Relu", []),
        ("LeakyRelu", [0.1]),
        ("Tanh", []),
        ("Sigmoid", []),
        ("Clip", [-1.0, 2.0]),
        ("HardSigmoid", [0.2, 0.5]),
    ],
)
def test_fused_convolutions_agree_with_onnx_runtime(activation, parameters):
    rng = np.random.default_rng(0)
    x, w, b, z = (rng.standard_normal(s).astype(np.float32) for s in ((1, 4, 6, 6), (8, 4, 3, 3), (8,), (1, 8, 6, 6)))
    attributes = {"activation": activation, "pads": [1, 1, 1, 1]}
    if parameters:
        attributes["activation_params"] = parameters
    agree("FusedConv", [x, w, b], attributes, **MS)
    if activation == "Relu":
        agree("FusedConv", [x, w, b, z], attributes, **MS)


def test_fused_products_and_gelus_agree_with_onnx_runtime():
    rng = np.random.default_rng(0)
    a, b, c = (rng.standard_normal(s).astype(np.float32) for s in ((5, 6), (7, 6), (7,)))
    agree("FusedGemm", [a, b, c], {"activation": "LeakyRelu", "activation_alpha": 0.2, "transB": 1}, **MS)
    agree("FusedMatMul", [a, b], {"transB": 1, "alpha": 0.3}, **MS)
    x = np.linspace(-8, 8, 700).astype(np.float32).reshape(100, 7)
    agree("Gelu", [x], **MS)
    agree("BiasGelu", [x, c], **MS)
    agree("FastGelu", [x, c], **MS)
    agree("QuickGelu", [x], {"alpha": 1.702}, **MS)


def test_an_unknown_activation_is_refused():
    x = np.zeros((1, 1, 3, 3), np.float32)
    with pytest.raises(UnsupportedError, match="activation is 'Wiggle'"):
        step("FusedConv", [x, x], {"activation": "Wiggle"}, **MS)


def small_cnn() -> onnx.ModelProto:
    """Everything that the blocked layout touches: a first layer, 12 and 20 channels, depthwise, a residual sum."""
    rng = np.random.default_rng(0)

    def weight(name: str, *shape: int) -> onnx.TensorProto:
        return onnx.numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32), name)

    initializers = [
        weight("w1", 12, 3, 3, 3), weight("b1", 12), weight("w2", 20, 12, 3, 3), weight("b2", 20),
        weight("wd", 20, 1, 3, 3), weight("w3", 20, 20, 1, 1), weight("b3", 20),
        onnx.numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales"),
    ]  # fmt: skip
    node, pads = helper.make_node, [1, 1, 1, 1]
    asymmetric = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    nodes = [
        node("Conv", ["x", "w1", "b1"], ["c1"], pads=pads),
        node("Relu", ["c1"], ["r1"]),
        node("Conv", ["r1", "w2", "b2"], ["c2"], pads=pads, strides=[2, 2]),
        node("Sigmoid", ["c2"], ["r2"]),
        node("Conv", ["r2", "wd"], ["cd"], pads=pads, group=20),
        node("MaxPool", ["cd"], ["m"], kernel_shape=[3, 3], pads=pads),
        node("Conv", ["m", "w3", "b3"], ["c3"]),
        node("Add", ["c3", "r2"], ["a"]),
        node("Relu", ["a"], ["ar"]),
        node("AveragePool", ["ar"], ["ap"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Resize", ["ap", "", "scales"], ["up"], mode="nearest", **asymmetric),
        node("GlobalAveragePool", ["up"], ["y"]),
    ]
    infos = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 16, 16]), onnx.ValueInfoProto(name="y")]
    graph = helper.make_graph(nodes, "cnn", infos[:1], infos[1:], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def test_the_blocked_graph_that_onnx_runtime_saves_node_by_node(tmp_path):
    native = ort.SessionOptions()
    native.log_severity_level = 3
    native.optimized_model_filepath = str(tmp_path / "saved.onnx")
    ort.InferenceSession(small_cnn().SerializeToString(), native, providers=["CPUExecutionProvider"])
    saved = onnx.load(tmp_path / "saved.onnx")
    if not any(n.domain == nchwc.DOMAIN for n in saved.graph.node):
        pytest.skip("this processor has no blocked kernels")
    shown = onnx.ModelProto.FromString(saved.SerializeToString())
    names = [name for n in saved.graph.node for name in n.output]
    shown.graph.output.extend(onnx.ValueInfoProto(name=n) for n in names if n != "y")
    plain = ort.SessionOptions()
    plain.log_severity_level = 3
    plain.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(shown.SerializeToString(), plain, providers=["CPUExecutionProvider"])
    x = np.random.default_rng(1).standard_normal((1, 3, 16, 16)).astype(np.float32)
    outputs = [o.name for o in session.get_outputs()]
    seen = {"x": x, **dict(zip(outputs, session.run(None, {"x": x}), strict=True))}
    seen |= {i.name: onnx.numpy_helper.to_array(i) for i in saved.graph.initializer}
    filters = [
        i.dims[0]
        for i in saved.graph.initializer
        if i.name in {n.input[1] for n in saved.graph.node if n.op_type == "Conv"}
    ]
    token = nchwc.BLOCK_SIZE.set(8 if 24 in filters else 16)
    try:
        ready = steps(ir.from_proto(saved))
    finally:
        nchwc.BLOCK_SIZE.reset(token)
    judged = 0
    for it in ready:
        inputs = [None if n is None else widen(seen[n]) for n in it.inputs]
        (exact,) = it.operator.evaluate(it.attributes, inputs)
        (limit,) = it.operator.bound(it.attributes, inputs, [exact], 2.0**-24)
        assert (np.abs(exact - seen[it.outputs[0]]) <= limit.sound).all(), it.name
        judged += it.operator.domain == nchwc.DOMAIN
    assert judged >= 6


def test_channels_last_agrees_with_onnx_runtime():
    rng = np.random.default_rng(1)
    x = rng.integers(0, 256, (1, 7, 6, 4)).astype(np.uint8)
    w = rng.integers(-64, 64, (3, 4, 3, 2)).astype(np.int8)
    one = [*map(scalar, (np.float32(0.02), np.uint8(121)))]
    weight = [w, np.array([0.01, 0.02, 0.03], np.float32), np.zeros(3, np.int8)]
    out = [*map(scalar, (np.float32(0.3), np.uint8(37))), rng.integers(-500, 500, 3).astype(np.int32)]
    agree("QLinearConv", [x, *one, *weight, *out], {"channels_last": 1, "pads": [1, 0, 1, 1]}, **MS)
    agree("NhwcMaxPool", [x], {"kernel_shape": [2, 3], "strides": [2, 1], "pads": [1, 1, 0, 1]}, **MS)
