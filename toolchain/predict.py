"""What a classifier says about pictures.

A picture is brought to the input's size as the model's metadata describes it, no more. A digit network
expects a light digit on a dark ground, cut out and centred by mass as MNIST is; the application in
``deploy/python`` does that for photographs and scans. Here only the ground's tone is looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from models import pictures
from toolchain import data as data_module
from toolchain.data import Samples
from toolchain.errors import UnknownNameError, UsageError
from toolchain.evaluate import probabilities, score, score_kind
from toolchain.load import load

INVERT = ("auto", "yes", "no")
TOP = 3
# A ground lighter than this, in 0..255, is taken for paper.
LIGHT = 127.5


@dataclass(frozen=True)
class Answer:
    """One class and how sure the model is.

    Attributes:
        label: name of the class.
        probability: 0..1.
    """

    label: str
    probability: float


@dataclass(frozen=True)
class Prediction:
    """What the model says about one picture.

    Attributes:
        image: the file.
        inverted: whether light and dark were exchanged.
        answers: the likeliest first.
    """

    image: str
    inverted: bool
    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class Predictions:
    """What the model says about all pictures.

    Attributes:
        model: name of the file.
        predictions: in the order of the pictures.
    """

    model: str
    predictions: tuple[Prediction, ...]

    def to_dict(self) -> dict[str, object]:
        """As JSON-able values."""
        return {"model": self.model, "predictions": [asdict(p) for p in self.predictions]}


def predict(
    model: ir.Model | Path | str,
    images: Sequence[Path | str],
    *,
    top: int = TOP,
    invert: str = "auto",
    provider: str = "cpu",
    threads: int | None = 1,
) -> Predictions:
    """Classify pictures.

    Args:
        model: a classifier whose metadata describes its image input.
        images: files that Pillow reads.
        top: how many answers each; at most the number of classes.
        invert: exchange light and dark: ``yes``, ``no``, or ``auto``: where the input is gray with a black
            border, as digits are, and the picture's own border is light.
        provider: execution provider of ONNX Runtime.
        threads: threads inside an operator.

    Raises:
        UsageError: the metadata describes no image input, no picture, or ``top`` below 1.
        UnknownNameError: no such ``invert``.
        models.errors.DataFileError: a file is missing or no picture.
        ToolchainError: what loading and the session raise.
    """
    if invert not in INVERT:
        raise UnknownNameError("value of --invert", invert, INVERT)
    if not images or top < 1:
        raise UsageError("give at least one picture, and a --top of at least 1")
    loaded = load(model) if isinstance(model, Path | str) else model
    described = data_module.input_of(loaded)
    if described is None:
        raise UsageError(
            "the model's metadata describes no image input, so its size and normalisation are unknown; "
            "export it with onnx-edge, or use `evaluate` with an .npz"
        )
    digits = described.color == "gray" and described.resize is None
    fitted, flipped = [], []
    for path in images:
        picture = pictures.read(Path(path), described)
        light = invert == "yes" or (invert == "auto" and digits and _border_is_light(picture))
        fitted.append(np.uint8(255) - picture if light else picture)
        flipped.append(light)
    samples = Samples("images", {described.name: np.stack(fitted)}, None, described)
    scores = score(loaded, samples, provider=provider, threads=threads)
    labels = data_module.labels_of(loaded) or tuple(map(str, range(scores.shape[1])))
    if len(labels) != scores.shape[1]:
        raise UsageError(f"the model has {scores.shape[1]} outputs and {len(labels)} labels; export it again")
    shares = probabilities(scores, score_kind(loaded))
    return Predictions(
        Path(model).name if isinstance(model, Path | str) else str(loaded.graph.name),
        tuple(
            Prediction(str(path), was, _best(row, labels, top))
            for path, was, row in zip(images, flipped, shares, strict=True)
        ),
    )


def _best(shares: NDArray[np.float64], labels: tuple[str, ...], top: int) -> tuple[Answer, ...]:
    order = np.argsort(-shares, kind="stable")[:top]
    return tuple(Answer(labels[index], float(shares[index])) for index in order)


def _border_is_light(picture: NDArray[np.uint8]) -> bool:
    """Whether the median of the outermost pixels, [C, H, W], is lighter than middle gray."""
    edge = np.concatenate(
        [picture[:, 0].ravel(), picture[:, -1].ravel(), picture[:, :, 0].ravel(), picture[:, :, -1].ravel()]
    )
    return float(np.median(edge)) > LIGHT
