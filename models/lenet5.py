"""LeNet-5, the digit reader of LeCun, Bottou, Bengio and Haffner (1998), in two forms.

Source: Y. LeCun et al., "Gradient-Based Learning Applied to Document Recognition", Proc. IEEE 86(11), 1998.
"""

from __future__ import annotations

import torch
from torch import nn


class LeNet5(nn.Module):
    """LeNet-5 for 10 classes; layers bear the paper's names.

    The form in general use, 61,706 parameters: as in the paper tanh, average pooling and C5 as a convolution;
    unlike the paper C3 sees all six maps of S2, S2 and S4 have no trained coefficients, and the output is a
    linear layer whose scores a softmax turns into probabilities.

    Args:
        modern: ReLU and max-pooling in place of tanh and average pooling; the parameters stay the same.
    """

    def __init__(self, *, modern: bool = False) -> None:
        super().__init__()

        def activation() -> nn.Module:
            return nn.ReLU() if modern else nn.Tanh()

        def pooling() -> nn.Module:
            return nn.MaxPool2d(2) if modern else nn.AvgPool2d(2)

        self.c1 = nn.Conv2d(1, 6, 5)
        self.c1_activation = activation()
        self.s2 = pooling()
        self.c3 = nn.Conv2d(6, 16, 5)
        self.c3_activation = activation()
        self.s4 = pooling()
        self.c5 = nn.Conv2d(16, 120, 5)
        self.c5_activation = activation()
        self.flatten = nn.Flatten()
        self.f6 = nn.Linear(120, 84)
        self.f6_activation = activation()
        self.output = nn.Linear(84, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Scores of the classes (logits): float [N, 1, 32, 32] -> float [N, 10]."""
        maps = self.s2(self.c1_activation(self.c1(image)))
        maps = self.s4(self.c3_activation(self.c3(maps)))
        vector = self.flatten(self.c5_activation(self.c5(maps)))
        scores: torch.Tensor = self.output(self.f6_activation(self.f6(vector)))
        return scores


def as_published() -> LeNet5:
    """Tanh and average pooling."""
    return LeNet5()


def modern() -> LeNet5:
    """ReLU and max-pooling."""
    return LeNet5(modern=True)
