from __future__ import annotations

import gzip
import hashlib
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from models import cifar, datasets, idx, zoo
from models.errors import ChecksumError, DataFileError, DownloadError, UnknownNameError, UsageError
from tests.models.test_data_files import cifar_archive, idx_bytes


def test_mnist_splits() -> None:
    train, validation, test = (datasets.load(f"mnist:{split}") for split in datasets.SPLITS)
    assert [len(part.images) for part in (train, validation, test)] == [55_000, 5_000, 10_000]
    assert train.images.shape[1:] == (1, 28, 28)
    assert train.images.dtype == np.uint8
    assert train.labels.dtype == np.int64
    assert train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert train.classes == tuple("0123456789")
    assert (test.name, test.split) == ("mnist", "test")
    parts = [{image.tobytes() for image in part.images} for part in (train, validation, test)]
    assert not parts[0] & parts[1]
    assert not parts[0] & parts[2]
    assert not parts[1] & parts[2]
    whole = idx.read(datasets.MNIST_FOLDER / "train-images-idx3-ubyte.gz", (60_000, 28, 28))
    np.testing.assert_array_equal(np.concatenate([train.images, validation.images])[:, 0], whole)


def test_a_count_takes_few_pictures_of_every_class() -> None:
    whole = datasets.load("mnist:test")
    few, more = datasets.load("mnist:test:25"), datasets.load("mnist:test:64")
    np.testing.assert_array_equal(more.images[:25], few.images)
    counts = np.bincount(few.labels, minlength=10)
    assert set(counts.tolist()) == {2, 3}
    own = {(image.tobytes(), label) for image, label in zip(whole.images, whole.labels, strict=True)}
    assert {(image.tobytes(), label) for image, label in zip(few.images, few.labels, strict=True)} <= own
    everything = datasets.load("mnist:test:10000")
    assert np.bincount(everything.labels).tolist() == np.bincount(whole.labels).tolist()


def test_the_balanced_order_is_a_fixed_permutation() -> None:
    labels = np.array([1, 1, 1, 0, 2, 1, 0, 1], np.int64)
    order = datasets.balanced_order(labels)
    assert sorted(order.tolist()) == list(range(8))
    assert labels[order].tolist() == [0, 1, 2, 0, 1, 1, 1, 1]
    assert order.tolist() == datasets.balanced_order(labels).tolist()
    assert datasets.load("mnist:train:10").labels.tolist() == list(range(10))
    assert datasets.balanced_order(np.arange(0)).tolist() == []
    plain = datasets.balanced_order(np.full(1000, -1, np.int64))
    assert sorted(plain.tolist()) == list(range(1000))
    assert plain.tolist() != list(range(1000))


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("mnis:test", UnknownNameError, "did you mean 'mnist'?"),
        ("mnist:tset", UnknownNameError, "did you mean 'test'?"),
        ("mnist", UsageError, "expected NAME:SPLIT[:COUNT]"),
        ("mnist:test:1:2", UsageError, "expected NAME:SPLIT[:COUNT]"),
        ("mnist:test:0", UsageError, "the count is '0'"),
        ("mnist:test:-3", UsageError, "the count is '-3'"),
        ("mnist:test:two", UsageError, "the count is 'two'"),
        ("mnist:test:٣", UsageError, "the count is '٣'"),
        ("mnist:test:", UsageError, "the count is ''"),
        ("mnist:test:10001", UsageError, "10001 pictures asked for, it has 10000"),
        ("no/such/folder", DataFileError, "does not exist"),
        ("none.npz", DataFileError, "does not exist"),
        ("", UnknownNameError, "unknown data set ''"),
    ],
)
def test_bad_names(spec: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)) as caught:
        datasets.load(spec)
    assert "\n" not in str(caught.value)


