"""``verify`` on trained networks: certified as they are, and caught when one side is changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.conftest import Exported, RunCli
from toolchain.errors import ShapeError, UnknownNameError, UsageError
from toolchain.verify import Verification, verify

pytest.importorskip("onnxruntime", reason="verify needs the extra `cpu`")

DATA = "mnist:test:6"
LEVELS = ("off", "basic", "extended", "all")


@pytest.mark.parametrize("optimization", LEVELS)
@pytest.mark.parametrize("net", ["lenet5", "example-cnn"])
def test_the_graph_that_runs_is_certified_at_every_optimisation_level(
    exported: Exported, net: str, optimization: str
) -> None:
    verdict = verify(exported(net), data=DATA, optimization=optimization)
    assert verdict.ok, [r.describe() for r in verdict.defects]
    assert not verdict.suspects
    assert not verdict.unobserved
    assert verdict.undisturbed
    assert verdict.end_to_end is not None
    assert verdict.end_to_end.agree == verdict.samples == 6
    covered = {node for region in verdict.regions for node in region.nodes}
    assert covered == {node.name for node in onnx.load(exported(net)).graph.node}
    # A certificate of nothing would be green too: rounding is there, and well inside its limits.
    assert any(0.0 < region.sound_ratio <= 1.0 for region in verdict.regions)
    assert sum(region.differing for region in verdict.regions) > 0


def test_full_optimisation_really_judges_fused_and_blocked_nodes(exported: Exported) -> None:
    verdict = verify(exported("example-cnn"), data=DATA, optimization="all")
    assert any(len(region.nodes) > 1 for region in verdict.regions)
    assert any("nchwc" in operator for operator in verdict.running)


def test_a_model_with_a_dynamic_batch_is_judged_in_batches(exported: Exported) -> None:
    verdict = verify(exported("example-cnn", batch="dynamic"), data="mnist:test:20")
    assert verdict.ok, [r.describe() for r in verdict.defects]
    assert verdict.samples == 20


def changed(path: Path, folder: Path, change: Callable[[onnx.ModelProto], None]) -> Path:
    model = onnx.load(path)
    change(model)
    target = folder / "changed.onnx"
    onnx.save(model, target)
    return target


def weighted(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    return [node for node in model.graph.node if node.op_type in ("Conv", "Gemm")]


def change_weight(layer: int, factor: float) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        name = weighted(model)[layer].input[1]
        (tensor,) = (t for t in model.graph.initializer if t.name == name)
        array = numpy_helper.to_array(tensor).copy()
        position = np.abs(array).argmax()
        array.flat[position] *= factor
        tensor.CopyFrom(numpy_helper.from_array(array, name))

    return change


def change_attribute(layer: int, name: str, value: list[int]) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        node = weighted(model)[layer]
        kept = [attribute for attribute in node.attribute if attribute.name != name]
        del node.attribute[:]
        node.attribute.extend([*kept, onnx.helper.make_attribute(name, value)])

    return change


def named(path: Path, layer: int) -> str:
    return weighted(onnx.load(path))[layer].name


def defect(verdict: Verification) -> str:
    assert not verdict.ok
    assert verdict.worst is not None
    return verdict.worst.nodes[0]


@pytest.mark.parametrize("optimization", ["off", "all"])
@pytest.mark.parametrize("net", ["lenet5", "example-cnn"])
@pytest.mark.parametrize("layer", [0, 1, 2, 3])
def test_a_changed_weight_names_its_node(
    exported: Exported, tmp_path: Path, net: str, layer: int, optimization: str
) -> None:
    path = exported(net)
    other = changed(path, tmp_path, change_weight(layer, 1.01))
    verdict = verify(path, other, data=DATA, optimization=optimization, end_to_end=False)
    assert defect(verdict) == named(path, layer)
    assert len(verdict.defects) == 1, "nodes behind the fault are judged on the backend's own inputs"


@pytest.mark.parametrize("optimization", ["off", "all"])
def test_pads_moved_to_one_side_name_the_node(exported: Exported, tmp_path: Path, optimization: str) -> None:
    path = exported("example-cnn")
    other = changed(path, tmp_path, change_attribute(1, "pads", [0, 1, 2, 1]))
    verdict = verify(path, other, data=DATA, optimization=optimization, end_to_end=False)
    assert defect(verdict) == named(path, 1)


@pytest.mark.parametrize(("net", "layer"), [("lenet5", 0), ("lenet5", 1), ("example-cnn", 0), ("example-cnn", 2)])
@pytest.mark.parametrize("optimization", ["off", "all"])
def test_a_changed_stride_names_the_node_even_where_the_graph_stops(
    exported: Exported, tmp_path: Path, net: str, layer: int, optimization: str
) -> None:
    path = exported(net)
    other = changed(path, tmp_path, change_attribute(layer, "strides", [2, 2]))
    verdict = verify(path, other, data=DATA, optimization=optimization, end_to_end=False)
    assert defect(verdict) == named(path, layer)
    assert verdict.worst is not None
    assert "shape" in verdict.worst.problem


def test_command_line_certifies(exported: Exported, run_cli: RunCli) -> None:
    done = run_cli("verify", exported("lenet5"), "--data", DATA, "--json")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["version"] == 1
    assert found["ok"] is True
    assert {region["status"] for region in found["regions"]} == {"ok"}


def test_command_line_names_the_changed_node_and_exits_1(exported: Exported, run_cli: RunCli, tmp_path: Path) -> None:
    path = exported("lenet5")
    other = changed(path, tmp_path, change_weight(1, 1.01))
    done = run_cli("verify", path, other, "--data", DATA)
    assert done.exit_code == 1
    assert named(path, 1) in (done.stdout + done.stderr).strip().splitlines()[-1]


def test_unknown_names_offer_the_nearest(exported: Exported) -> None:
    with pytest.raises(UnknownNameError, match="'ort-cpu'"):
        verify(exported("lenet5"), data=DATA, backend="ort-cpus")
    with pytest.raises(UnknownNameError, match="'extended'"):
        verify(exported("lenet5"), data=DATA, optimization="extendet")


def test_no_data_is_a_usage_error_not_random_data(exported: Exported) -> None:
    with pytest.raises(UsageError, match="--synthetic"):
        verify(exported("lenet5"))


def test_arrays_of_a_wrong_shape_are_refused(exported: Exported, tmp_path: Path) -> None:
    name = onnx.load(exported("lenet5")).graph.input[0].name
    np.savez(tmp_path / "wrong.npz", **{name: np.zeros((2, 1, 28, 28), np.float32)})
    with pytest.raises(ShapeError, match=r"28"):
        verify(exported("lenet5"), data=str(tmp_path / "wrong.npz"))
