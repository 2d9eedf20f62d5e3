"""A graph whose shapes part so that nothing runs to the end: the attribute is named all the same."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from tests.conftest import Exported
from tests.toolchain.planting import attribute
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
