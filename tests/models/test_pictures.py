from __future__ import annotations

import io
import re
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models import datasets, training_data, zoo
from models.errors import DataFileError, UsageError
from models.inputs import ImageInput

GRAY = ImageInput("x", "gray", (12, 12), (8, 10), None, (0.5,), (0.5,))
RGB = ImageInput("x", "rgb", (8, 8), (8, 8), 10, (0.5,) * 3, (0.5,) * 3)


def save_picture(path: Path, size: tuple[int, int], color: tuple[int, int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path)


def test_a_folder_per_class(tmp_path: Path) -> None:
    save_picture(tmp_path / "cat" / "b.png", (30, 20), (255, 0, 0))
    save_picture(tmp_path / "cat" / "a.PNG", (20, 30), (0, 255, 0))
    save_picture(tmp_path / "bird" / "x.jpg", (8, 8), (0, 0, 255))
    (tmp_path / "empty").mkdir()
    (tmp_path / "readme.txt").write_text("no picture")
    (tmp_path / "cat" / ".hidden.png").write_text("no picture")
    data = datasets.load(str(tmp_path), input=RGB)
    assert data.classes == ("bird", "cat")
    assert data.labels.tolist() == [0, 1, 1]
    assert data.images.shape == (3, 3, 8, 8)
    np.testing.assert_array_equal(data.images[1].reshape(3, -1).mean(1), [0, 255, 0])
    np.testing.assert_array_equal(data.images[2].reshape(3, -1).mean(1), [255, 0, 0])
    assert datasets.load(f"{tmp_path}:2", input=RGB).labels.tolist() == [0, 1]
    gray = datasets.load(str(tmp_path), input=GRAY)
    assert gray.images.shape == (3, 1, 8, 10)
    with pytest.raises(UsageError, match="give the network's input"):
        datasets.load(str(tmp_path))
    with pytest.raises(UsageError, match="4 pictures asked for"):
        datasets.load(f"{tmp_path}:4", input=RGB)
    save_picture(tmp_path / "stray.png", (8, 8), (0, 0, 0))
    with pytest.raises(UsageError, match="beside folders"):
        datasets.load(str(tmp_path), input=RGB)


def test_a_flat_folder_has_no_labels(tmp_path: Path) -> None:
    for name in ("b.png", "a.png"):
        save_picture(tmp_path / name, (9, 9), (1, 2, 3))
    data = datasets.load(str(tmp_path), input=GRAY)
    assert data.labels.tolist() == [-1, -1]
    assert data.classes == ()


def png_that_claims(side: int) -> bytes:
    """A PNG file of 8x8 pixels whose header says that it has ``side`` x ``side``."""
    buffer = io.BytesIO()
    Image.new("L", (8, 8)).save(buffer, "PNG")
    content = bytearray(buffer.getvalue())
    content[16:24] = struct.pack(">II", side, side)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return bytes(content)


def test_broken_pictures_are_named(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    with pytest.raises(DataFileError, match="holds no pictures"):
        datasets.load(str(tmp_path / "none"), input=GRAY)
    save_picture(tmp_path / "cut" / "x.png", (64, 64), (9, 9, 9))
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    Image.fromarray(noise).save(tmp_path / "cut" / "x.png")
    whole = (tmp_path / "cut" / "x.png").read_bytes()
    (tmp_path / "cut" / "x.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataFileError, match=r"x\.png is a broken picture"):
        datasets.load(str(tmp_path / "cut"), input=GRAY)
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "y.png").write_text("hello")
    with pytest.raises(DataFileError, match=r"y\.png is no picture"):
        datasets.load(str(tmp_path / "text"), input=GRAY)
    (tmp_path / "bomb").mkdir()
    for side, message in ((12_000, r"z\.png has 12000x12000 pixels"), (60_000, r"z\.png is a broken picture")):
        (tmp_path / "bomb" / "z.png").write_bytes(png_that_claims(side))
        with pytest.raises(DataFileError, match=message):
            datasets.load(str(tmp_path / "bomb"), input=GRAY)


def test_npz(tmp_path: Path) -> None:
    images = np.arange(4 * 1 * 8 * 10, dtype=np.uint8).reshape(4, 1, 8, 10)
    labels = np.array([0, 1, 2, -1], np.int16)
    path = tmp_path / "d.npz"
    np.savez_compressed(path, images=images, labels=labels)
    data = datasets.load(str(path), input=GRAY)
    np.testing.assert_array_equal(data.images, images)
    assert data.labels.tolist() == [0, 1, 2, -1]
    assert data.classes == ("0", "1", "2")
    assert len(datasets.load(f"{path}:3").images) == 3
    assert datasets.load(str(path), input=RGB).images.shape == (4, 3, 8, 8)
    np.savez(path, images=images, labels=labels, classes=np.array(["a", "b", "c", "d"]))
    assert datasets.load(str(path)).classes == ("a", "b", "c", "d")


def test_broken_npz(tmp_path: Path) -> None:
    images, labels = np.zeros((2, 1, 4, 4), np.uint8), np.zeros(2, np.int64)
    cases: dict[str, tuple[dict[str, np.ndarray], str]] = {
        "nothing": ({"x": labels}, "expected the arrays 'images' and 'labels'"),
        "float": ({"images": images.astype(np.float32), "labels": labels}, "'images' is float32"),
        "flat": ({"images": images[:, 0], "labels": labels}, "'images' is uint8 [2, 4, 4]"),
        "none": ({"images": images[:0], "labels": labels[:0]}, "'images' is uint8 [0, 1, 4, 4]"),
        "count": ({"images": images, "labels": labels[:1]}, "'labels' is int64 [1], expected integers [2]"),
        "real": ({"images": images, "labels": labels / 2}, "'labels' is float64"),
        "below": ({"images": images, "labels": labels - 2}, "labels reach from -2"),
        "above": ({"images": images, "labels": labels + 1, "classes": np.array(["a"])}, "expected -1..0"),
        "pickle": ({"images": np.array([object()]), "labels": labels}, "no readable .npz"),
    }
    for name, (arrays, message) in cases.items():
        path = tmp_path / f"{name}.npz"
        np.savez(path, **arrays)
        with pytest.raises(DataFileError, match=re.escape(message)):
            datasets.load(str(path))
    whole = path.read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataFileError, match="no readable"):
        datasets.load(str(tmp_path / "cut.npz"))


def test_npz_bombs_are_refused_before_they_unpack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "d.npz"
    np.savez_compressed(path, images=np.zeros((100, 1, 99, 99), np.uint8), labels=np.zeros(100, np.int64))
    monkeypatch.setattr(datasets, "MAX_NPZ_BYTES", 100_000)
    with pytest.raises(DataFileError, match="expected at most 100000"):
        datasets.load(str(path))


def test_training_data_of_a_data_set() -> None:
    data = training_data.load("mnist:train:40", zoo.get("lenet5").input, zoo.get("lenet5").labels)
    assert data.train_images.shape == (40, 1, 32, 32)
    assert not data.train_images[:, :, :2].any()
    assert not data.train_images[:, :, :, -2:].any()
    np.testing.assert_array_equal(data.train_images[:, :, 2:30, 2:30], datasets.load("mnist:train:40").images)
    assert data.validation_images.shape == (5000, 1, 28, 28)
    assert data.test_images.shape == (10_000, 1, 28, 28)


def test_training_data_of_folders_and_npz(tmp_path: Path) -> None:
    for split, shade in (("train", 10), ("validation", 20), ("test", 30)):
        for label in ("a", "b"):
            save_picture(tmp_path / split / label / "x.png", (9, 9), (shade,) * 3)
    data = training_data.load(str(tmp_path), GRAY, ("a", "b"))
    assert data.train_images.shape == (2, 1, 12, 12)
    assert (data.validation_images.max(), data.test_images.max()) == (20, 30)
    assert data.classes == ("a", "b")
    shutil.rmtree(tmp_path / "test")
    assert len(training_data.load(str(tmp_path), GRAY, ("a", "b")).test_labels) == 0
    (tmp_path / "validation" / "b").rename(tmp_path / "validation" / "c")
    with pytest.raises(UsageError, match="has the classes"):
        training_data.load(str(tmp_path), GRAY, ("a", "b"))
    shutil.rmtree(tmp_path / "validation")
    with pytest.raises(UsageError, match="none named 'validation'"):
        training_data.load(str(tmp_path), GRAY, ("a", "b"))

    images = np.arange(50, dtype=np.uint8)[:, None, None, None].repeat(8, 2).repeat(10, 3)
    np.savez(tmp_path / "d.npz", images=images, labels=np.arange(50) % 5)
    held_out = training_data.load(str(tmp_path / "d.npz"), GRAY, tuple("01234"))
    train = set(held_out.train_images.max((1, 2, 3)).tolist())
    validation = set(held_out.validation_images[:, 0, 0, 0].tolist())
    assert (len(train), len(validation)) == (45, 5)
    assert train | validation == set(range(50))
    assert sorted(held_out.validation_labels.tolist()) == [0, 1, 2, 3, 4]
    np.savez(tmp_path / "u.npz", images=images, labels=np.full(50, -1))
    with pytest.raises(UsageError, match="without a label"):
        training_data.load(str(tmp_path / "u.npz"), GRAY, ("a", "b"))


@pytest.mark.parametrize("sizes", [(40, 40), (30,) * 5, (20,) * 10, (100, 9, 2, 1)])
def test_every_class_is_trained_and_validated(sizes: tuple[int, ...], tmp_path: Path) -> None:
    """However many classes there are: a tenth of each is held out, one picture of few, none of a single one."""
    labels = np.repeat(np.arange(len(sizes)), sizes)
    images = np.zeros((len(labels), 1, 8, 10), np.uint8)
    np.savez(tmp_path / "d.npz", images=images, labels=np.random.default_rng(0).permutation(labels))
    data = training_data.load(str(tmp_path / "d.npz"), GRAY, tuple(map(str, range(len(sizes)))))
    trained = np.bincount(data.train_labels, minlength=len(sizes)).tolist()
    validated = np.bincount(data.validation_labels, minlength=len(sizes)).tolist()
    assert validated == [0 if size == 1 else max(size // 10, 1) for size in sizes]
    assert [a + b for a, b in zip(trained, validated, strict=True)] == list(sizes)
