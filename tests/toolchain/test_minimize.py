"""``verify --minimize``: the smallest model and input that still show a finding; and the page with its heat map."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper, numpy_helper

from tests.conftest import Exported, RunCli
from tests.toolchain.planting import Change, constant
from tests.toolchain.test_verify_quantized import saturating, vnni
from toolchain.data import samples
from toolchain.errors import OutputExistsError, UsageError
from toolchain.load import load
from toolchain.verify import verify
from toolchain.verify.cutting import cut_out, dimensions
from toolchain.verify.minimize import minimize
from toolchain.verify.options import Options

pytest.importorskip("onnxruntime", reason="verify needs the extra `cpu`")

DATA = "mnist:test:3"


def planted(path: Path, folder: Path, change: Change) -> Path:
    """The same model with a fault."""
    proto = onnx.load(path)
    change(proto)
    onnx.save(proto, folder / "other.onnx")
    return folder / "other.onnx"


def weight_of(path: Path, layer: int) -> str:
    return str([n for n in onnx.load(path).graph.node if n.op_type in ("Conv", "Gemm")][layer].input[1])


@pytest.mark.parametrize(("layer", "limit"), [(1, 120), (3, 40)])
def test_a_fault_in_one_layer_becomes_a_handful_of_numbers(
    exported: Exported, tmp_path: Path, layer: int, limit: int
) -> None:
    path = exported("lenet5")
    other = planted(path, tmp_path, constant(weight_of(path, layer), lambda w: -w))
    found = verify(path, other, data=DATA, end_to_end=False)
    made = minimize(found, path, other, tmp_path / "small", data=DATA)
    assert made.cut
    assert made.after < limit < made.before
    assert len(onnx.load(tmp_path / "small" / "model.onnx").graph.node) == 1
    again = verify(
        tmp_path / "small" / "model.onnx",
        tmp_path / "small" / "other.onnx",
        data=str(tmp_path / "small" / "data.npz"),
    )
    assert again.defects
    assert sorted(f.name for f in (tmp_path / "small").iterdir()) == [
        "data.npz",
        "finding.json",
        "model.onnx",
        "other.onnx",
    ]


def test_the_command_line_writes_it_and_says_how_to_see_it_again(
    exported: Exported, run_cli: RunCli, tmp_path: Path
) -> None:
    path = exported("lenet5")
    other = planted(path, tmp_path, constant(weight_of(path, 0), lambda w: w[:, :, ::-1]))
    folder, page = tmp_path / "out", tmp_path / "page.html"
    done = run_cli("verify", path, other, "--data", DATA, "--minimize", folder, "--html", page, "--json")
    assert done.exit_code == 1, done.stderr
    region = next(r for r in json.loads(done.stdout)["regions"] if r["status"] == "defect")
    assert region["cause"]["kind"] == "kernel order"
    assert region["channel"] == region["worst"]["index"][1]
    assert 1 <= len(region["heat"]) <= 32
    facts = json.loads((folder / "finding.json").read_text())
    assert facts["command"] in done.stderr
    words = facts["command"].split()
    assert words[:2] == ["onnx-edge", "verify"]
    again = run_cli(*words[1:])
    assert again.exit_code == 1
    text = page.read_text()
    assert "Most likely cause" in text
    assert "kernel order" in text
    assert "absolute error" in text
    assert "http-equiv" in text
    assert "<script" not in text
    refused = run_cli("verify", path, other, "--data", DATA, "--minimize", folder)
    assert refused.exit_code == 2
    assert str(folder) in refused.stderr


def test_nothing_is_written_where_nothing_was_found(exported: Exported, tmp_path: Path) -> None:
    path = exported("lenet5")
    found = verify(path, data="mnist:test:1", end_to_end=False)
    with pytest.raises(UsageError, match="no finding"):
        minimize(found, path, None, tmp_path / "small", data="mnist:test:1")
    assert not (tmp_path / "small").exists()


def test_nothing_is_overwritten_and_nothing_half_written(exported: Exported, tmp_path: Path) -> None:
    path = exported("lenet5")
    other = planted(path, tmp_path, constant(weight_of(path, 4), lambda w: w * 2))
    found = verify(path, other, data=DATA, end_to_end=False)
    minimize(found, path, other, tmp_path / "small", data=DATA)
    with pytest.raises(OutputExistsError):
        minimize(found, path, other, tmp_path / "small", data=DATA)
    # The right model shows no finding, whatever the verdict that is handed in says.
    with pytest.raises(UsageError, match="nothing was written"):
        minimize(found, path, None, tmp_path / "new", data=DATA)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["other.onnx", "small"]


@pytest.mark.skipif(vnni(), reason="only x86 processors with AVX2 and without VNNI have the saturating kernels")
def test_saturation_of_the_runtime_is_named_and_minimized(tmp_path: Path) -> None:
    path = saturating(tmp_path / "m.onnx")
    np.savez(tmp_path / "bright.npz", x=np.full((2, 4, 3, 3), 255.0, np.float32))
    data = str(tmp_path / "bright.npz")
    found = verify(path, data=data)
    assert found.worst is not None
    assert found.worst.cause is not None
    assert found.worst.cause.kind == "saturation", found.worst.cause
    made = minimize(found, path, None, tmp_path / "small", data=data, options=Options())
    assert made.finding.status == "defect"
    again = verify(tmp_path / "small" / "model.onnx", data=str(tmp_path / "small" / "data.npz"))
    assert again.defects
    assert verify(tmp_path / "small" / "model.onnx", data=str(tmp_path / "small" / "data.npz"), exact_int8=True).ok


def test_a_piece_is_what_lies_between_two_tensors(exported: Exported) -> None:
    path = exported("lenet5")
    model = load(path)
    nodes = list(model.graph)
    inner, output = nodes[0].outputs[0], nodes[2].outputs[0]
    feeds = {str(inner.name): np.zeros((1, 6, 28, 28), np.float32)}
    piece = cut_out(model, feeds, str(output.name), 1, 4)
    assert piece is not None
    assert [n.op_type for n in piece.nodes] == [nodes[1].op_type, nodes[2].op_type]
    assert cut_out(model, {}, str(output.name), 1, 4) is None
    assert cut_out(model, feeds, "no such tensor", 1, 4) is None


def test_dimensions_that_belong_together_shrink_together() -> None:
    w, b = np.zeros((4, 3, 3, 3), np.float32), np.zeros(4, np.float32)
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], "c")
    x = helper.make_tensor_value_info("x", 1, [2, 3, 6, 5])
    y = helper.make_tensor_value_info("y", 1, [2, 4, 4, 3])
    graph = helper.make_graph([node], "g", [x], [y], [numpy_helper.from_array(w, "w"), numpy_helper.from_array(b, "b")])
    model = ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10))
    piece = cut_out(model, {"x": np.zeros((2, 3, 6, 5), np.float32)}, "y", 1, 4)
    assert piece is not None
    found = {name: ({k: axis for k, (axis, _) in s.kept.items()}, size) for name, s, size in dimensions(piece)}
    assert found["output channels of w"] == ({"w": 0, "b": 0}, 4)
    assert found["input channels of w"] == ({"w": 1, "x": 1}, 3)
    assert found["samples"] == ({"x": 0}, 2)
    assert found["axis 2"] == ({"x": 2}, 6)


def test_samples_at_hand_are_taken_as_they_are(exported: Exported, tmp_path: Path) -> None:
    path = exported("lenet5")
    other = planted(path, tmp_path, constant(weight_of(path, 2), lambda w: np.flip(w, 1)))
    given = samples(load(path), DATA)
    found = verify(path, other, data=given, end_to_end=False)
    made = minimize(found, path, other, tmp_path / "small", data=given)
    assert made.finding.worst is not None
