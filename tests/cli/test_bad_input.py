"""What users get wrong, through the command line: one line that names it, the exit code, nothing left behind."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import safetensors.numpy
from onnx import TensorProto, helper

from models import datasets
from tests.cli.conftest import Refused
from toolchain.cli.main import main
from toolchain.shapes import MAX_TENSOR_BYTES

WEIGHTS = datasets.MNIST_FOLDER.parents[1] / "weights"


def save(path: Path, *nodes: onnx.NodeProto, shape: tuple[int | str, ...] = (1, 4), opset: int = 20) -> Path:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["a", "b"])],
    )
    path.write_bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10).SerializeToString()
    )
    return path


# Weights


@pytest.mark.parametrize("verb", ["export", "evaluate"])
@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("missing.safetensors", "do not exist"),
        ("junk.safetensors", "no readable .safetensors"),
        ("cut.safetensors", "no readable .safetensors"),
        ("other.safetensors", "holds no weights of lenet5"),
        ("nan.safetensors", "c1.bias holds values that are not finite"),
    ],
)
def test_missing_and_corrupt_weights_are_exit_5(refused: Refused, here: Path, verb: str, name: str, word: str) -> None:
    pytest.importorskip("torch", reason="weights are read by the extra `train`")
    good = (WEIGHTS / "lenet5.safetensors").read_bytes()
    (here / "junk.safetensors").write_bytes(b"no weights")
    (here / "cut.safetensors").write_bytes(good[: len(good) // 2])
    shutil.copy(WEIGHTS / "example-cnn.safetensors", here / "other.safetensors")
    state = safetensors.numpy.load(good)
    state["c1.bias"][0] = np.nan
    safetensors.numpy.save_file(state, here / "nan.safetensors")
    if verb == "export":
        outcome = refused("export", "lenet5", "--weights", name, "-o", "e.onnx")
    else:
        outcome = refused("evaluate", name, "--net", "lenet5", "--data", "mnist:test:8")
    assert outcome.code == 5
    assert name in outcome.line
    assert word in outcome.line


def test_a_network_without_weights_is_exit_5(refused: Refused) -> None:
    pytest.importorskip("torch", reason="exporting needs the extra `train`")
    outcome = refused("export", "alexnet", "-o", "e.onnx")
    assert outcome.code == 5
    assert "no weights for alexnet" in outcome.line


# Data


def mnist_copy(folder: Path) -> Path:
    copy = folder / "mnist"
    copy.mkdir()
    for file in datasets.MNIST_FILES["test"]:
        shutil.copy(datasets.MNIST_FOLDER / f"{file.name}.gz", copy)
    return copy


@pytest.mark.parametrize("damage", ["changed", "cut", "missing"])
@pytest.mark.parametrize("verb", ["verify", "evaluate", "bundle"])
def test_damaged_data_is_exit_5(
    refused: Refused, here: Path, monkeypatch: pytest.MonkeyPatch, verb: str, damage: str
) -> None:
    folder = mnist_copy(here)
    labels = folder / "t10k-labels-idx1-ubyte.gz"
    if damage == "changed":
        content = bytearray(gzip.decompress(labels.read_bytes()))
        content[100] = (content[100] + 1) % 10
        labels.write_bytes(gzip.compress(bytes(content), 1))
    elif damage == "cut":
        labels.write_bytes(labels.read_bytes()[:1000])
    else:
        labels.unlink()
    monkeypatch.setattr(datasets, "MNIST_FOLDER", folder)
    outcome = refused(verb, "digits.onnx", *(["-o", "b"] if verb == "bundle" else []), "--data", "mnist:test:4")
    assert outcome.code == 5
    assert labels.name in outcome.line
    assert {"changed": "md5", "cut": "truncated", "missing": "does not exist"}[damage] in outcome.line


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (("verify", "--data", "mnits:test"), 2, "did you mean 'mnist'?"),
        (("verify", "--data", "mnist:tset"), 2, "did you mean 'test'?"),
        (("evaluate", "--data", "mnist:test:0"), 2, "positive whole number"),
        (("evaluate", "--data", "mnist:test:10001"), 2, "it has 10000"),
        (("evaluate", "--data", "none.npz"), 5, "none.npz does not exist"),
        (("evaluate", "--data", "junk.npz"), 5, "no readable .npz"),
        (("benchmark",), 2, "no data"),
        (("benchmark", "--data", "mnist:test:4", "--synthetic", "4"), 2, "exclude each other"),
        (("verify", "--synthetic", "99999999999999999999"), 2, "is not in the range"),
        (("verify", "--synthetic", "2", "--threads", "99999999999"), 2, "is not in the range"),
    ],
)
def test_data_that_does_not_exist(
    refused: Refused, here: Path, arguments: tuple[str, ...], code: int, word: str
) -> None:
    (here / "junk.npz").write_bytes(b"PK\3\4 and then nothing")
    verb, *rest = arguments
    outcome = refused(verb, "digits.onnx", *rest)
    assert outcome.code == code
    assert word in outcome.line


@pytest.mark.parametrize(
    ("array", "code", "word"),
    [
        (np.zeros((4, 3, 28, 28), np.float32), 2, "shape [4, 3, 28, 28], expected [N, 1, 28, 28]"),
        (np.zeros((4, 1, 28, 27), np.float32), 2, "expected [N, 1, 28, 28]"),
        (np.zeros((0, 1, 28, 28), np.float32), 2, "N >= 1"),
        (np.zeros((4, 1, 28, 28)), 2, "float64, expected float32"),
        (np.full((4, 1, 28, 28), np.nan, np.float32), 5, "NaN"),
    ],
)
@pytest.mark.parametrize("verb", ["verify", "evaluate", "benchmark"])
def test_data_of_the_wrong_shape_type_or_value(
    refused: Refused, verb: str, array: np.ndarray, code: int, word: str
) -> None:
    np.savez("x.npz", image=array, labels=np.zeros(len(array), np.int64))
    outcome = refused(verb, "digits.onnx", "--data", "x.npz")
    assert outcome.code == code
    assert word in outcome.line


def test_scores_that_are_no_numbers_are_exit_5(refused: Refused, here: Path) -> None:
    save(here / "log.onnx", helper.make_node("Log", ["x"], ["y"], "log"), shape=("N", 4))
    np.savez("x.npz", x=-np.ones((3, 4), np.float32), labels=np.zeros(3, np.int64))
    outcome = refused("evaluate", "log.onnx", "--data", "x.npz")
    assert outcome.code == 5
    assert "12 of 12 scores are NaN" in outcome.line


# Models


@pytest.mark.parametrize("verb", ["inspect", "verify", "quantize", "evaluate", "predict", "benchmark", "bundle"])
@pytest.mark.parametrize("content", ["empty", "text", "cut", "missing", "folder"])
def test_files_that_are_no_models_are_exit_5(refused: Refused, here: Path, verb: str, content: str) -> None:
    path = here / "bad.onnx"
    if content == "folder":
        path.mkdir()
    elif content != "missing":
        good = (here / "digits.onnx").read_bytes()
        path.write_bytes({"empty": b"", "text": b"no model at all\n" * 9, "cut": good[: len(good) // 2]}[content])
    rest = {
        "inspect": [],
        "quantize": ["-o", "q.onnx", "--calibrate", "mnist:train:8"],
        "predict": ["picture.png"],
        "bundle": ["-o", "b", "--synthetic", "1"],
    }.get(verb, ["--data", "mnist:test:4"])
    outcome = refused(verb, "bad.onnx", *rest)
    assert outcome.code == 5
    assert "bad.onnx" in outcome.line


def test_an_unsupported_operator_is_named_with_node_and_opset(refused: Refused, here: Path) -> None:
    save(here / "e.onnx", helper.make_node("Einsum", ["x"], ["y"], "sum_up", equation="ij->ij"))
    outcome = refused("verify", "e.onnx", "--synthetic", "1")
    assert outcome.code == 5
    assert "'sum_up' (Einsum-12)" in outcome.line


def test_inspect_lists_an_unsupported_operator_and_goes_on(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(here / "e.onnx", helper.make_node("Einsum", ["x"], ["y"], "sum_up", equation="ij->ij"))
    assert main(["inspect", "e.onnx"]) == 0
    assert "not supported: node 'sum_up' (Einsum-12)" in capsys.readouterr().out


def test_text_that_is_not_utf8_is_exit_5(refused: Refused, here: Path) -> None:
    content = save(here / "t.onnx", helper.make_node("Relu", ["x"], ["y"], "node_name")).read_bytes()
    (here / "t.onnx").write_bytes(content.replace(b"node_name", b"node\xffname"))
    for verb in ("inspect", "verify"):
        outcome = refused(verb, "t.onnx", *(["--synthetic", "1"] if verb == "verify" else []))
        assert outcome.code == 5
        assert "not UTF-8" in outcome.line


def test_a_small_file_that_asks_for_an_enormous_tensor_is_exit_6(refused: Refused, here: Path) -> None:
    size = MAX_TENSOR_BYTES // 4 + 1
    shape = helper.make_node("Constant", [], ["s"], value_ints=[1, size])
    save(here / "large.onnx", shape, helper.make_node("Expand", ["x", "s"], ["y"], "grow"), shape=(1, 1))
    outcome = refused("inspect", "large.onnx")
    assert outcome.code == 6
    assert "'grow' (Expand-13)" in outcome.line


@pytest.mark.parametrize("shape", ["1,1,30,30", "1,28,28", "imgae=1,1,28,28", "1,1,28,-1"])
def test_a_wrong_input_shape_is_exit_2(refused: Refused, shape: str) -> None:
    outcome = refused("inspect", "digits.onnx", "--shape", shape)
    assert outcome.code == 2
    assert "image" in outcome.line


# Names


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("export", "lenet6", "-o", "e.onnx"), "unknown network 'lenet6'; did you mean 'lenet5'?"),
        (("train", "exmple-cnn"), "did you mean 'example-cnn'?"),
        (("evaluate", "w.safetensors", "--net", "vgg61", "--data", "mnist:test:4"), "did you mean 'vgg16'?"),
        (("export", "no_such_package:net", "-o", "e.onnx"), "no_such_package"),
        (("evaluate", "digits.onnx", "--data", "mnist:test:4", "--provider", "cdua"), "did you mean 'cuda'?"),
        (("benchmark", "digits.onnx", "--synthetic", "4", "--provider", "cpu,cdua"), "did you mean 'cuda'?"),
        (("verify", "digits.onnx", "--synthetic", "4", "--backend", "ort-cup"), "did you mean 'ort-cpu'?"),
        (("complie", "digits.onnx"), "No such command 'complie'"),
    ],
)
def test_unknown_names_are_exit_2_with_the_nearest(refused: Refused, arguments: tuple[str, ...], word: str) -> None:
    if arguments[0] in ("export", "evaluate") and "digits.onnx" not in arguments:
        pytest.importorskip("torch", reason="exporting needs the extra `train`")
    outcome = refused(*arguments)
    assert outcome.code == 2
    assert word in outcome.line


@pytest.mark.parametrize("verb", ["evaluate", "benchmark", "verify"])
def test_a_provider_that_is_not_installed_is_exit_3(refused: Refused, verb: str) -> None:
    asked = ("--backend", "ort-openvino") if verb == "verify" else ("--provider", "qnn")
    outcome = refused(verb, "digits.onnx", "--data", "mnist:test:4", *asked)
    assert outcome.code in (2, 3)  # verify judges a closed list of backends
    assert outcome.code == (2 if verb == "verify" else 3)
    assert asked[1] in outcome.line


@pytest.mark.parametrize("option", ["--mean", "--std"])
@pytest.mark.parametrize("value", ["nan", "inf", "x"])
def test_a_normalisation_that_is_no_number_is_exit_2(refused: Refused, option: str, value: str) -> None:
    pytest.importorskip("torch", reason="exporting needs the extra `train`")
    assert refused("export", "lenet5", option, value, "-o", "e.onnx").code == 2


def test_labels_in_another_encoding_are_exit_5(refused: Refused, here: Path) -> None:
    (here / "labels.txt").write_bytes("é\n".encode("latin-1"))
    outcome = refused("export", "lenet5", "--labels", "labels.txt", "-o", "e.onnx")
    assert outcome.code == 5
    assert "labels.txt is no text in UTF-8" in outcome.line
