"""Batch normalisation as scaffolding.

It stands behind every convolution during training and is folded into it before the weights are saved. The
published network has none; it only trains faster and better with it.

Source: S. Ioffe, C. Szegedy, "Batch Normalization", ICML 2015.
"""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


class NormalizedConv(nn.Module):
    """A convolution and the batch normalisation of its maps."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv
        self.norm = nn.BatchNorm2d(conv.out_channels)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """[N, C, H, W] -> [N, C', H', W']."""
        normalized: torch.Tensor = self.norm(self.conv(maps))
        return normalized


def insert(module: nn.Module) -> nn.Module:
    """A copy of the network with batch normalisation behind every two-dimensional convolution."""
    copied = copy.deepcopy(module)
    for parent in list(copied.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.Conv2d):
                setattr(parent, name, NormalizedConv(child))
    return copied


def fold(module: nn.Module) -> nn.Module:
    """The opposite of :func:`insert`: a copy in evaluation mode, without normalisation, that computes the same."""
    copied = copy.deepcopy(module).eval()
    for parent in list(copied.modules()):
        for name, child in parent.named_children():
            if isinstance(child, NormalizedConv):
                setattr(parent, name, fuse_conv_bn_eval(child.conv, child.norm))
    return copied
