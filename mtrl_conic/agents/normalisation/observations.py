"""Observations brought to mean 0 and standard deviation 1, by those seen in training."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mtrl_conic.envs.spec import TaskSpec

_SMALL = 0.01
"""Added to every standard deviation, in quadrature: the noise of a feature that hardly moves is not blown up."""
_LIMIT = 10.0
"""In standard deviations: what was constant so far may move any distance."""


class Standardize(nn.Module):
    """(K, B, D) -> the same, less a mean and over a deviation: of every feature, (1, 1, D), or of every task's."""

    mean: Tensor
    inverse: Tensor

    def __init__(self, spec: TaskSpec, over: Literal["shared", "task"]) -> None:
        super().__init__()
        self.over = over
        shape = (len(spec.task_names) if over == "task" else 1, 1, spec.observation_dim)
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("inverse", torch.ones(shape))

    def forward(self, rows: Tensor) -> Tensor:
        """At most `_LIMIT` deviations from the mean."""
        return ((rows - self.mean) * self.inverse).clamp(-_LIMIT, _LIMIT)


class ObservationScale:
    """Running mean and standard deviation of every feature (as in Lee et al., SimBa, 2024, section 4).

    A position of a robot's hand moves by a decimetre and the task's one-hot by 1: without a common scale the first
    layer, and the normalisation behind it, see the task and hardly the position. The one-hot is left alone. Raw
    observations stay in the replay.

    Args:
        spec: of the tasks.
        over: shared: a feature has one mean and deviation in all tasks, for sets whose features mean the same; task:
            each task has its own.
        device: of the agent.
    """

    def __init__(self, spec: TaskSpec, over: Literal["shared", "task"], device: torch.device | str = "cpu") -> None:
        self.standardize = Standardize(spec, over).to(device)
        self._features = spec.bare_dim
        self._count = 0
        self._mean = np.zeros((len(self.standardize.mean), self._features))
        self._squares = np.zeros_like(self._mean)

    def observe(self, observations: NDArray[np.floating[Any]]) -> None:
        """Take note of a step's observations (N, D), those of the first task's environments first."""
        rows = observations[:, : self._features].reshape(len(self._mean), -1, self._features).astype(np.float64)
        count = rows.shape[1]
        total = self._count + count
        # Chan, Golub and LeVeque, 1983: two sums of squares, each around a mean of its own.
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
        """Count, means, sums of squares."""
        return {"count": self._count, "mean": self._mean.tolist(), "squares": self._squares.tolist()}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue from a `state_dict`."""
        self._count = saved["count"]
        self._mean, self._squares = np.array(saved["mean"]), np.array(saved["squares"])
        if self._count:
            self._refresh()
