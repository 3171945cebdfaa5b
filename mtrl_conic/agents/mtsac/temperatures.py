"""Entropy temperatures, one per task or one for all."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class Temperatures:
    """alpha_k, learned so that task k's policy keeps its entropy (Haarnoja et al., 2018, section 5).

    Args:
        num_tasks: K.
        shared: whether all tasks share one temperature, learned from the rows of all tasks.
        initial: initial alpha of every task.
        target_entropy: target entropy in nats, one number or (K,).
        learning_rate: learning rate of Adam on log alpha.
        device: device of the temperatures.
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
        """Set the gradient of -log_alpha (log_density + target), from the rows of each task or of all tasks.

        Args:
            log_density: (K,), mean over the rows of each task.
            weights: (K, B), weights of the rows, if tasks have different numbers of them.
        """
        gradient = -(log_density + self.target_entropy)
        if weights is not None:
            rows = weights.count_nonzero(-1)
            gradient = gradient * (rows * len(rows) / rows.sum() if self._shared else rows > 0)
        self.log.grad = gradient.mean(0, keepdim=True) if self._shared else gradient

    def state_dict(self) -> dict[str, Any]:
        """Return the temperatures and the state of the optimiser."""
        return {"log": self.log.detach().clone(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue from a `state_dict`, but keep the current learning rate."""
        with torch.no_grad():
            self.log.copy_(saved["log"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.optimizer.param_groups[0]["lr"] = self._learning_rate
