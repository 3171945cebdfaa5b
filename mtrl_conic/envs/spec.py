"""What an agent has to know of a task set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mtrl_conic.errors import UserError, unknown

if TYPE_CHECKING:
    from mtrl_conic.envs import TaskSet


@dataclass(frozen=True)
class TaskSpec:
    """Names and sizes."""

    task_names: tuple[str, ...]
    observation_dim: int
    """Of an observation as the agent gets it, the one-hot included."""
    action_dim: int
    one_hot: bool
    """Whether the last K entries of an observation are the task's one-hot."""
    observation_dims: tuple[int, ...] | None = None
    """Each task's own size, one-hot not included, where they differ; zeros follow up to the longest."""
    action_dims: tuple[int, ...] | None = None
    """Each task's own size where they differ; the entries behind it mean nothing."""

    @classmethod
    def of(cls, envs: TaskSet) -> TaskSpec:
        """The spec of a task set."""
        observation, action = envs.single_observation_space.shape, envs.single_action_space.shape
        assert observation is not None
        assert action is not None
        stepper = envs.stepper
        sizes = stepper.observation_dims, stepper.action_dims
        return cls(tuple(envs.task_names), observation[0], action[0], envs.one_hot, *sizes)

    @classmethod
    def read(cls, saved: Mapping[str, Any]) -> TaskSpec:
        """The spec whose fields were written as plain values: lists are tuples again."""
        fields: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in saved.items()}
        return cls(**fields)

    @property
    def bare_dim(self) -> int:
        """Size of an observation without the one-hot."""
        return self.observation_dim - len(self.task_names) * self.one_hot

    def own_observation_dim(self, task: int) -> int:
        """Size of an observation as task number `task` itself gives it."""
        return self.bare_dim if self.observation_dims is None else self.observation_dims[task]

    def own_action_dim(self, task: int) -> int:
        """Size of an action of task number `task`."""
        return self.action_dim if self.action_dims is None else self.action_dims[task]

    def action_mask(self, device: torch.device | str = "cpu") -> Tensor | None:
        """(K, 1, A), 1 for the actions of a task, 0 for what pads them; None where nothing does."""
        if self.action_dims is None:
            return None
        sizes = torch.tensor(self.action_dims, device=device).view(-1, 1, 1)
        return (torch.arange(self.action_dim, device=device) < sizes).float()

    def rows(self, observations: NDArray[np.floating[Any]], task: str | None) -> NDArray[np.floating[Any]]:
        """What a network takes: (K, B, D), B rows per task.

        Args:
            observations: (K B, D), those of the first task first; with `task`, that task's alone, (D,), or as the
                task itself gives it: without one-hot and padding.
            task: a task's name.

        Raises:
            UserError: an unknown task, or another shape.
        """
        count, expected = len(self.task_names), (len(self.task_names), self.observation_dim)
        if task is None:
            if observations.ndim != 2 or observations.shape[1] != expected[1] or len(observations) % count:
                raise UserError(f"observations must have shape {expected}, not {observations.shape}; or name the task")
            return observations.reshape(count, -1, expected[1])
        if task not in self.task_names:
            raise unknown("task", task, self.task_names)
        place = self.task_names.index(task)
        row = np.asarray(observations, dtype=np.float32)
        if row.shape == (self.own_observation_dim(place),) and row.shape != expected[1:]:
            own, row = row, np.zeros(expected[1], dtype=np.float32)
            row[: len(own)] = own
            if self.one_hot:
                row[self.bare_dim + place] = 1
        if row.shape != expected[1:]:
            raise UserError(f"an observation of {task} must have shape {expected[1:]}, not {row.shape}")
        # A network with heads takes a row per task; the other rows' actions are dropped.
        return np.tile(row, (count, 1, 1))
