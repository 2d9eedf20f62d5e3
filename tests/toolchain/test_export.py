"""export: names, metadata, repeatability, and no file where the verdict is not good."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from models.inputs import ImageInput
from tests.conftest import ROOT
from toolchain import errors
from toolchain.cli.main import main
from toolchain.exported import Exported
from toolchain.load import load
from toolchain.reference import Reference

torch = pytest.importorskip("torch", reason="exporting needs the extra `train`")

export_module = importlib.import_module("toolchain.export")
export = export_module.export

USERS = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.lrn = nn.LocalResponseNorm(3)
        self.even = nn.LocalResponseNorm(2)
        self.head = nn.Linear(6, 4)
    def forward(self, image):
        maps = torch.relu(self.norm(self.conv(image))) * 0.1
        return self.head(self.even(self.lrn(maps)).mean((2, 3)))

class Pooled(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(6, 4)
    def forward(self, image):
        return self.head(self.pool(self.conv(image)).flatten(1))

class TwoOutputs(Net):
    def forward(self, image):
        scores = super().forward(image)
        return scores, scores + 1

class Branches(Net):
    def forward(self, image):
        return super().forward(image) if image.sum() > 0 else self.head(image.mean((2, 3)))
"""


@pytest.fixture(scope="module")
def lenet(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    result: Exported = export("lenet5", seed=3, output=tmp_path_factory.mktemp("export") / "lenet.onnx")
    return result


@pytest.fixture
def users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "users_net.py").write_text(USERS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "users_net", raising=False)


def test_nodes_and_tensors_bear_the_modules_names(lenet: Exported) -> None:
    graph = load(lenet.output).graph
    names = [node.name for node in graph]
    layers = ["c1", "c1_activation", "s2", "c3", "c3_activation", "s4", "c5", "c5_activation"]
    assert names == [*layers, "flatten", "f6", "f6_activation", "output"]
    assert [node.outputs[0].name for node in graph] == [*names[:-1], "logits"]
    assert {"c1.weight", "c1.bias", "output.weight"} <= set(graph.initializers)


def test_the_file_says_what_its_user_must_know(lenet: Exported) -> None:
    model = load(lenet.output)
    facts = dict(model.metadata_props)
    described = ImageInput.from_json(facts["onnx_edge.input"])
    assert described.shape == (1, 32, 32)
    assert json.loads(facts["onnx_edge.labels"]) == list("0123456789")
    assert facts["onnx_edge.network"] == "lenet5"
    assert facts["onnx_edge.seed"] == "3"
    assert [value.name for value in model.graph.inputs] == ["image"]
    assert model.ir_version == 10
    assert model.opset_imports == {"": 20}


def test_nothing_of_the_machine_is_in_the_file(lenet: Exported) -> None:
    content = lenet.output.read_bytes()
    for word in (b"pkg.", b".py", b"stack", b"File ", str(ROOT).encode(), b"namespace"):
        assert word not in content
    onnx.checker.check_model(str(lenet.output), full_check=True)


def test_the_result_says_what_was_judged(lenet: Exported) -> None:
    assert lenet.parameters == 61_706
    assert lenet.agreement.ok
    assert lenet.agreement.difference < lenet.agreement.float32_error / 1e6
    assert 0 < lenet.worst_ratio <= 1
    assert lenet.judged >= 8
    assert lenet.size == lenet.output.stat().st_size
    json.dumps(lenet.to_dict(), allow_nan=False)


