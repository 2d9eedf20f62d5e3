"""Data sets as arrays: MNIST (in this package, offline), Fashion-MNIST, CIFAR-10, picture folders, ``.npz``.

A data set is named ``NAME:SPLIT[:COUNT]``, or by the path of a folder or an ``.npz`` file (``PATH[:COUNT]``).
The splits never overlap: ``train`` is the first part of the published training file, ``validation`` its last
5,000 pictures, ``test`` the published test file. ``COUNT`` takes the first pictures of one fixed order in
which the classes take turns (:func:`balanced_order`), so that few pictures stand for all classes; the
first 64 are among the first 128.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models import cifar, download, idx, pictures
from models.errors import DataFileError, UnknownNameError, UsageError
from models.inputs import ImageInput

SPLITS = ("train", "validation", "test")
VALIDATION_COUNT = 5_000
MAX_NPZ_BYTES = 8 << 30
MNIST_FOLDER = Path(__file__).parent / "data" / "mnist"
DEBIAN_FASHION_FOLDER = Path("/usr/share/datasets/fashion-mnist")
FASHION_URL = "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/"
FASHION_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


@dataclass(frozen=True)
class Dataset:
    """Pictures with labels.

    Attributes:
        name: of the data set, or the path that it was read from.
        split: ``train``, ``validation``, ``test``, or ``all`` for a folder and an ``.npz``.
        images: uint8 [N, C, height, width].
        labels: int64 [N]; -1 where the picture has none.
        classes: names, in the order of the labels; empty without labels.
    """

    name: str
    split: str
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]


@dataclass(frozen=True)
class IdxFile:
    """One file of a data set in IDX format."""

    name: str
    shape: tuple[int, ...]
    md5: str  # of the unzipped file
    gz_md5: str = ""  # of the file at FASHION_URL
    gz_bytes: int = 0


MNIST_FILES = {
    "train": (
        IdxFile("train-images-idx3-ubyte", (60_000, 28, 28), "6bbc9ace898e44ae57da46a324031adb"),
        IdxFile("train-labels-idx1-ubyte", (60_000,), "a25bea736e30d166cdddb491f175f624"),
    ),
    "test": (
        IdxFile("t10k-images-idx3-ubyte", (10_000, 28, 28), "2646ac647ad5339dbf082846283269ea"),
        IdxFile("t10k-labels-idx1-ubyte", (10_000,), "27ae3e4e09519cfbb04c329615203637"),
    ),
}
FASHION_FILES = {
    "train": (
        IdxFile(
            "train-images-idx3-ubyte",
            (60_000, 28, 28),
            "f4a8712d7a061bf5bd6d2ca38dc4d50a",
            "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            26_421_880,
        ),
        IdxFile(
            "train-labels-idx1-ubyte",
            (60_000,),
            "9018921c3c673c538a1fc5bad174d6f9",
            "25c81989df183df01b3e8a0aad5dffbe",
            29_515,
        ),
    ),
    "test": (
        IdxFile(
            "t10k-images-idx3-ubyte",
            (10_000, 28, 28),
            "8181f5470baa50b63fa0f6fddb340f0a",
            "bef4ecab320f06d8554ea6380940ec79",
            4_422_102,
        ),
        IdxFile(
            "t10k-labels-idx1-ubyte",
            (10_000,),
            "15d484375f8d13e6eb1aabb0c3f46965",
            "bb300cfdad3c16e7a12a480ee83cd310",
            5_148,
        ),
    ),
}


def load(spec: str, *, input: ImageInput | None = None, folder: Path | None = None) -> Dataset:  # noqa: A002
    """Load a data set.

    Args:
        spec: ``NAME:SPLIT[:COUNT]``, or a folder of pictures, or an ``.npz`` file with the arrays ``images``
            (uint8 [N, C, H, W]) and ``labels`` (integers [N]), each optionally followed by ``:COUNT``.
        input: the network's input; pictures of other colours or another size are converted to it. A folder of
            pictures needs it.
        folder: where the data set's own files lie, for Fashion-MNIST and CIFAR-10; otherwise they are looked
            for in the folder that ``ONNX_EDGE_DATA`` names, where Debian puts them, and in the user's cache,
            to which they are downloaded.

    Returns:
        The pictures in the published order; with ``COUNT``, in the balanced order.

    Raises:
        UnknownNameError: no such data set or split.
        UsageError: no split, a bad count, or a folder without ``input``.
        DataFileError: a file is missing, corrupt or of another shape.
        DownloadError: the network failed.
    """
    path, count = _split_path(spec)
    if path is not None:
        if path.is_dir():
            return _read_folder(path, count, input)
        data = _take(_read_npz(path), count, spec)
    else:
        name, split, count = _parse(spec)
        images, labels = READERS[name](split, folder)
        classes = {"mnist": tuple("0123456789"), "fashion-mnist": FASHION_CLASSES, "cifar10": cifar.CLASSES}
        data = _take(Dataset(name, split, images, labels, classes[name]), count, spec)
    if input is None:
        return data
    return replace(data, images=pictures.refit(data.images, input))


def balanced_order(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """A fixed order of all pictures in which the classes take turns.

    Within a class, pictures are ordered by the SplitMix64 hash of their index: the same on every machine and
    under every version of NumPy.

    Args:
        labels: int64 [N].

    Returns:
        A permutation, int64 [N]: of its first k entries, each of C classes has k / C, rounded up or down,
        as long as it has pictures.
    """
    with np.errstate(over="ignore"):
        key = np.arange(1, len(labels) + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        key = (key ^ (key >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        key = (key ^ (key >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        key ^= key >> np.uint64(31)
    by_class = np.lexsort((key, labels))
    ordered = labels[by_class]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(labels) else np.arange(0)
    turn = np.arange(len(labels)) - np.repeat(starts, np.diff(np.r_[starts, len(labels)]))
    return by_class[np.lexsort((ordered, turn))]


def _split_path(spec: str) -> tuple[Path | None, int | None]:
    """The path and count of ``PATH[:COUNT]``; no path if ``spec`` names a data set."""
    if spec.split(":")[0] in READERS:
        return None, None
    if spec and Path(spec).exists():
        return Path(spec), None
    head, _, tail = spec.rpartition(":")
    if head and Path(head).exists():
        return Path(head), _count(tail, spec)
    if spec.endswith(".npz") or "/" in spec or os.sep in spec:
        raise DataFileError(f"{spec} does not exist; give NAME:SPLIT[:COUNT], a folder of images or an .npz")
    return None, None


def _parse(spec: str) -> tuple[str, str, int | None]:
    name, *rest = spec.split(":")
    if name not in READERS:
        raise UnknownNameError("data set", name, READERS)
    if not rest or len(rest) > 2:
        raise UsageError(
            f"data set {spec!r}: expected NAME:SPLIT[:COUNT] with a split of {', '.join(SPLITS)}, "
            f"such as {name}:test or {name}:train:512"
        )
    if rest[0] not in SPLITS:
        raise UnknownNameError("split", rest[0], SPLITS)
    return name, rest[0], _count(rest[1], spec) if len(rest) == 2 else None


def _count(text: str, spec: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 12 and int(text) > 0):
        raise UsageError(f"data set {spec!r}: the count is {text!r}, expected a positive whole number")
    return int(text)


def _chosen(labels: NDArray[np.int64], count: int, spec: str) -> NDArray[np.int64]:
    if count > len(labels):
        raise UsageError(f"data set {spec!r}: {count} pictures asked for, it has {len(labels)}")
    return balanced_order(labels)[:count]


def _take(data: Dataset, count: int | None, spec: str) -> Dataset:
    if count is None:
        return data
    chosen = _chosen(data.labels, count, spec)
    return replace(data, images=data.images[chosen], labels=data.labels[chosen])


def _part(
    images: NDArray[np.uint8], labels: NDArray[np.int64], split: str
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The training file without its last pictures, or these."""
    part = {"train": slice(-VALIDATION_COUNT), "validation": slice(-VALIDATION_COUNT, None)}.get(split, slice(None))
    return images[part], labels[part]


