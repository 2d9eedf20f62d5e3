from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper

from models.errors import UnknownNameError
from tests.toolchain import digits
from toolchain.data import batch_of, input_of, labels_of, samples
from toolchain.errors import FileError, ShapeError, UsageError


def two_inputs() -> ir.Model:
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "index"], ["row"], axis=1)],
        "two",
        [
            helper.make_tensor_value_info("table", onnx.TensorProto.FLOAT, ["n", 4]),
            helper.make_tensor_value_info("index", onnx.TensorProto.INT64, ["n"]),
        ],
        [helper.make_tensor_value_info("row", onnx.TensorProto.FLOAT, ["n", None])],
    )
    return ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10))


def test_metadata_is_read() -> None:
    model = digits.model()
    assert input_of(model) == digits.INPUT
    assert labels_of(model) == digits.DIGITS
    assert batch_of(model) is None
    assert batch_of(digits.model(batch=4)) == 4
    bare = digits.model(metadata=False)
    assert input_of(bare) is None
    assert labels_of(bare) is None


@pytest.mark.parametrize("text", ["{", '{"version": 99}', "[]"])
def test_broken_metadata_is_a_file_error(text: str) -> None:
    model = digits.model()
    model.metadata_props["onnx_edge.input"] = text
    with pytest.raises(FileError, match=r"onnx_edge\.input"):
        input_of(model)
    model.metadata_props["onnx_edge.labels"] = text if text != "[]" else "[1]"
    with pytest.raises(FileError, match=r"onnx_edge\.labels"):
        labels_of(model)


def test_metadata_of_another_input_is_refused() -> None:
    model = digits.model()
    model.metadata_props["onnx_edge.input"] = digits.INPUT.to_json().replace('"image"', '"picture"')
    with pytest.raises(FileError, match="picture"):
        input_of(model)


def test_a_data_set_becomes_the_input() -> None:
    found = samples(digits.model(), "mnist:test:20")
    assert len(found) == 20
    assert found.tensor.shape == (20, 1, 28, 28)
    assert found.tensor.dtype == np.float32
    assert found.labels is not None
    assert sorted(set(found.labels.tolist())) == list(range(10))
    assert not np.allclose(found.tensor.mean(), 0.5)


@pytest.mark.parametrize("fixed", [True, False])
def test_batches_cover_each_sample_once(fixed: bool) -> None:
    found = samples(digits.model(), "mnist:test:10")
    parts = list(found.batches(4, fixed=fixed))
    assert [valid for valid, _ in parts] == [4, 4, 2]
    assert [len(feeds["image"]) for _, feeds in parts] == [4, 4, 4 if fixed else 2]
    joined = np.concatenate([feeds["image"][:valid] for valid, feeds in parts])
    np.testing.assert_array_equal(joined, found.tensor)


def test_labels_are_matched_by_name(tmp_path: Path) -> None:
    images = np.zeros((3, 1, 28, 28), np.uint8)
    path = tmp_path / "named.npz"
    np.savez(path, images=images, labels=np.array([0, 1, 2]), classes=np.array(["two", "one", "zero"]))
    names = ("zero", "one", "two", *map(str, range(3, 10)))
    found = samples(digits.model(labels=names), str(path))
    assert found.labels is not None
    assert found.labels.tolist() == [2, 1, 0]
    with pytest.raises(UsageError, match="class 'two'"):
        samples(digits.model(), str(path))


def test_numbers_as_classes_are_indices_of_named_labels(tmp_path: Path) -> None:
    path = tmp_path / "plain.npz"
    np.savez(path, images=np.zeros((2, 1, 28, 28), np.uint8), labels=np.array([3, 1]))
    found = samples(digits.model(labels=tuple("abcdefghij")), str(path))
    assert found.labels is not None
    assert found.labels.tolist() == [3, 1]


def test_other_classes_are_refused() -> None:
    with pytest.raises(UsageError, match=r"class '0'.*none of the model's labels"):
        samples(digits.model(labels=("0th", *map(str, range(1, 10)))), "mnist:test:4")


def test_unlabelled_data_has_no_labels(tmp_path: Path) -> None:
    path = tmp_path / "bare.npz"
    np.savez(path, images=np.zeros((2, 1, 28, 28), np.uint8), labels=np.array([-1, -1]), classes=digits.DIGITS)
    assert samples(digits.model(), str(path)).labels is None
    np.savez(path, images=np.zeros((2, 1, 28, 28), np.uint8), labels=np.array([-1, 3]), classes=digits.DIGITS)
    with pytest.raises(UsageError, match="1 of 2 pictures have no label"):
        samples(digits.model(), str(path))


def test_npz_of_the_graph_inputs(tmp_path: Path) -> None:
    path = tmp_path / "two.npz"
    table = np.arange(12, dtype=np.float32).reshape(3, 4)
    np.savez(path, table=table, index=np.array([0, 1, 2]), labels=np.array([1, 0, 1]))
    found = samples(two_inputs(), f"{path}:2")
    assert len(found) == 2
    np.testing.assert_array_equal(found.feeds(0, 2)["table"], table[:2])
    assert found.labels is not None
    assert found.labels.tolist() == [1, 0]
    with pytest.raises(UsageError, match="2 inputs"):
        _ = found.tensor


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"table": np.zeros((3, 5), np.float32), "index": np.zeros(3, np.int64)}, r"\[3, 5\], expected \[N, 4\]"),
        ({"table": np.zeros((3, 4)), "index": np.zeros(3, np.int64)}, "float64, expected float32"),
        ({"table": np.zeros((3, 4), np.float32), "index": np.zeros(2, np.int64)}, "different numbers"),
        ({"table": np.zeros((0, 4), np.float32), "index": np.zeros(0, np.int64)}, "N >= 1"),
        ({"table": np.zeros((3, 4), np.float32)}, "expected one for each graph input: table, index"),
        (
            {"table": np.zeros((1, 4), np.float32), "index": np.zeros(1, np.int64), "labels": np.array([0.5])},
            "'labels' is float64",
        ),
    ],
)
def test_npz_that_does_not_fit(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    path = tmp_path / "bad.npz"
    np.savez(path, **arrays)  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match=message):
        samples(two_inputs(), str(path))


def test_a_file_that_is_no_npz(tmp_path: Path) -> None:
    path = tmp_path / "broken.npz"
    path.write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(FileError, match="no readable"):
        samples(two_inputs(), str(path))


def test_synthetic_is_seeded_and_only_on_request() -> None:
    for model in (digits.model(), digits.model(metadata=False), two_inputs()):
        first, again, other = (samples(model, None, synthetic=3, seed=s) for s in (1, 1, 2))
        for name, array in first.feeds(0, 3).items():
            np.testing.assert_array_equal(array, again.feeds(0, 3)[name])
            assert not np.array_equal(array, other.feeds(0, 3)[name])
        assert first.labels is None
    with pytest.raises(UsageError, match="no data"):
        samples(digits.model(), None)
    with pytest.raises(UsageError, match="exclude each other"):
        samples(digits.model(), "mnist:test", synthetic=1)


def test_unknown_data_set_offers_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'mnist'"):
        samples(digits.model(), "mnits:test")


def test_data_for_a_model_without_metadata() -> None:
    with pytest.raises(UsageError, match=r"\.npz with the arrays image"):
        samples(digits.model(metadata=False), "mnist:test")
