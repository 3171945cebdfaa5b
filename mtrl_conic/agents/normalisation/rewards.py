"""Rewards of each task brought to one scale, by how far they spread."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class RewardScale:
    """Rewards over the root of a running variance, each task by its own (as in the code that older MT10 tables ran).

    The mean starts at 0 and the variance at 1; each reward moves the mean by `rate` towards itself, then the variance
    by `rate` towards its squared distance from that mean, and is then divided by the root. Nothing is subtracted.
    Rewards are kept as they were scaled when they came in.

    Args:
        num_tasks: K.
        rate: what a reward counts.
    """

    def __init__(self, num_tasks: int, rate: float) -> None:
        self._rate = rate
        self._mean, self._variance = np.zeros(num_tasks), np.ones(num_tasks)

    def observe(self, rewards: NDArray[np.float64]) -> NDArray[np.float64]:
        """Rewards (N,) of a step, those of the first task's environments first -> the same, scaled."""
        scaled = np.empty((len(self._mean), len(rewards) // len(self._mean)))
        for place, given in enumerate(rewards.reshape(scaled.shape).T):  # a task's environments one after the other
            self._mean += self._rate * (given - self._mean)
            self._variance += self._rate * (np.square(given - self._mean) - self._variance)
            scaled[:, place] = given / (np.sqrt(self._variance) + 1e-8)
        return scaled.reshape(-1)

    def state_dict(self) -> dict[str, Any]:
        """Running means and variances."""
        return {"mean": self._mean.tolist(), "variance": self._variance.tolist()}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue from a `state_dict`."""
        self._mean, self._variance = np.array(saved["mean"]), np.array(saved["variance"])
