"""The small CNN of the lesson: three blocks of convolution, ReLU and max-pooling, and one dense layer."""

from __future__ import annotations

import torch
from torch import nn


class ExampleCNN(nn.Module):
    """Three 3x3 convolutions (16, 32, 32 maps) and a dense layer 288 -> 10; 16,938 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.relu1 = nn.ReLU()
        self.pool1 = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.relu2 = nn.ReLU()
        self.pool2 = nn.MaxPool2d(2)
        self.conv3 = nn.Conv2d(32, 32, 3, padding=1)
        self.relu3 = nn.ReLU()
        self.pool3 = nn.MaxPool2d(2)
        self.flatten = nn.Flatten()
        self.dense = nn.Linear(288, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Scores of the classes (logits): float [N, 1, 28, 28] -> float [N, 10]."""
        maps = self.pool1(self.relu1(self.conv1(image)))
        maps = self.pool2(self.relu2(self.conv2(maps)))
        maps = self.pool3(self.relu3(self.conv3(maps)))
        scores: torch.Tensor = self.dense(self.flatten(maps))
        return scores