def _read_idx_pair(
    files: tuple[IdxFile, IdxFile], locate: Callable[[IdxFile], Path], split: str
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    images, labels = (idx.read(locate(file), file.shape, file.md5) for file in files)
    if labels.max(initial=0) > 9:
        raise DataFileError(f"{locate(files[1])} holds label {labels.max()}, expected 0..9")
    return _part(images[:, None], labels.astype(np.int64), split)


def _read_mnist(split: str, folder: Path | None) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    files = MNIST_FILES["test" if split == "test" else "train"]
    return _read_idx_pair(files, lambda file: (folder or MNIST_FOLDER) / f"{file.name}.gz", split)


def _read_fashion(split: str, folder: Path | None) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    files = FASHION_FILES["test" if split == "test" else "train"]

    def locate(file: IdxFile) -> Path:
        candidates = _data_folders("fashion-mnist", folder) + ([] if folder else [DEBIAN_FASHION_FOLDER])
        found = _first_file(candidates, (f"{file.name}.gz", file.name), required=folder)
        cached = download.cache_folder("fashion-mnist") / f"{file.name}.gz"
        return found or download.fetch(FASHION_URL + f"{file.name}.gz", cached, md5=file.gz_md5, size=file.gz_bytes)

    return _read_idx_pair(files, locate, split)


def _read_cifar(split: str, folder: Path | None) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    name = "cifar-10-binary.tar.gz"
    archive = _first_file(_data_folders("cifar10", folder), (name,), required=folder)
    if archive is None:
        cached = download.cache_folder("cifar10") / name
        archive = download.fetch(cifar.URL, cached, md5=cifar.MD5, size=cifar.ARCHIVE_BYTES)
    cifar.check(archive)
    return _part(*cifar.read(archive, cifar.TEST_MEMBERS if split == "test" else cifar.TRAIN_MEMBERS), split)


READERS: dict[str, Callable[[str, Path | None], tuple[NDArray[np.uint8], NDArray[np.int64]]]] = {
    "mnist": _read_mnist,
    "fashion-mnist": _read_fashion,
    "cifar10": _read_cifar,
}


def _data_folders(name: str, folder: Path | None) -> list[Path]:
    """Where a data set's files may lie, in the order of search."""
    if folder is not None:
        return [folder, folder / name]
    named = os.environ.get("ONNX_EDGE_DATA")
    return [Path(named), Path(named) / name] if named else []


def _first_file(folders: list[Path], names: tuple[str, ...], *, required: Path | None) -> Path | None:
    for folder in folders:
        for name in names:
            if (folder / name).is_file():
                return folder / name
    if required is not None:
        raise DataFileError(f"{required} holds no {names[0]}; give the folder that holds the data set's files")
    return None


def _read_folder(path: Path, count: int | None, image_input: ImageInput | None) -> Dataset:
    if image_input is None:
        raise UsageError(f"{path} is a folder of pictures; give the network's input, which says their size")
    files, labels, classes = pictures.list_folder(path)
    if count is not None:
        chosen = _chosen(labels, count, str(path))
        files, labels = [files[index] for index in chosen], labels[chosen]
    images = np.stack([pictures.read(file, image_input) for file in files])
    return Dataset(str(path), "all", images, labels, classes)


def _read_npz(path: Path) -> Dataset:
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(info.file_size for info in archive.infolist())
        if size > MAX_NPZ_BYTES:
            raise DataFileError(f"{path} unpacks to {size} bytes, expected at most {MAX_NPZ_BYTES}")
        with np.load(path, allow_pickle=False) as archive:
            images, labels = archive["images"], archive["labels"]
            classes = tuple(map(str, archive["classes"])) if "classes" in archive else ()
    except KeyError as error:
        raise DataFileError(f"{path}: {error}; expected the arrays 'images' and 'labels'") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataFileError(f"{path} is no readable .npz file ({error}); write it with numpy.savez") from error
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3) or not len(images):
        raise DataFileError(
            f"{path}: 'images' is {images.dtype} {list(images.shape)}, expected uint8 [N, 1 or 3, H, W]"
        )
    if labels.shape != images.shape[:1] or not np.issubdtype(labels.dtype, np.integer):
        raise DataFileError(
            f"{path}: 'labels' is {labels.dtype} {list(labels.shape)}, expected integers [{len(images)}]"
        )
    labels = labels.astype(np.int64)
    if not classes:
        classes = tuple(map(str, range(int(labels.max()) + 1)))
    if labels.min() < -1 or labels.max() >= len(classes):
        raise DataFileError(
            f"{path}: labels reach from {labels.min()} to {labels.max()}, expected -1..{len(classes) - 1}"
        )
    return Dataset(str(path), "all", images, labels, classes)
