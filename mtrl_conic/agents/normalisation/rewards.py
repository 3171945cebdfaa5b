"""Normalisation of each task's rewards by their standard deviation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class RewardScale:
    """Divides rewards by the root of their task's running variance (as in the code behind older MT10 tables).

    The mean starts at 0 and the variance at 1. Each reward moves the mean towards itself by `rate`, then the variance
    towards its squared distance from that mean by `rate`, and is then divided by the root. The mean is not subtracted.
    Rewards are stored with the scale that they had when they arrived.

    Args:
        num_tasks: K.
        rate: weight of a new reward.
    """

    def __init__(self, num_tasks: int, rate: float) -> None:
        self._rate = rate
        self._mean, self._variance = np.zeros(num_tasks), np.ones(num_tasks)

    def observe(self, rewards: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the rewards (N,) of a step, ordered by task, after scaling."""
        scaled = np.empty((len(self._mean), len(rewards) // len(self._mean)))
        for place, given in enumerate(rewards.reshape(scaled.shape).T):  # a task's environments one after the other
            self._mean += self._rate * (given - self._mean)
            self._variance += self._rate * (np.square(given - self._mean) - self._variance)
            scaled[:, place] = given / (np.sqrt(self._variance) + 1e-8)
        return scaled.reshape(-1)

    def state_dict(self) -> dict[str, Any]:
        """Return the running means and variances."""
        return {"mean": self._mean.tolist(), "variance": self._variance.tolist()}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue from a `state_dict`."""
        self._mean, self._variance = np.array(saved["mean"]), np.array(saved["variance"])
