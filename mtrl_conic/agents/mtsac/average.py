"""An average of a network's weights over its updates, which varies less than the network itself."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from mtrl_conic.networks.flat import Buffers, flatten, track


class Average:
    """An exponential average of a network's weights (after Polyak and Juditsky, 1992).

    The first `over` updates have equal weights, so that the initial values have no influence.

    Args:
        network: the network whose weights are averaged; it must already be on its device.
        over: number of updates in the average; the last one has the weight 1 / `over`.
    """

    def __init__(self, network: nn.Module, over: int) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False)
        """A copy of the network with the averaged weights."""
        self._block, self._buffers = flatten(self.network), Buffers(network, self.network)
        self._over = over
        # A tensor, so that a recorded update counts too.
        self._updates = torch.zeros((), device=self._block.device)

    def take(self, block: Tensor) -> None:
        """Add the network's parameters after an update, flat, (P,); its buffers are taken as they are."""
        self._updates += 1
        track(self._block, block, 1 / self._updates.clamp(max=self._over))
        self._buffers.take()

    def state_dict(self) -> dict[str, Any]:
        """Return the average and its number of updates."""
        return {"network": self.network.state_dict(), "updates": self._updates.clone()}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue from a `state_dict`."""
        self.network.load_state_dict(saved["network"])
        self._updates.copy_(saved["updates"])
