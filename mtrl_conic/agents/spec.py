"""What an agent has to know of a task set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

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

    @classmethod
    def of(cls, envs: TaskSet) -> TaskSpec:
        """The spec of a task set."""
        observation, action = envs.single_observation_space.shape, envs.single_action_space.shape
        assert observation is not None
        assert action is not None
        return cls(tuple(envs.task_names), observation[0], action[0], envs.one_hot)
