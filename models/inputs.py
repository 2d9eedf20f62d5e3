"""How a picture becomes the tensor that a network takes.

The description travels with the model: ``export`` writes it into the ONNX file's metadata as JSON, and
every user of that file (``predict``, ``evaluate``, a device) reads it from there.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

FORMAT_VERSION = 1


@dataclass(frozen=True)
class ImageInput:
    """One image input of a network.

    Attributes:
        name: name of the graph input.
        color: ``"gray"`` (1 channel) or ``"rgb"`` (3 channels).
        size: height and width of the tensor, pixels.
        content: height and width of the picture inside the tensor; the border around it is black (value 0
            before normalisation). LeNet-5 takes a 28x28 digit in 32x32.
        resize: length in pixels of the shorter side before the centre crop to ``content``; ``None`` resizes
            the picture to ``content`` directly.
        mean: per channel, on pixels scaled to 0..1.
        std: per channel, on pixels scaled to 0..1.
    """

    name: str
    color: str
    size: tuple[int, int]
    content: tuple[int, int]
    resize: int | None
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.color not in ("gray", "rgb"):
            raise ValueError(f"color is {self.color!r}; expected 'gray' or 'rgb'")
        if len(self.mean) != self.channels or len(self.std) != self.channels:
            raise ValueError(f"mean and std need {self.channels} values each for color {self.color!r}")
        if any(inner > outer for inner, outer in zip(self.content, self.size, strict=True)):
            raise ValueError(f"content {self.content} does not fit into size {self.size}")
        if min(self.content) < 1 or not all(s > 0 for s in self.std):
            raise ValueError("content and std must be positive")
        if not all(map(math.isfinite, (*self.mean, *self.std))):
            raise ValueError(f"mean {list(self.mean)} and std {list(self.std)} must be finite numbers")

    @property
    def channels(self) -> int:
        """1 or 3."""
        return 1 if self.color == "gray" else 3

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width of the tensor."""
        return (self.channels, *self.size)

    def table(self) -> NDArray[np.float32]:
        """The 256 normalised values of each channel, shape [C, 256].

        ``(v / 255 - mean) / std`` in float64, rounded once to float32: a table gives the same bits on
        every device.
        """
        pixels = np.arange(256, dtype=np.float64) / 255.0
        mean = np.asarray(self.mean, dtype=np.float64)[:, None]
        std = np.asarray(self.std, dtype=np.float64)[:, None]
        return ((pixels - mean) / std).astype(np.float32)

    def tensor(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Normalise pictures.

        Args:
            images: uint8 [N, C, content height, content width].

        Returns:
            float32 [N, C, height, width].

        Raises:
            ValueError: the shape or dtype is another one.
        """
        expected = (self.channels, *self.content)
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != expected:
            raise ValueError(
                f"expected uint8 images [N, {', '.join(map(str, expected))}], "
                f"received {images.dtype} {list(images.shape)}"
            )
        top, left = ((outer - inner) // 2 for inner, outer in zip(self.content, self.size, strict=True))
        bottom, right = (
            outer - inner - before for inner, outer, before in zip(self.content, self.size, (top, left), strict=True)
        )
        padded = np.pad(images, ((0, 0), (0, 0), (top, bottom), (left, right)))
        return np.stack([row[padded[:, c]] for c, row in enumerate(self.table())], axis=1)

    def to_json(self) -> str:
        """The description as it stands in an ONNX file's metadata, under ``onnx_edge.input``."""
        facts = {"version": FORMAT_VERSION, "layout": "NCHW", **asdict(self)}
        return json.dumps(facts, separators=(",", ":"), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> ImageInput:
        """Read what :meth:`to_json` wrote.

        Raises:
            ValueError: not such a description, or of a later version.
        """
        try:
            facts = json.loads(text)
            if facts["version"] != FORMAT_VERSION or facts["layout"] != "NCHW":
                raise ValueError(f"version {facts['version']} and layout {facts['layout']} are not known here")
            return cls(
                name=str(facts["name"]),
                color=str(facts["color"]),
                size=(int(facts["size"][0]), int(facts["size"][1])),
                content=(int(facts["content"][0]), int(facts["content"][1])),
                resize=None if facts["resize"] is None else int(facts["resize"]),
                mean=tuple(float(v) for v in facts["mean"]),
                std=tuple(float(v) for v in facts["std"]),
            )
        except (KeyError, TypeError, IndexError, json.JSONDecodeError) as error:
            raise ValueError(f"not a description of an image input: {text[:80]!r}") from error
