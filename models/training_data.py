"""The pictures of a training run: to train on, to choose by, and to judge by at the end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models import datasets
from models.errors import UsageError
from models.inputs import ImageInput


@dataclass(frozen=True)
class TrainingData:
    """Three sets of pictures that share none.

    Attributes:
        name: of the data set, or its path.
        classes: their names.
        train_images: uint8 [N, C, height, width] of the network's tensor, border included.
        train_labels: int64 [N].
        validation_images: uint8 [V, C, content height, content width].
        validation_labels: int64 [V].
        test_images: uint8 [T, C, content height, content width]; T may be 0.
        test_labels: int64 [T].
    """

    name: str
    classes: tuple[str, ...]
    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    validation_images: NDArray[np.uint8]
    validation_labels: NDArray[np.int64]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.int64]


def load(spec: str, image_input: ImageInput, labels: tuple[str, ...], folder: Path | None = None) -> TrainingData:
    """Load all three.

    Args:
        spec: ``NAME``, ``NAME:train`` or ``NAME:train:COUNT``; a folder with the sub-folders ``train``,
            ``validation`` and perhaps ``test``; a folder with one sub-folder a class, or an ``.npz``: of
            these, every tenth picture of the balanced order is kept for validation.
        image_input: of the network.
        labels: of the network.
        folder: where the data set's files lie.

    Raises:
        UsageError: no data set, a split other than ``train``, or another number of classes.
        ModelsError: as :func:`models.datasets.load`.
    """
    if not spec or spec == "imagenet":
        raise UsageError("no data set to train on; give --data NAME, a folder of pictures or an .npz file")
    data = _load(spec, image_input, folder)
    if len(data.classes) != len(labels):
        raise UsageError(
            f"{data.name} has {len(data.classes)} classes, the network has {len(labels)} labels; give the data "
            "set that belongs to the network"
        )
    return data


def _load(spec: str, image_input: ImageInput, folder: Path | None) -> TrainingData:
    path = Path(spec)
    if spec.split(":")[0] not in datasets.READERS and path.exists():
        if (path / "train").is_dir():
            return _from_split_folders(path, image_input)
        return _held_out(datasets.load(spec, input=image_input), image_input)
    name, _, rest = spec.partition(":")
    if rest and rest.split(":")[0] != "train":
        raise UsageError(f"data {spec!r}: training takes the training pictures only; give {name}:train[:COUNT]")
    train = datasets.load(f"{name}:{rest or 'train'}", input=image_input, folder=folder)
    validation = datasets.load(f"{name}:validation", input=image_input, folder=folder)
    test = datasets.load(f"{name}:test", input=image_input, folder=folder)
    return _joined(spec, train, validation, test, image_input)


def _from_split_folders(path: Path, image_input: ImageInput) -> TrainingData:
    if not (path / "validation").is_dir():
        raise UsageError(f"{path} has a folder 'train' but none named 'validation'; add one")
    train = datasets.load(str(path / "train"), input=image_input)
    validation = datasets.load(str(path / "validation"), input=image_input)
    test = datasets.load(str(path / "test"), input=image_input) if (path / "test").is_dir() else None
    for other in (validation, test):
        if other is not None and other.classes != train.classes:
            raise UsageError(f"{other.name} has the classes {other.classes}, {train.name} {train.classes}")
    return _joined(str(path), train, validation, test, image_input)


def _held_out(data: datasets.Dataset, image_input: ImageInput) -> TrainingData:
    """Every tenth picture of each class for validation; of fewer than ten the last one, of a single one none."""
    order = datasets.balanced_order(data.labels)
    _, classes, sizes = np.unique(data.labels[order], return_inverse=True, return_counts=True)
    by_class = np.argsort(classes, kind="stable")
    rank = np.empty(len(order), dtype=np.int64)
    rank[by_class] = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    size = sizes[classes]
    kept = (rank % 10 == np.minimum(9, size - 1)) & (size > 1)

    def part(chosen: NDArray[np.int64]) -> datasets.Dataset:
        return datasets.Dataset(data.name, data.split, data.images[chosen], data.labels[chosen], data.classes)

    return _joined(data.name, part(order[~kept]), part(order[kept]), None, image_input)


def _joined(
    name: str,
    train: datasets.Dataset,
    validation: datasets.Dataset,
    test: datasets.Dataset | None,
    image_input: ImageInput,
) -> TrainingData:
    for part in (train, validation, test):
        if part is not None and (not len(part.labels) or part.labels.min() < 0):
            raise UsageError(f"{part.name}: {part.split} has no pictures, or pictures without a label")
    test_images = validation.images[:0] if test is None else test.images
    test_labels = validation.labels[:0] if test is None else test.labels
    return TrainingData(
        name,
        train.classes,
        _bordered(train.images, image_input),
        train.labels.copy(),
        validation.images,
        validation.labels,
        test_images,
        test_labels,
    )


def _bordered(images: NDArray[np.uint8], image_input: ImageInput) -> NDArray[np.uint8]:
    """Put the border around the pictures before they are augmented: it gives them room to move."""
    (height, width), (inner_height, inner_width) = image_input.size, image_input.content
    top, left = (height - inner_height) // 2, (width - inner_width) // 2
    bordered = np.zeros((*images.shape[:2], height, width), np.uint8)
    bordered[:, :, top : top + inner_height, left : left + inner_width] = images
    return bordered
