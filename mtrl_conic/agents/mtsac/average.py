"""An average of a network's weights over its updates: steadier than the network that is being trained."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from mtrl_conic.networks.flat import flatten, track


class Average:
    """An exponential average of a network's weights (Polyak and Juditsky, 1992, with a memory that fades).

    The first `over` updates weigh alike, so that what the network began with is forgotten at once.

    Args:
        network: whose weights are averaged; on its device already.
        over: updates, of which the last has the weight 1 / `over`.
    """

    def __init__(self, network: nn.Module, over: int) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False)
        """As `network`, with the average in the place of its weights."""
        self._block = flatten(self.network)
        self._over = over
        # A tensor, so that a recorded update counts too.
        self._updates = torch.zeros((), device=self._block.device)

    def take(self, block: Tensor) -> None:
        """One more update: the network's parameters, flat, (P,)."""
        self._updates += 1
        track(self._block, block, 1 / self._updates.clamp(max=self._over))

    def state_dict(self) -> dict[str, Any]:
        """The average, and of how many updates it is."""
        return {"network": self.network.state_dict(), "updates": self._updates.clone()}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue from a `state_dict`."""
        self.network.load_state_dict(saved["network"])
        self._updates.copy_(saved["updates"])
