"""A network of the class that most edge devices run, for the benchmarks: depthwise separable convolutions.

MobileNetV2 (https://arxiv.org/abs/1801.04381, table 2) of width 0.35 on pictures of 96 x 96, with 10 classes. Its
weights are drawn: what is measured is time and whether the answers are right.
"""

from __future__ import annotations

import torch
from torch import nn

from models.inputs import ImageInput
from models.zoo import Network

CLASSES = 10
SIZE = 96
WIDTH = 0.35
BLOCKS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, channels, repetitions, stride of the first."""


def _rounded(channels: float) -> int:
    """A multiple of eight, at most a tenth below."""
    near = max(8, int(channels + 4) // 8 * 8)
    return near + 8 if near < 0.9 * channels else near


def _convolution(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]


class Inverted(nn.Module):
    """Expand, convolve each channel, project; add the input where the shapes agree."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        first = [*_convolution(inputs, inner, 1), nn.ReLU6()] if expansion > 1 else []
        middle = [*_convolution(inner, inner, 3, stride, inner), nn.ReLU6()]
        self.layers = nn.Sequential(*first, *middle, *_convolution(inner, outputs, 1))
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Shape: float32 [N, inputs, H, W] to [N, outputs, H / stride, W / stride]."""
        y: torch.Tensor = self.layers(x)
        return x + y if self.adds else y


def _mobilenet_v2() -> nn.Module:
    channels = _rounded(32 * WIDTH)
    layers: list[nn.Module] = [*_convolution(3, channels, 3, 2), nn.ReLU6()]
    for expansion, outputs, count, stride in BLOCKS:
        for index in range(count):
            wide = _rounded(outputs * WIDTH)
            layers.append(Inverted(channels, wide, stride if index == 0 else 1, expansion))
            channels = wide
    layers += [*_convolution(channels, 1280, 1), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(1280, CLASSES))


def mobilenet_v2() -> Network:
    """The network, without weights."""
    half = (0.5, 0.5, 0.5)
    pictures = ImageInput("image", "rgb", (SIZE, SIZE), (SIZE, SIZE), None, half, half)
    return Network("mobilenet-v2", _mobilenet_v2, pictures, tuple(map(str, range(CLASSES))), "", None)
