"""The entropy temperature of every task, or of all."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class Temperatures:
    """alpha_k, learned so that task k's policy keeps its entropy (Haarnoja et al., 2018, section 5).

    Args:
        num_tasks: K.
        shared: whether all tasks have the same one, learned from the rows of all.
        initial: alpha of every task at the start.
        target_entropy: nats, of all tasks or (K,).
        learning_rate: Adam's, on log alpha.
        device: where they live.
    """

    def __init__(
        self,
        num_tasks: int,
        *,
        shared: bool = False,
        initial: float,
        target_entropy: float | Tensor,
        learning_rate: float,
        device: torch.device,
    ) -> None:
        self._shared = shared
        self.log = nn.Parameter(torch.full((1 if shared else num_tasks,), initial, device=device).log())
        self.target_entropy = target_entropy
        self._learning_rate = learning_rate
        self.optimizer = torch.optim.Adam([self.log], lr=learning_rate, fused=True)

    def differentiate(self, log_density: Tensor, weights: Tensor | None = None) -> None:
        """Set the gradient of -log_alpha (log_density + target): of each task's rows, or of the rows of all.

        Args:
            log_density: (K,), mean over the rows of each task.
            weights: (K, B), of the rows, where tasks have unequal numbers of them.
        """
        gradient = -(log_density + self.target_entropy)
        if weights is not None:
            rows = weights.count_nonzero(-1)
            gradient = gradient * (rows * len(rows) / rows.sum() if self._shared else rows > 0)
        self.log.grad = gradient.mean(0, keepdim=True) if self._shared else gradient

    def state_dict(self) -> dict[str, Any]:
        """Temperatures and optimiser."""
        return {"log": self.log.detach().clone(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue from a `state_dict`; the learning rate is this one's own."""
        with torch.no_grad():
            self.log.copy_(saved["log"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.optimizer.param_groups[0]["lr"] = self._learning_rate