@pytest.mark.parametrize("hash_seed", ["0", "4242"])
def test_repeated_elsewhere_it_has_the_same_bytes(lenet: Exported, tmp_path: Path, hash_seed: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "toolchain.cli.main", "export", "lenet5", "--seed", "3", "-o", "again.onnx"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": hash_seed, "OMP_NUM_THREADS": "1", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert lenet.sha256 in done.stdout
    assert (tmp_path / "again.onnx").read_bytes() == lenet.output.read_bytes()


def test_a_dynamic_batch_takes_any(tmp_path: Path) -> None:
    result = export("example-cnn", seed=0, output=tmp_path / "m.onnx", batch="dynamic")
    model = load(result.output)
    assert [str(d) for d in model.graph.inputs[0].shape or ()] == ["N", "1", "28", "28"]
    for count in (1, 5):
        scores = Reference(model).run({"image": np.zeros((count, 1, 28, 28), np.float32)})["logits"]
        assert scores.shape == (count, 10)


def test_a_users_own_network_in_a_fixed_batch(users: None, tmp_path: Path) -> None:
    result = export(
        "users_net:Net", seed=1, output=tmp_path / "m.onnx", batch=4, opset=21, shape=(3, 10, 12), mean=(0.5,) * 3
    )
    model = load(result.output)
    assert model.opset_imports == {"": 21}
    assert list(model.graph.inputs[0].shape or ()) == [4, 3, 10, 12]
    kinds = {node.name: node.op_type for node in model.graph}
    assert kinds["norm"] == "Conv", "the batch normalisation is folded into the convolution before it"
    assert kinds["lrn"] == "LRN"
    assert [name for name in kinds if name.startswith("even/")], "PyTorch centres even windows differently"
    described = ImageInput.from_json(model.metadata_props["onnx_edge.input"])
    assert (described.mean, described.std, described.color) == ((0.5,) * 3, (1.0,) * 3, "rgb")
    assert len(json.loads(model.metadata_props["onnx_edge.labels"])) == 4


def test_a_mean_over_the_picture_is_a_global_pool(users: None, tmp_path: Path) -> None:
    """AdaptiveAvgPool2d(1), which PyTorch takes apart; quantizers and runtimes know the pool."""
    pooled = load(export("users_net:Pooled", seed=1, output=tmp_path / "p.onnx", shape=(3, 10, 12)).output)
    assert [node.op_type for node in pooled.graph] == ["Conv", "GlobalAveragePool", "Reshape", "Gemm"]
    assert "pool" in {node.name for node in pooled.graph}
    assert len(pooled.graph.initializers) == 5
    kinds = [
        node.op_type
        for node in load(
            export("users_net:Net", seed=1, output=str(tmp_path / "n.onnx"), shape=(3, 10, 12)).output
        ).graph
    ]
    assert "ReduceMean" in kinds, "without the axes that it is over it is no pool"


def test_what_pytorch_cannot_export_is_one_line(users: None, tmp_path: Path) -> None:
    for name, word in (("TwoOutputs", "2 outputs"), ("Branches", "cannot export")):
        with pytest.raises(errors.UnsupportedError, match=word) as caught:
            export(f"users_net:{name}", seed=0, output=tmp_path / "m.onnx", shape=(3, 8, 8), labels="abcd")
        assert "\n" not in str(caught.value)
    assert list(tmp_path.glob("*.onnx")) == []


def test_a_graph_that_is_not_the_network_fails_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = export_module._describe

    def damaged(model: ir.Model, *rest: object) -> None:
        original(model, *rest)
        bias = model.graph.initializers["conv1.bias"]
        assert bias.const_value is not None
        wrong = bias.const_value.numpy().copy()
        wrong[0] += 1e-3
        bias.const_value = ir.tensor(wrong, name=bias.name)

    monkeypatch.setattr(export_module, "_describe", damaged)
    with pytest.raises(errors.GateFailedError, match=r"node 'dense'.*no file was written"):
        export("example-cnn", seed=0, output=tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_runtime_that_is_wrong_fails_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from toolchain.session import Session

    original = Session.run

    def wrong(self: Session, *arguments: object, **options: object) -> dict[str, np.ndarray]:
        results = original(self, *arguments, **options)  # type: ignore[arg-type]
        return {name: array if name == "logits" else array + np.float32(0.01) for name, array in results.items()}

    monkeypatch.setattr(Session, "run", wrong)
    with pytest.raises(errors.GateFailedError, match=r"conv1.*no file was written"):
        export("example-cnn", seed=0, output=tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"opset": 19}, "20 to"),
        ({"opset": 999}, "20 to"),
        ({"batch": 0}, "batch is 0"),
        ({"batch": 65_537}, "expected a number from 1 to 65,536"),
        ({"batch": "two"}, "batch is 'two'"),
        ({"seed": 0, "weights": Path("w.safetensors")}, "exclude"),
        ({"seed": 0, "shape": (2, 8, 8)}, "channels"),
        ({"seed": 0, "mean": (0.1, 0.2)}, "mean and std"),
    ],
)
def test_arguments_that_make_no_sense(tmp_path: Path, options: dict[str, object], word: str) -> None:
    with pytest.raises(errors.UsageError, match=word):
        export("lenet5", output=tmp_path / "m.onnx", **options)


def test_labels_must_fit_the_outputs(tmp_path: Path) -> None:
    with pytest.raises(errors.UsageError, match="10 outputs and 2 labels"):
        export("example-cnn", seed=0, output=tmp_path / "m.onnx", labels=("yes", "no"))


def test_bad_input_through_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pickle, broken, taken = tmp_path / "w.pth", tmp_path / "w.safetensors", tmp_path / "taken.onnx"
    for path in (pickle, broken, taken):
        path.write_bytes(b"not what its name says")
    target = tmp_path / "m.onnx"
    for arguments, code, word in (
        (("lenet6", "-o", target), 2, "did you mean 'lenet5'"),
        (("lenet5", "--seed", 0, "-o", taken), 2, "--force"),
        (("lenet5", "--weights", tmp_path / "none.safetensors", "-o", target), 5, "none.safetensors"),
        (("lenet5", "--weights", broken, "-o", target), 5, "w.safetensors"),
        (("lenet5", "--weights", pickle, "-o", target), 6, "--trust-pickle"),
        (("lenet5", "--seed", 0, "-o", tmp_path / "no" / "m.onnx"), 5, "does not exist"),
    ):
        assert main(["export", *map(str, arguments)]) == code
        shown = capsys.readouterr()
        assert shown.out == ""
        assert word in shown.err
        assert shown.err.count("\n") == 1
    assert not target.exists()
    assert taken.read_bytes() == b"not what its name says"
