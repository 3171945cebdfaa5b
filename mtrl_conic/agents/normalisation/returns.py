"""Rewards of ten tasks brought to one scale, by the returns each has seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class ReturnScale:
    """The largest discounted return of each task so far (as in Nauman et al., Bigger, regularized, categorical, 2025).

    G <- gamma G + r runs along the training episodes; the rewards of task k are multiplied, when a batch is
    drawn, by `limit` / max |G_k|, so that no return seen so far is larger than `limit`. Raw rewards stay in the
    replay: a new maximum rescales all of them at once.

    Args:
        num_tasks: K.
        discount: gamma.
        limit: the value that the largest return is mapped to.
        device: of `factors`.
    """

    def __init__(self, num_tasks: int, discount: float, limit: float, device: torch.device | str = "cpu") -> None:
        self._discount, self._limit = discount, limit
        self._running = np.zeros((num_tasks, 1))
        self._largest = np.zeros(num_tasks)
        self.factors: Tensor = torch.ones(num_tasks, 1, device=device)
        """(K, 1), 1 for a task without any reward so far."""

    def begin(self) -> None:
        """New episodes begin in all environments."""
        self._running[:] = 0

    def observe(self, rewards: NDArray[np.float64], ended: NDArray[np.bool_]) -> None:
        """One step: rewards (N,), those of the first task's environments first, and which episodes it ended, (N,)."""
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
        """Running and largest returns."""
        return {"running": self._running.tolist(), "largest": self._largest.tolist()}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue from a `state_dict`."""
        self._running, self._largest = np.array(saved["running"]), np.array(saved["largest"])
        self._running = self._running.reshape(len(self._largest), -1)
        self._refresh()
