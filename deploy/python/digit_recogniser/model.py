"""An ONNX classifier and what its file says about its input and labels."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from digit_recogniser.decode import decode
from digit_recogniser.errors import ModelError
from digit_recogniser.ink import find_ink
from digit_recogniser.place import place

INPUT_KEY = "onnx_edge.input"
LABELS_KEY = "onnx_edge.labels"


@dataclass(frozen=True)
class DigitInput:
    """The model's input, as its file's metadata describes it.

    Attributes:
        name: name of the graph input.
        size: height and width of the tensor, pixels.
        side: height and width of the digit's frame in the middle of the tensor; around it is black.
        table: float32 [256], the normalised value of each pixel value.
    """

    name: str
    size: tuple[int, int]
    side: int
    table: NDArray[np.float32]

    @classmethod
    def from_json(cls, text: str) -> DigitInput:
        """Read the metadata value of :data:`INPUT_KEY`.

        Raises:
            ValueError: not such a description, a later version, or not one for grey digits.
        """
        facts = json.loads(text)
        if facts["version"] != 1 or facts["layout"] != "NCHW":
            raise ValueError(f"version {facts['version']}, layout {facts['layout']}; expected 1, NCHW")
        if facts["color"] != "gray" or facts["resize"] is not None:
            raise ValueError("it takes photographs; expected grey digits without a crop")
        size = (int(facts["size"][0]), int(facts["size"][1]))
        content = (int(facts["content"][0]), int(facts["content"][1]))
        if content[0] != content[1] or not 8 <= content[0] <= min(size) <= max(size) <= 1024:
            raise ValueError(f"content {content} in size {size}; expected a square of at least 8 inside it")
        mean, std = (np.asarray(facts[key], dtype=np.float64) for key in ("mean", "std"))
        if mean.shape != (1,) or std.shape != (1,) or not std[0] > 0 or not np.isfinite([mean, std]).all():
            raise ValueError("mean and std need one finite value each, std above 0")
        # Float64, rounded once: the same bits as the table of the toolchain that wrote the model.
        table = ((np.arange(256, dtype=np.float64) / 255.0 - mean) / std).astype(np.float32)
        return cls(name=str(facts["name"]), size=size, side=content[0], table=table)

    def tensor(self, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Normalise a digit: uint8 [side, side] to float32 [1, 1, height, width]."""
        height, width = self.size
        top, left = (height - self.side) // 2, (width - self.side) // 2
        pixels = np.zeros((1, 1, height, width), dtype=np.uint8)
        pixels[0, 0, top : top + self.side, left : left + self.side] = frame
        return self.table[pixels]


@dataclass(frozen=True)
class Answer:
    """What the model says of one picture.

    Attributes:
        candidates: label and probability, the most probable first.
        seen: uint8 [side, side], the digit as the model saw it.
    """

    candidates: tuple[tuple[str, float], ...]
    seen: NDArray[np.uint8]

    def facts(self) -> dict[str, Any]:
        """The answer as it stands in JSON."""
        label, probability = self.candidates[0]
        listed = [{"label": name, "probability": p} for name, p in self.candidates]
        return {"label": label, "probability": probability, "candidates": listed}


