"""A network that is trained through a balancer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from mtrl_conic.balancers import Balancer
from mtrl_conic.gradients import Layout
from mtrl_conic.networks.flat import flatten


class Component:
    """The actor or the critic with its optimiser and its own balancer.

    Args:
        name: prefix of its statistics.
        network: on its device already.
        balancer: of this component alone; its state is part of this component's.
        learning_rate: AdamW's (Loshchilov and Hutter, 2019), which without weight decay is Adam.
        weight_decay: AdamW's.
        balanced: says of a shared parameter's name whether the balancer combines its gradients.
    """

    def __init__(
        self,
        name: str,
        network: nn.Module,
        balancer: Balancer,
        *,
        learning_rate: float,
        weight_decay: float = 0,
        balanced: Callable[[str], bool] = lambda name: True,
    ) -> None:
        self.name = name
        self.network = network
        self.balancer = balancer
        self.block = flatten(network)
        self.layout = Layout(network, balanced)
        self.optimizer = torch.optim.AdamW([self.block], lr=learning_rate, weight_decay=weight_decay, fused=True)

    def state_dict(self) -> dict[str, Any]:
        """Network, optimiser and balancer."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "balancer": self.balancer.state_dict(),
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue from a `state_dict` of the same configuration."""
        self.network.load_state_dict(saved["network"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.balancer.load_state_dict(saved["balancer"])
