"""A QuantizeLinear that the runtime moves in front of a pool: the pool's name then stands for another tensor."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from onnx import helper, numpy_helper

pytest.importorskip("onnxruntime", reason="its optimiser is what moves the node")

from toolchain.verify import verify

NODE = helper.make_node
CONV = NODE("Conv", ["x", "w"], ["c"], name="conv")
QUANTIZE = [
    NODE("QuantizeLinear", ["m", "scale", "zero"], ["q"], name="q"),
    NODE("DequantizeLinear", ["q", "scale", "zero"], ["d"], name="d"),
]


def model(*between: str, factor: float = 1.0) -> ir.Model:
    """Conv, an activation perhaps, MaxPool, steps into and out of 8 bits, Conv."""
    generator = np.random.default_rng(0)
    weight = generator.standard_normal((4, 3, 3, 3)).astype(np.float32)
    constants = {
        "w": weight,
        "w2": generator.standard_normal((4, 4, 3, 3)).astype(np.float32) * np.float32(factor),
        "scale": np.float32(0.05),
        "zero": np.uint8(0),
    }
    nodes, last = [CONV], "c"
    for name in between:
        nodes.append(NODE(name, [last], [name], name=name))
        last = name
    pool = NODE("MaxPool", [last], ["m"], name="pool", kernel_shape=[2, 2], strides=[2, 2])
    nodes += [pool, *QUANTIZE, NODE("Conv", ["d", "w2"], ["y"], name="conv2")]
    infos = [helper.make_tensor_value_info(n, 1, s) for n, s in (("x", [1, 3, 16, 16]), ("y", [1, 4, 5, 5]))]
    initializers = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "early", infos[:1], infos[1:], initializers)
    return ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))


@pytest.mark.parametrize("between", [(), ("Relu",), ("Relu", "Identity")], ids=lambda names: "+".join(names) or "-")
@pytest.mark.parametrize("optimization", ["off", "basic", "extended", "all"])
def test_the_runtime_is_certified(between: tuple[str, ...], optimization: str) -> None:
    found = verify(model(*between), synthetic=3, optimization=optimization)
    assert found.ok, found.worst and found.worst.describe()


@pytest.mark.parametrize("optimization", ["off", "basic", "extended", "all"])
def test_what_is_wrong_behind_it_is_found_there(optimization: str) -> None:
    found = verify(model("Relu"), model("Relu", factor=1.01), synthetic=3, optimization=optimization)
    assert [region.nodes[-1] for region in found.defects] == ["conv2"]
