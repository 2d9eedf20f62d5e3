"""AlexNet, as published in 2012 and in torchvision's one-tower form.

Sources: A. Krizhevsky, I. Sutskever, G. Hinton, "ImageNet Classification with Deep Convolutional Neural
Networks", NIPS 2012; A. Krizhevsky, "One weird trick for parallelizing convolutional neural networks", 2014
(the one-tower form).
"""

from __future__ import annotations

import torch
from torch import nn


class AlexNet(nn.Module):
    """AlexNet as published: two towers (groups), local response normalisation, 60,965,224 parameters.

    The paper's normalisation is ``b = a / (2 + 1e-4 * sum of 5 squares) ** 0.75``. PyTorch (and ONNX)
    multiply alpha by the *mean* of the squares, hence ``alpha = 5e-4`` here. Dropout acts in training only.
    """

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 96, 11, stride=4),
            nn.ReLU(),
            nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(96, 256, 5, padding=2, groups=2),
            nn.ReLU(),
            nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(256, 384, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 384, 3, padding=1, groups=2),
            nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1, groups=2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
        )
        self.classifier = _classifier(256 * 6 * 6, classes)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Scores of the classes (logits): float [N, 3, 227, 227] -> float [N, classes]."""
        scores: torch.Tensor = self.classifier(torch.flatten(self.features(image), 1))
        return scores


class AlexNetTorchvision(nn.Module):
    """The one-tower AlexNet with torchvision's key names and shapes, 61,100,840 parameters.

    torchvision puts an adaptive average pool to 6x6 behind ``features``; at this network's 224x224 input the
    maps already are 6x6 and the pool is the identity, so it is left out.
    """

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 11, stride=4, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 192, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(192, 384, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
        )
        self.classifier = _classifier(256 * 6 * 6, classes)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Scores of the classes (logits): float [N, 3, 224, 224] -> float [N, classes]."""
        scores: torch.Tensor = self.classifier(torch.flatten(self.features(image), 1))
        return scores


def _classifier(features: int, classes: int) -> nn.Sequential:
    """The three dense layers, at torchvision's positions 1, 4 and 6."""
    return nn.Sequential(
        nn.Dropout(),
        nn.Linear(features, 4096),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(4096, 4096),
        nn.ReLU(),
        nn.Linear(4096, classes),
    )
