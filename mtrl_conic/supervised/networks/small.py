"""A small encoder-decoder for scenes, for CPUs and small images."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from mtrl_conic.supervised.network import SeparateHeads, TaskNetwork
from mtrl_conic.supervised.networks.segnet import convolution, initialised


def small(channels: Sequence[int], width: int = 16) -> TaskNetwork:
    """Build an encoder-decoder of four stages with skip connections, and heads of two layers at half resolution.

    The encoder reduces the image to a sixteenth of its side lengths.

    Args:
        channels: number of output channels of each task.
        width: number of channels of the first stage; the others have two, four and eight times as many.
    """
    return initialised(TaskNetwork(_Trunk(width), SeparateHeads(_Head(width, c) for c in channels), len(channels)))


class _Trunk(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        widths = [width, 2 * width, 4 * width, 8 * width]
        self.start = nn.Sequential(nn.Conv2d(3, width, 3, stride=2, padding=1), nn.BatchNorm2d(width), nn.ReLU())
        self.down = nn.ModuleList(convolution(i, o) for i, o in pairwise(widths))
        self.up = nn.ModuleList(convolution(o + i, i) for i, o in pairwise(widths))

    def forward(self, image: Tensor) -> Tensor:
        x, kept = self.start(image), []
        for convolve in self.down:
            kept.append(x)
            x = convolve(functional.max_pool2d(x, 2))
        for convolve, skip in zip(reversed(self.up), reversed(kept), strict=True):
            x = convolve(torch.cat([functional.interpolate(x, size=skip.shape[-2:]), skip], 1))
        made: Tensor = x
        return made


class _Head(nn.Module):
    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(convolution(width, width), nn.Conv2d(width, outputs, 1))

    def forward(self, features: Tensor) -> Tensor:
        """Map features (B, width, H/2, W/2) to an output (B, outputs, H, W)."""
        made: Tensor = self.layers(features)
        return functional.interpolate(made, scale_factor=2, mode="bilinear", align_corners=False)
