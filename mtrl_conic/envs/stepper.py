"""The interface between a task set and its simulators."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mtrl_conic.errors import UserError

Bounds = tuple[tuple[float, ...], tuple[float, ...]]
"""The lower and upper bound of every entry."""


class Step(NamedTuple):
    """The result of one step of N environments. The next step may reuse the arrays."""

    observations: NDArray[np.float64]
    """(N, O), the true next observations, without any reset."""
    rewards: NDArray[np.float64]
    """(N,)"""
    success: NDArray[np.bool_]
    """(N,), whether each task's success condition holds at this step; false for a task without one."""
    terminated: NDArray[np.bool_]
    """(N,), whether each episode was terminated by the task (not by a time limit)."""
    truncated: NDArray[np.bool_] | None = None
    """(N,), whether the environment truncated the episode; None if only the task set's horizon truncates."""


def check_copies(copies: int) -> int:
    """Return a number of environments per task after checking it.

    Raises:
        UserError: it is not a whole number of at least 1.
    """
    if not isinstance(copies, int) or copies < 1:
        raise UserError(f"copies must be a whole number of at least 1, not {copies!r}")
    return copies


class Stepper(ABC):
    """Simulates the N environments of a task set, ordered by task.

    Autoreset, one-hot codes and streams belong to the task set. An episode depends only on its number (`episode`, see
    `reset`) and the actions taken since. The state of an environment within an episode is therefore restored by a reset
    and the same actions.
    """

    task_names: tuple[str, ...]
    observation_dim: int
    action_dim: int
    copies: int = 1
    """The number of environments per task; N is K times that."""
    num_episodes: int
    """The number of different episodes of a task: 50 goals on Meta-World."""
    observation_dims: tuple[int, ...] | None = None
    """The size of each task's observations, if they differ; further entries are zero. None: `observation_dim`."""
    action_dims: tuple[int, ...] | None = None
    """The size of each task's actions, if they differ; further entries are ignored. None: `action_dim`."""
    action_bounds: tuple[Bounds, ...] | None = None
    """The bounds of each task's actions in its own units, which [-1, 1] is mapped onto. None: -1 and 1 for all
    tasks."""
    success_rules: tuple[str | None, ...] | None = None
    """A description of each task's success rule; None for a task without one, for which only returns are reported.
    None instead of a list: every task has a success rule."""

    @abstractmethod
    def reset(self, row: int, episode: int) -> NDArray[np.float64]:
        """Start episode number `episode` (the goal's index on Meta-World) of environment number `row`.

        Returns the first observation, (O,) float64, a copy.
        """

    @abstractmethod
    def step(self, actions: NDArray[np.float32]) -> Step:
        """Take one (N, A) action in every environment. An environment whose episode ended must be reset before."""

    @abstractmethod
    def close(self) -> None:
        """Release the simulators; safe to call twice."""
