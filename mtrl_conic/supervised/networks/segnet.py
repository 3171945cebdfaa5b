"""SegNet, and SegNet with an attention branch per task (Liu et al., MTAN, CVPR 2019, figure 2 and its code).

Images are (B, 3, H, W) with H and W divisible by 32; outputs (B, channels, H, W).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from mtrl_conic.supervised.network import SeparateHeads, TaskNetwork

WIDTHS = (64, 128, 256, 512, 512)
"""Channels of the five stages."""


def convolution(inputs: int, outputs: int) -> nn.Sequential:
    """3x3, batch normalisation, ReLU."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def prediction(inputs: int, outputs: int) -> nn.Sequential:
    """A task's last two layers, without a nonlinearity between them."""
    return nn.Sequential(nn.Conv2d(inputs, inputs, 3, padding=1), nn.Conv2d(inputs, outputs, 1))


def segnet(channels: Sequence[int], widths: Sequence[int] = WIDTHS) -> TaskNetwork:
    """Encoder and decoder shared, the last two layers of each task its own (MTAN's "split, standard").

    Args:
        channels: number of output channels of each task's output.
        widths: number of channels of the stages.
    """
    trunk = SegNet(widths, taps=False)
    return initialised(TaskNetwork(trunk, SeparateHeads(prediction(widths[0], c) for c in channels), len(channels)))


def mtan(channels: Sequence[int], widths: Sequence[int] = WIDTHS) -> TaskNetwork:
    """A shared SegNet whose features each task masks with attention of its own.

    The convolutions between the masks are shared by the tasks' branches, as in the paper.

    Args:
        channels: number of output channels of each task's output.
        widths: number of channels of the stages.
    """
    heads = SeparateHeads((_Branch(widths, c) for c in channels), shared=_Between(widths))
    return initialised(TaskNetwork(SegNet(widths, taps=True), heads, len(channels)))


def initialised(network: TaskNetwork) -> TaskNetwork:
    """Xavier's normal values for the convolutions, as published."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.xavier_normal_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network


class SegNet(nn.Module):
    """Five stages down by max-pooling and five up by unpooling at the same places.

    Args:
        widths: channels of the stages.
        taps: hand out what MTAN's branches look at instead of the last layer alone: of every encoder stage the
            first and last features, then of every decoder stage, deepest first, its input and last features.
    """

    def __init__(self, widths: Sequence[int], *, taps: bool) -> None:
        super().__init__()
        self.taps = taps
        ins, outs = (3, *widths[:-1]), widths
        more = [1, 1, *[2] * (len(widths) - 2)]
        self.down_first = nn.ModuleList(convolution(i, o) for i, o in zip(ins, outs, strict=True))
        self.down_rest = nn.ModuleList(_repeated(o, n) for o, n in zip(outs, more, strict=True))
        ups = [widths[0], *widths[:-1]]
        self.up_first = nn.ModuleList(convolution(o, u) for o, u in zip(outs, ups, strict=True))
        self.up_rest = nn.ModuleList(_repeated(u, n) for u, n in zip(ups, more, strict=True))

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, ...]:
        """(B, 3, H, W) -> features (B, widths[0], H, W), or all taps."""
        x, found, places = image, [], []
        for first, rest in zip(self.down_first, self.down_rest, strict=True):
            start = first(x)
            end = rest(start)
            found += [start, end]
            x, where = functional.max_pool2d(end, 2, 2, return_indices=True)
            places.append(where)
        for first, rest, where in zip(reversed(self.up_first), reversed(self.up_rest), reversed(places), strict=True):
            start = functional.max_unpool2d(x, where, [2, 2])
            x = rest(first(start))
            found += [start, x]
        return tuple(found) if self.taps else x


class _Between(nn.Module):
    """The convolutions that all branches take between two of their masks."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        deeper = (*widths[1:], widths[-1])
        self.down = nn.ModuleList(convolution(i, o) for i, o in zip(widths, deeper, strict=True))
        ups = [widths[0], *widths[:-1]]
        # Deepest first; the deepest one keeps its channels.
        pairs = list(zip(widths, ups, strict=True))
        self.up = nn.ModuleList(convolution(i, o) for i, o in reversed([*pairs[:-1], (widths[-1], widths[-1])]))


class _Branch(nn.Module):
    """A task's masks on the shared features, and its prediction."""

    def __init__(self, widths: Sequence[int], outputs: int) -> None:
        super().__init__()
        below = (0, *widths[1:])
        self.down = nn.ModuleList(_mask(w + b, w) for w, b in zip(widths, below, strict=True))
        ups = [widths[0], *widths[:-1]]
        between = [*ups[:-1], widths[-1]]
        sizes = [(w + b, u) for w, b, u in zip(widths, between, ups, strict=True)]
        self.up = nn.ModuleList(_mask(i, o) for i, o in reversed(sizes))
        self.prediction = prediction(widths[0], outputs)

    def forward(self, between: _Between, *taps: Tensor) -> Tensor:
        """Taps of `SegNet` -> (B, outputs, H, W)."""
        stages = len(self.down)
        x: Tensor | None = None
        for mask, convolve, start, end in zip(self.down, between.down, taps[0::2], taps[1::2], strict=False):
            masked = mask(start if x is None else torch.cat([start, x], 1)) * end
            x = functional.max_pool2d(convolve(masked), 2, 2)
        for mask, convolve, start, end in zip(
            self.up, between.up, taps[2 * stages :: 2], taps[2 * stages + 1 :: 2], strict=True
        ):
            assert x is not None
            wide = convolve(functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True))
            x = mask(torch.cat([start, wide], 1)) * end
        made: Tensor = self.prediction(x)
        return made


def _mask(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 1),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
        nn.Conv2d(outputs, outputs, 1),
        nn.BatchNorm2d(outputs),
        nn.Sigmoid(),
    )


def _repeated(width: int, times: int) -> nn.Sequential:
    return nn.Sequential(*(convolution(width, width) for _ in range(times)))