def test_pictures_are_converted_to_the_networks_input() -> None:
    plain = datasets.load("mnist:test:5")
    same = datasets.load("mnist:test:5", input=zoo.get("lenet5").input)
    np.testing.assert_array_equal(plain.images, same.images)
    large = datasets.load("mnist:test:5", input=zoo.get("alexnet").input)
    assert large.images.shape == (5, 3, 227, 227)
    np.testing.assert_array_equal(large.images[:, 0], large.images[:, 2])


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache, and a home of Fashion-MNIST that is an empty folder."""
    cache, home = tmp_path / "cache", tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.delenv("ONNX_EDGE_DATA", raising=False)
    monkeypatch.setattr(datasets, "DEBIAN_FASHION_FOLDER", tmp_path / "no-debian")
    monkeypatch.setattr(datasets, "FASHION_URL", home.as_uri() + "/")
    monkeypatch.setattr(cifar, "URL", home.as_uri() + "/cifar-10-binary.tar.gz")
    return home


@pytest.fixture
def fashion(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """A made-up Fashion-MNIST of 30 pictures, its checksums in place of the true ones."""
    images = np.random.default_rng(1).integers(0, 256, (30, 28, 28), np.uint8)
    arrays = {"t10k-images-idx3-ubyte": images, "t10k-labels-idx1-ubyte": np.arange(30, dtype=np.uint8) % 10}
    packed = {name: gzip.compress(idx_bytes(array)) for name, array in arrays.items()}

    def md5(data: bytes) -> str:
        return hashlib.md5(data, usedforsecurity=False).hexdigest()

    files = tuple(
        datasets.IdxFile(name, array.shape, md5(idx_bytes(array)), md5(packed[name]), len(packed[name]))
        for name, array in arrays.items()
    )
    monkeypatch.setitem(datasets.FASHION_FILES, "test", files)
    return packed


def test_fashion_mnist_is_looked_for_and_then_downloaded(
    no_network: Path, fashion: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DownloadError, match="put the file at"):
        datasets.load("fashion-mnist:test")
    assert not list((tmp_path / "cache").rglob("*.gz*"))
    for name, data in fashion.items():
        (no_network / f"{name}.gz").write_bytes(data)
    downloaded = datasets.load("fashion-mnist:test")
    assert downloaded.labels.tolist() == [label % 10 for label in range(30)]
    assert downloaded.classes[0] == "T-shirt/top"
    assert len(list((tmp_path / "cache" / "onnx-edge" / "fashion-mnist").iterdir())) == 2
    shutil.rmtree(no_network)
    np.testing.assert_array_equal(datasets.load("fashion-mnist:test").images, downloaded.images)
    (tmp_path / "cache" / "onnx-edge").rename(tmp_path / "mine")
    folder = tmp_path / "mine" / "fashion-mnist"
    np.testing.assert_array_equal(datasets.load("fashion-mnist:test", folder=folder).images, downloaded.images)
    for name in (folder, folder.parent):
        monkeypatch.setenv("ONNX_EDGE_DATA", str(name))
        np.testing.assert_array_equal(datasets.load("fashion-mnist:test").images, downloaded.images)
    with pytest.raises(DataFileError, match="holds no t10k-images"):
        datasets.load("fashion-mnist:test", folder=tmp_path)


def test_fashion_mnist_of_debian() -> None:
    if not datasets.DEBIAN_FASHION_FOLDER.is_dir():
        pytest.skip("the Debian package dataset-fashion-mnist is not installed")
    train, validation, test = (datasets.load(f"fashion-mnist:{split}") for split in datasets.SPLITS)
    assert [len(part.images) for part in (train, validation, test)] == [55_000, 5_000, 10_000]
    assert test.labels[:5].tolist() == [9, 2, 1, 1, 6]
    assert np.bincount(test.labels).tolist() == [1000] * 10


def test_cifar_splits(no_network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DownloadError, match="cifar-10-binary"):
        datasets.load("cifar10:train")
    records = 110
    monkeypatch.setattr(datasets, "VALIDATION_COUNT", 50)
    rng = np.random.default_rng(3)
    batches = rng.integers(0, 10, (6, records, cifar.RECORD_BYTES), np.uint8)
    archive = cifar_archive(
        tmp_path / "cifar-10-binary.tar.gz",
        dict(zip(cifar.TRAIN_MEMBERS + cifar.TEST_MEMBERS, map(bytes, batches), strict=True)),
    )
    read = cifar.read
    monkeypatch.setattr(cifar, "read", lambda path, members: read(path, members, records=records))
    with pytest.raises(ChecksumError):
        datasets.load("cifar10:test", folder=tmp_path)
    monkeypatch.setattr(cifar, "MD5", hashlib.md5(archive.read_bytes(), usedforsecurity=False).hexdigest())
    train, validation, test = (datasets.load(f"cifar10:{s}", folder=tmp_path) for s in datasets.SPLITS)
    assert [len(part.labels) for part in (train, validation, test)] == [500, 50, 110]
    assert test.classes[0] == "airplane"
    together = np.concatenate([train.labels, validation.labels])
    np.testing.assert_array_equal(together, batches[:5, :, 0].reshape(-1))
