"""A graph whose shapes part so that nothing runs to the end: the attribute is named all the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from tests.conftest import Exported
from tests.toolchain.planting import attribute
from toolchain.errors import UnsupportedError
from toolchain.verify import verify

pytest.importorskip("onnxruntime", reason="verify needs the extra `cpu`")


@pytest.mark.parametrize(
    ("changed", "kind"),
    [({"strides": [2, 2]}, "stride"), ({"dilations": [2, 2]}, "dilation"), ({"pads": [1, 1, 1, 1]}, "pad")],
)
@pytest.mark.parametrize("layer", [0, 1])
def test_the_attribute_is_named(
    exported: Exported, tmp_path: Path, layer: int, changed: dict[str, list[int]], kind: str
) -> None:
    path = exported("lenet5")
    proto = onnx.load(path)
    node = [n for n in proto.graph.node if n.op_type == "Conv"][layer]
    attribute(node.output[0], **changed)(proto)
    onnx.save(proto, tmp_path / "other.onnx")
    found = verify(path, tmp_path / "other.onnx", data="mnist:test:2", optimization="off", end_to_end=False)
    assert found.worst is not None
    assert found.worst.nodes[0] == node.name
    assert found.worst.cause is not None
    assert found.worst.cause.kind == kind, found.worst.cause
    assert found.worst.cause.explained > 0.99


def test_a_model_that_fixes_the_batch_is_named_by_the_interpreter(tmp_path: Path) -> None:
    """The runtime's own text names a line of its source; the interpreter's names the node, its shapes and a remedy."""
    graph = helper.make_graph(
        [
            helper.make_node("Relu", ["x"], ["r"], "relu"),
            helper.make_node("Reshape", ["r", "shape"], ["y"], "flat"),
        ],
        "fixed",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 2, 3])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [None, 6])],
        [numpy_helper.from_array(np.array([1, 6]), "shape")],
    )
    path = tmp_path / "fixed.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    with pytest.raises(UnsupportedError, match=r"'flat' .*cannot reshape \[2, 2, 3\] to \[1, 6\]"):
        verify(path, synthetic=4)
    assert verify(path, synthetic=1).ok
