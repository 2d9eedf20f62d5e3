"""A network and a data set small enough to train in a second."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import nn

from models.inputs import ImageInput
from models.zoo import Network

COUNT = 103
HELD_OUT = 9
"""A tenth of each class: of 35, 34 and 34."""
INPUT = ImageInput("image", "gray", (8, 8), (8, 8), None, (0.5,), (0.25,))


class TinyNet(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.2), nn.Linear(36, 3)
        )


def network() -> Network:
    return Network("tests.models.tiny:network", TinyNet, INPUT, ("bars", "stripes", "plain"), "", None)


def write_data(path: Path) -> Path:
    """Three kinds of pictures; the first pixel of each is its own number, so that it can be told."""
    noise = np.random.default_rng(7).integers(0, 60, (COUNT, 1, 8, 8))
    labels = np.arange(COUNT) % 3
    images = noise + 100
    images[labels == 0, :, :, ::2] += 80
    images[labels == 1, :, ::2, :] += 80
    images[:, 0, 0, 0] = np.arange(COUNT)
    np.savez(path, images=images.astype(np.uint8), labels=labels, classes=np.array(network().labels))
    return path
