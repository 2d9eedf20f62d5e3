"""int8 models: every node of the graph that runs, against exact integer arithmetic."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.conftest import Exported
from toolchain.load import load
from toolchain.quantize import quantize
from toolchain.quantize.rewrite import Scheme
from toolchain.verify import verify
from toolchain.verify.survivors import survivors

pytest.importorskip("onnxruntime", reason="verify needs the extra `cpu`")

CALIBRATE = "mnist:train:64"
DATA = "mnist:test:6"


@pytest.fixture(scope="module")
def int8(exported: Exported, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("int8") / "lenet5.int8.onnx"
    quantize(exported("lenet5"), output=path, calibrate=CALIBRATE, data="mnist:test:200", max_drop=100.0, timed=False)
    return path


@pytest.mark.parametrize("optimization", ["off", "basic", "extended", "all"])
def test_an_int8_model_is_certified_at_every_optimisation_level(int8: Path, optimization: str) -> None:
    verdict = verify(int8, data=DATA, optimization=optimization)
    assert verdict.ok, [r.describe() for r in verdict.defects]
    assert not verdict.unobserved
    assert verdict.undisturbed


@pytest.mark.parametrize("optimization", ["extended", "all"])
def test_fused_integer_layers_are_judged_one_by_one_and_no_integer_differs(int8: Path, optimization: str) -> None:
    verdict = verify(int8, data=DATA, optimization=optimization, end_to_end=False)
    assert any("QLinearConv" in operator for operator in verdict.running)
    layers = [r for r in verdict.regions if {"Conv", "Gemm"} & set(r.operators)]
    assert len(layers) == 5
    assert all(sum(operator in ("Conv", "Gemm") for operator in r.operators) == 1 for r in layers)
    assert sum(r.elements for r in layers) == 6 * (6 * 28 * 28 + 16 * 10 * 10 + 120 + 84 + 10)
    assert sum(r.differing for r in layers) == 0


def vnni() -> bool:
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text(encoding="ascii", errors="replace") if cpuinfo.exists() else ""
    return "avx2" not in text or "_vnni" in text


def saturating(path: Path) -> Path:
    """Two products of 255 by 127 in one sum: 64,770, where 16 bits hold 32,767."""
    scales = {"sx": 1.0, "sw": 1.0, "sy": 512.0}
    constants = [helper.make_tensor(name, TensorProto.FLOAT, [], [value]) for name, value in scales.items()]
    constants += [
        helper.make_tensor("zx", TensorProto.UINT8, [], [0]),
        helper.make_tensor("zw", TensorProto.INT8, [], [0]),
        helper.make_tensor("w", TensorProto.INT8, [1, 4, 1, 1], [127, 127, 127, 127]),
    ]
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "sx", "zx"], ["xq"], "quantize_x"),
        helper.make_node("DequantizeLinear", ["xq", "sx", "zx"], ["xd"], "dequantize_x"),
        helper.make_node("DequantizeLinear", ["w", "sw", "zw"], ["wd"], "dequantize_w"),
        helper.make_node("Conv", ["xd", "wd"], ["c"], "conv"),
        helper.make_node("QuantizeLinear", ["c", "sy", "zx"], ["yq"], "quantize_y"),
        helper.make_node("DequantizeLinear", ["yq", "sy", "zx"], ["y"], "dequantize_y"),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 3, 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 3, 3])
    graph = helper.make_graph(nodes, "saturating", [x], [y], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


@pytest.fixture
def bright(tmp_path: Path) -> str:
    np.savez(tmp_path / "bright.npz", x=np.full((2, 4, 3, 3), 255.0, np.float32))
    return str(tmp_path / "bright.npz")


@pytest.mark.skipif(vnni(), reason="only x86 processors with AVX2 and without VNNI have the saturating kernels")
def test_saturating_kernels_are_a_defect_that_names_the_node(tmp_path: Path, bright: str) -> None:
    verdict = verify(saturating(tmp_path / "m.onnx"), data=bright, optimization="all")
    assert not verdict.ok
    assert verdict.worst is not None
    assert verdict.worst.name == "conv"
    assert verdict.worst.worst is not None
    assert verdict.worst.worst.expected == 253  # 4 * 255 * 127 / 512 = 253.0
    assert verdict.worst.worst.received < 253


def test_exact_kernels_do_not_saturate(tmp_path: Path, bright: str) -> None:
    verdict = verify(saturating(tmp_path / "m.onnx"), data=bright, optimization="all", exact_int8=True)
    assert verdict.ok, [r.describe() for r in verdict.defects]


def test_seven_bit_weights_are_the_default_because_they_cannot_saturate() -> None:
    assert Scheme().reduce_range
    assert 2 * 255 * 64 <= 32_767 < 2 * 255 * 127


def test_a_name_that_holds_something_else_is_not_taken_for_the_models(int8: Path) -> None:
    """Channels-last operators reuse names of the model's float tensors for quantized ones in another layout."""
    model = load(int8)
    conv = next(node for node in model.graph if node.op_type == "Conv")
    reused = conv.outputs[0].name
    node = helper.make_node(
        "QLinearConv", ["a"] * 8, [reused], f"{conv.name}_token_7", domain="com.microsoft", channels_last=1
    )
    running = helper.make_model(helper.make_graph([node], "g", [], []))
    (found,) = survivors(running, model)
    assert (found.running, found.layout, found.quantized) == (reused, "channels last", True)
    assert found.model != reused
