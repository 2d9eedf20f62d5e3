"""Sample pictures and confusion of a report: what the page shows of answers."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from toolchain.report.findings import Gallery

MAX_SHOWN = 24
MAX_SIDE = 96
MAX_CLASSES = 20
MAX_PAIRS = 6


@dataclass(frozen=True)
class Picture:
    """A picture with its answers.

    Attributes:
        source: the picture as a ``data:`` address of a PNG.
        index: where it stands in the data.
        label: the right answer.
        answer: of the float model.
        int8: answer of the int8 model; ``None`` without one.
        right: every model's answer is.
    """

    source: str
    index: int
    label: str
    answer: str
    int8: str | None
    right: bool


@dataclass(frozen=True)
class Cell:
    """One count of a confusion matrix; ``share`` of its row, 0..1, colours it."""

    count: int
    share: str
    kind: str


@dataclass(frozen=True)
class Row:
    """One class of a confusion matrix."""

    label: str
    cells: tuple[Cell, ...]
    recall: str


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix.

    Attributes:
        title: of which model.
        labels: names of the classes.
        rows: one a class; empty for more than 20 classes.
        pairs: what is confused most often, in words.
    """

    title: str
    labels: tuple[str, ...]
    rows: tuple[Row, ...]
    pairs: tuple[str, ...]


def split(gallery: Gallery | None, labels: Sequence[str]) -> tuple[tuple[Picture, ...], tuple[Picture, ...]]:
    """Pictures that all models answer right, and those that one of them does not; at most 24 each."""
    if gallery is None:
        return (), ()
    shown = [_picture(gallery, position, labels) for position in range(len(gallery.labels))]
    right = tuple(picture for picture in shown if picture.right)
    return right[:MAX_SHOWN], tuple(picture for picture in shown if not picture.right)[:MAX_SHOWN]


def matrix(title: str, labels: Sequence[str], confusion: Sequence[Sequence[int]]) -> Matrix:
    """A confusion matrix.

    Args:
        title: of which model.
        labels: names of the classes.
        confusion: samples of class [row] answered as [column].
    """
    names = tuple(_name(labels, index) for index in range(len(confusion)))
    rows = tuple(_row(names[i], i, counts) for i, counts in enumerate(confusion))
    pairs = sorted(
        ((count, i, j) for i, row in enumerate(confusion) for j, count in enumerate(row) if i != j and count),
        key=lambda pair: (-pair[0], pair[1], pair[2]),
    )
    said = tuple(f"{names[i]} taken for {names[j]} ({count})" for count, i, j in pairs[:MAX_PAIRS])
    return Matrix(title, names, rows if len(rows) <= MAX_CLASSES else (), said)


def _row(label: str, index: int, counts: Sequence[int]) -> Row:
    total = sum(counts)
    cells = tuple(
        Cell(
            count,
            f"{count / total if total else 0:.3f}",
            "hit" if place == index else "miss" if count else "none",
        )
        for place, count in enumerate(counts)
    )
    return Row(label, cells, f"{100 * counts[index] / total:.1f}%" if total else "no samples")


def _picture(gallery: Gallery, position: int, labels: Sequence[str]) -> Picture:
    label, answer = int(gallery.labels[position]), int(gallery.answers[position])
    int8 = None if gallery.int8_answers is None else int(gallery.int8_answers[position])
    return Picture(
        source=_png(gallery.pictures[position]),
        index=int(gallery.indices[position]),
        label=_name(labels, label),
        answer=_name(labels, answer),
        int8=None if int8 is None else _name(labels, int8),
        right=answer == label and int8 in (None, label),
    )


def _name(labels: Sequence[str], index: int) -> str:
    return labels[index] if index < len(labels) else str(index)


def _png(picture: NDArray[np.uint8]) -> str:
    """uint8 [C, height, width] as a ``data:`` address."""
    image = Image.fromarray(picture[0] if len(picture) == 1 else np.moveaxis(picture, 0, -1))
    if max(image.size) > MAX_SIDE:
        image.thumbnail((MAX_SIDE, MAX_SIDE))
    file = io.BytesIO()
    image.save(file, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")
