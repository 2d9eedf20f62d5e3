"""VGG16 (configuration D) with torchvision's key names.

Source: K. Simonyan, A. Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition",
ICLR 2015.
"""

from __future__ import annotations

import torch
from torch import nn

# Maps of each 3x3 convolution, block by block; a 2x2 max-pool ends every block.
BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


class VGG16(nn.Module):
    """Thirteen 3x3 convolutions and three dense layers, 138,357,544 parameters.

    torchvision puts an adaptive average pool to 7x7 behind ``features``; at this network's 224x224 input the
    maps already are 7x7 and the pool is the identity, so it is left out.
    """

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for block in BLOCKS:
            for maps in block:
                layers += [nn.Conv2d(channels, maps, 3, padding=1), nn.ReLU()]
                channels = maps
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, 4096),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(4096, classes),
        )

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Scores of the classes (logits): float [N, 3, 224, 224] -> float [N, classes]."""
        scores: torch.Tensor = self.classifier(torch.flatten(self.features(image), 1))
        return scores