class Recogniser:
    """Answers for pictures; safe to share between threads."""

    def __init__(self, path: Path) -> None:
        """Load a model.

        Args:
            path: an ONNX file with the metadata :data:`INPUT_KEY` and :data:`LABELS_KEY`, one float32 input
                and one output of one score a label; float or int8 (QDQ).

        Raises:
            ModelError: missing, corrupt, or not such a model.
        """
        self.path = path
        self._session = _open_session(path)
        metadata = self._session.get_modelmeta().custom_metadata_map
        self.input = _read_input(path, metadata)
        self.labels = _read_labels(path, metadata)
        self._check_input()
        self._scores_are_probabilities = self._probe()

    def recognise(self, data: bytes, top: int = 1) -> Answer:
        """Read the digit in a picture.

        Args:
            data: bytes of a picture file.
            top: how many candidates to return; no more than there are labels.

        Raises:
            PictureError: not a picture, too large, or without a digit.
        """
        seen = place(find_ink(decode(data)), self.input.side)
        probabilities = self.probabilities(seen)
        order = np.argsort(-probabilities, kind="stable")[:top]
        return Answer(tuple((self.labels[i], float(probabilities[i])) for i in order), seen)

    def probabilities(self, frame: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Probability of each label for a digit as MNIST has them, uint8 [side, side]; float64 [labels]."""
        scores = self._run(frame)
        if self._scores_are_probabilities:
            return np.asarray(scores / scores.sum())
        return softmax(scores)

    def _run(self, frame: NDArray[np.uint8]) -> NDArray[np.float64]:
        try:
            (scores,) = self._session.run(None, {self.input.name: self.input.tensor(frame)})
        except Exception as error:
            raise ModelError(f"{self.path}: the model does not run: {_line(error)}") from error
        if scores.shape != (1, len(self.labels)):
            raise ModelError(
                f"{self.path}: the output has shape {list(scores.shape)}; "
                f"expected [1, {len(self.labels)}], one score a label"
            )
        scores = np.asarray(scores, dtype=np.float64)[0]
        if not np.isfinite(scores).all():
            raise ModelError(f"{self.path}: the model's scores are not finite")
        return np.asarray(scores)

    def _check_input(self) -> None:
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or len(outputs) != 1:
            raise ModelError(f"{self.path}: {len(inputs)} inputs and {len(outputs)} outputs; expected one of each")
        given, expected = inputs[0], [1, 1, *self.input.size]
        fits = len(given.shape) == 4 and all(
            not isinstance(dim, int) or dim == want for dim, want in zip(given.shape, expected, strict=True)
        )
        if given.name != self.input.name or given.type != "tensor(float)" or not fits:
            raise ModelError(
                f"{self.path}: input {given.name!r} is {given.type} {given.shape}; its metadata says "
                f"{self.input.name!r} tensor(float) {expected}; export it again with batch 1 or dynamic"
            )

    def _probe(self) -> bool:
        """Whether the model ends in a softmax of its own.

        Scores of four unlike frames that are never negative and sum to 1 (within half a step of an 8-bit
        output a label) are probabilities; logits do not do that four times.
        """
        noise = np.random.default_rng(0).integers(0, 256, (2, self.input.side, self.input.side))
        frames = [np.zeros_like(noise[0]), np.full_like(noise[0], 255), *noise]
        tolerance = len(self.labels) / 512 + 1e-3
        scores = [self._run(frame.astype(np.uint8)) for frame in frames]
        return all(s.min() >= 0.0 and abs(s.sum() - 1.0) <= tolerance for s in scores)


def softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities of logits, float64 [n]; the largest is subtracted first, so no exponential overflows."""
    powers = np.exp(scores - scores.max())
    return np.asarray(powers / powers.sum())


def _open_session(path: Path) -> onnxruntime.InferenceSession:
    if not path.exists():
        raise ModelError(f"{path}: no such model file")
    if not path.is_file():
        raise ModelError(f"{path}: not a regular file; expected an ONNX model")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    # One small network on one picture: more threads cost more than they save, and spin.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # x86 processors without VNNI would add products of int8 in 16 bits and saturate: another answer than elsewhere.
    options.add_session_config_entry("session.x64quantprecision", "1")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelError(f"{path}: ONNX Runtime cannot load the model: {_line(error)}") from error


def _metadata(path: Path, metadata: Mapping[str, str], key: str) -> str:
    if key not in metadata:
        raise ModelError(f"{path}: the model has no metadata {key!r}; export it with onnx-edge export")
    return metadata[key]


def _read_input(path: Path, metadata: Mapping[str, str]) -> DigitInput:
    text = _metadata(path, metadata, INPUT_KEY)
    try:
        return DigitInput.from_json(text)
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise ModelError(f"{path}: metadata {INPUT_KEY!r} cannot be used: {_line(error)}") from error


def _read_labels(path: Path, metadata: Mapping[str, str]) -> tuple[str, ...]:
    text = _metadata(path, metadata, LABELS_KEY)
    try:
        labels = json.loads(text)
    except ValueError:
        labels = None
    if not isinstance(labels, list) or not labels or not all(isinstance(label, str) for label in labels):
        raise ModelError(f"{path}: metadata {LABELS_KEY!r} is {text[:60]!r}; expected a JSON list of strings")
    return tuple(labels)


def _line(error: Exception) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:200]
