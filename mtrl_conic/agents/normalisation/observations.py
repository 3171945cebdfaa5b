"""Normalisation of observations to mean 0 and standard deviation 1, with statistics from training."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mtrl_conic.envs.spec import TaskSpec

_SMALL = 0.01
"""Added to every standard deviation in quadrature, so that the noise of a nearly constant feature is not amplified."""
_LIMIT = 10.0
"""Limit in standard deviations: a feature that was constant so far may change by any amount."""


class Standardize(nn.Module):
    """Subtracts a mean and divides by a deviation, (K, B, D): one per feature, (1, 1, D), or per task and feature."""

    mean: Tensor
    inverse: Tensor

    def __init__(self, spec: TaskSpec, over: Literal["shared", "task"]) -> None:
        super().__init__()
        self.over = over
        shape = (len(spec.task_names) if over == "task" else 1, 1, spec.observation_dim)
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("inverse", torch.ones(shape))

    def forward(self, rows: Tensor) -> Tensor:
        """Return normalised observations, at most `_LIMIT` deviations from the mean."""
        return ((rows - self.mean) * self.inverse).clamp(-_LIMIT, _LIMIT)


class ObservationScale:
    """The running mean and standard deviation of every feature (as in Lee et al., SimBa, 2024, section 4).

    The position of a robot's hand varies by a decimetre and the one-hot code of the task by 1. Without a common scale,
    the first layer and the normalisation after it are dominated by the task. The one-hot code is not normalised. The
    replay keeps raw observations.

    Args:
        spec: names and sizes of the tasks.
        over: `shared` uses one mean and deviation per feature for all tasks, for task sets whose features mean the
            same; `task` uses separate ones for each task.
        device: device of the agent.
    """

    def __init__(self, spec: TaskSpec, over: Literal["shared", "task"], device: torch.device | str = "cpu") -> None:
        self.standardize = Standardize(spec, over).to(device)
        self._features = spec.bare_dim
        self._count = 0
        self._mean = np.zeros((len(self.standardize.mean), self._features))
        self._squares = np.zeros_like(self._mean)

    def observe(self, observations: NDArray[np.floating[Any]]) -> None:
        """Update the statistics with the observations (N, D) of a step, ordered by task."""
        rows = observations[:, : self._features].reshape(len(self._mean), -1, self._features).astype(np.float64)
        count = rows.shape[1]
        total = self._count + count
        # Chan, Golub and LeVeque, 1983: the sums of squares around two different means are combined.
        mean = rows.mean(1)
        apart = mean - self._mean
        self._squares += np.square(rows - mean[:, None]).sum(1) + np.square(apart) * (self._count * count / total)
        self._mean += apart * (count / total)
        self._count = total
        self._refresh()

    def _refresh(self) -> None:
        deviation = np.sqrt(self._squares / self._count + _SMALL**2)
        self.standardize.mean[:, 0, : self._features] = torch.from_numpy(self._mean)
        self.standardize.inverse[:, 0, : self._features] = torch.from_numpy(1 / deviation)

    def state_dict(self) -> dict[str, Any]:
        """Return the count, the means and the sums of squares."""
        return {"count": self._count, "mean": self._mean.tolist(), "squares": self._squares.tolist()}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue from a `state_dict`."""
        self._count = saved["count"]
        self._mean, self._squares = np.array(saved["mean"]), np.array(saved["squares"])
        if self._count:
            self._refresh()
