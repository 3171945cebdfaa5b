"""Normalisation of the rewards of several tasks by the returns of each."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class ReturnScale:
    """Tracks the largest discounted return of each task (as in Nauman et al., Bigger, regularized, categorical, 2025).

    G <- gamma G + r is updated along the training episodes. When a batch is drawn, the rewards of task k are
    multiplied by `limit` / max |G_k|, so that no return so far exceeds `limit`. The replay keeps raw rewards, so a new
    maximum rescales all of them at once.

    Args:
        num_tasks: K.
        discount: gamma.
        limit: the value that the largest return is mapped to.
        device: device of the factors.
    """

    def __init__(self, num_tasks: int, discount: float, limit: float, device: torch.device | str = "cpu") -> None:
        self._discount, self._limit = discount, limit
        self._running = np.zeros((num_tasks, 1))
        self._largest = np.zeros(num_tasks)
        self.factors: Tensor = torch.ones(num_tasks, 1, device=device)
        """(K, 1), 1 for a task without any reward so far."""

    def begin(self) -> None:
        """Note that new episodes begin in all environments."""
        self._running[:] = 0

    def observe(self, rewards: NDArray[np.float64], ended: NDArray[np.bool_]) -> None:
        """Update the returns with the rewards (N,) of a step, ordered by task, and the episodes that it ended, (N,)."""
        rows = rewards.reshape(len(self._largest), -1)
        if rows.shape != self._running.shape:  # other environments than before: their episodes begin
            self._running = np.zeros(rows.shape)
        self._running = self._discount * self._running + rows
        seen = np.abs(self._running).max(1)
        larger = seen > self._largest
        if larger.any():
            self._largest[larger] = seen[larger]
            self._refresh()
        self._running[ended.reshape(self._running.shape)] = 0

    def _refresh(self) -> None:
        seen = self._largest > 0
        factors = np.where(seen, self._limit / np.where(seen, self._largest, 1), 1)
        # In place: a captured update reads this very tensor.
        self.factors.copy_(torch.from_numpy(factors).unsqueeze(1))

    def state_dict(self) -> dict[str, Any]:
        """Return the running and the largest returns."""
        return {"running": self._running.tolist(), "largest": self._largest.tolist()}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue from a `state_dict`."""
        self._running, self._largest = np.array(saved["running"]), np.array(saved["largest"])
        self._running = self._running.reshape(len(self._largest), -1)
        self._refresh()
