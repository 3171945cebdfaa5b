"""One contiguous block that holds all parameters of a network, so that an optimiser or an average needs one pass."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def flatten(module: nn.Module) -> nn.Parameter:
    """Move the parameters of `module` and their gradients into one block.

    Returns:
        The block, (P,), a parameter with a `.grad`. The module keeps its parameters, which become views of the block;
        their `.grad` become views of its `.grad`, so writing to them writes to the block. Move the module to its device
        before, not after.
    """
    parameters = list(module.parameters())
    block = nn.Parameter(torch.cat([p.detach().flatten() for p in parameters]))
    block.grad = torch.zeros_like(block)
    sizes = [p.numel() for p in parameters]
    for p, values, gradient in zip(parameters, block.detach().split(sizes), block.grad.split(sizes), strict=True):
        p.data = values.view(p.shape)
        p.grad = gradient.view(p.shape)
    return block


class Buffers:
    """The buffers of a network, such as the statistics of batches, as a copy of the network takes them over.

    Args:
        source: the network that is trained.
        copy: a deep copy of it.
    """

    def __init__(self, source: nn.Module, copy: nn.Module) -> None:
        kept = source.state_dict().keys() & copy.state_dict().keys()
        self._pairs = [
            (theirs, ours)
            for (name, theirs), (_, ours) in zip(source.named_buffers(), copy.named_buffers(), strict=True)
            if name in kept
        ]

    @torch.no_grad()
    def take(self) -> None:
        """Copy the values of the trained network."""
        for theirs, ours in self._pairs:
            ours.copy_(theirs)


@torch.no_grad()
def track(target: Tensor, source: Tensor, rate: float | Tensor) -> None:
    """Polyak averaging of flat blocks in place: target <- (1 - rate) target + rate source."""
    target.lerp_(source, rate)
