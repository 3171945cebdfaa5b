"""SegNet, and SegNet with attention per task (Liu et al., MTAN, CVPR 2019, figure 2 and their code).

Images are (B, 3, H, W) with H and W divisible by 32. Outputs are (B, channels, H, W).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from mtrl_conic.supervised.network import SeparateHeads, TaskNetwork

WIDTHS = (64, 128, 256, 512, 512)
"""Number of channels of the five stages."""


def convolution(inputs: int, outputs: int) -> nn.Sequential:
    """Build a 3x3 convolution with batch normalisation and ReLU."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def prediction(inputs: int, outputs: int) -> nn.Sequential:
    """Build the last two layers of a task, which have no nonlinearity between them."""
    return nn.Sequential(nn.Conv2d(inputs, inputs, 3, padding=1), nn.Conv2d(inputs, outputs, 1))


def segnet(channels: Sequence[int], widths: Sequence[int] = WIDTHS) -> TaskNetwork:
    """Build a SegNet with shared encoder and decoder and two layers per task (MTAN's "split, standard").

    Args:
        channels: number of output channels of each task.
        widths: number of channels of each stage.
    """
    trunk = SegNet(widths, taps=False)
    return initialised(TaskNetwork(trunk, SeparateHeads(prediction(widths[0], c) for c in channels), len(channels)))


def mtan(channels: Sequence[int], widths: Sequence[int] = WIDTHS) -> TaskNetwork:
    """Build an MTAN: a shared SegNet whose features are masked by an attention branch per task.

    The branches share the convolutions between their masks, as in the paper.

    Args:
        channels: number of output channels of each task.
        widths: number of channels of each stage.
    """
    heads = SeparateHeads((_Branch(widths, c) for c in channels), shared=_Between(widths))
    return initialised(TaskNetwork(SegNet(widths, taps=True), heads, len(channels)))


def initialised(network: TaskNetwork) -> TaskNetwork:
    """Initialise the convolutions with Xavier's normal distribution, as in the published code."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.xavier_normal_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network


class SegNet(nn.Module):
    """The encoder and decoder of SegNet: five stages with max-pooling, and five that unpool at the pooled positions.

    Args:
        widths: number of channels of each stage.
        taps: return all features that MTAN's branches use instead of the last layer only: the first and last features
            of every encoder stage, then the input and last features of every decoder stage, deepest stage first.
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
        """Map an image (B, 3, H, W) to features (B, widths[0], H, W), or to all taps."""
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
    """The convolutions between the masks, which all branches share."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        deeper = (*widths[1:], widths[-1])
        self.down = nn.ModuleList(convolution(i, o) for i, o in zip(widths, deeper, strict=True))
        ups = [widths[0], *widths[:-1]]
        # Decoder convolutions come deepest stage first; the deepest one keeps its number of channels.
        pairs = list(zip(widths, ups, strict=True))
        self.up = nn.ModuleList(convolution(i, o) for i, o in reversed([*pairs[:-1], (widths[-1], widths[-1])]))


class _Branch(nn.Module):
    """The attention masks and the prediction layers of one task."""

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
        """Map the taps of `SegNet` to an output (B, outputs, H, W)."""
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
