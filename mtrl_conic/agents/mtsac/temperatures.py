"""The entropy temperature of every task."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class Temperatures:
    """alpha_k, learned so that task k's policy keeps its entropy (Haarnoja et al., 2018, section 5).

    Args:
        num_tasks: K.
        initial: alpha of every task at the start.
        target_entropy: nats, of all tasks or (K,).
        learning_rate: Adam's, on log alpha.
        device: where they live.
    """

    def __init__(
        self,
        num_tasks: int,
        *,
        initial: float,
        target_entropy: float | Tensor,
        learning_rate: float,
        device: torch.device,
    ) -> None:
        self.log = nn.Parameter(torch.full((num_tasks,), initial, device=device).log())
        self.target_entropy = target_entropy
        self.optimizer = torch.optim.Adam([self.log], lr=learning_rate, fused=True)

    def state_dict(self) -> dict[str, Any]:
        """Temperatures and optimiser."""
        return {"log": self.log.detach().clone(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue from a `state_dict`."""
        with torch.no_grad():
            self.log.copy_(saved["log"])
        self.optimizer.load_state_dict(saved["optimizer"])
