"""The seam between a task set and what simulates it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mtrl_conic.errors import UserError

Bounds = tuple[tuple[float, ...], tuple[float, ...]]
"""The least and the largest value of every entry."""


class Step(NamedTuple):
    """What one step of N environments led to. The arrays may be reused by the next step."""

    observations: NDArray[np.float64]
    """(N, O), the true next observations; nothing is reset here."""
    rewards: NDArray[np.float64]
    """(N,)"""
    success: NDArray[np.bool_]
    """(N,), whether each task's success condition holds at this step; false where a task has none."""
    terminated: NDArray[np.bool_]
    """(N,), whether each episode ended by the task's own rule (never by the clock)."""
    truncated: NDArray[np.bool_] | None = None
    """(N,), whether the environment itself cut the episode; None where only the task set's horizon does."""


def check_copies(copies: int) -> int:
    """A number of environments of each task, as it is.

    Raises:
        UserError: not a whole number of at least 1.
    """
    if not isinstance(copies, int) or copies < 1:
        raise UserError(f"copies must be a whole number of at least 1, not {copies!r}")
    return copies


class Stepper(ABC):
    """Simulates the N environments of a task set: those of the first task, then those of the second, and so on.

    It knows nothing of autoreset, one-hot or streams: the task set does. What an episode is depends on
    nothing but its number (`episode`, see `reset`) and the actions taken since, so an environment's
    state in mid-episode is restored by resetting it and taking the same actions again.
    """

    task_names: tuple[str, ...]
    observation_dim: int
    action_dim: int
    copies: int = 1
    """Environments of each task; N is K times that."""
    num_episodes: int
    """How many different episodes a task has: 50 goals on Meta-World."""
    observation_dims: tuple[int, ...] | None = None
    """Each task's own size where they differ; the entries behind it are zero. None: `observation_dim`."""
    action_dims: tuple[int, ...] | None = None
    """Each task's own size where they differ; the entries behind it are ignored. None: `action_dim`."""
    action_bounds: tuple[Bounds, ...] | None = None
    """The least and largest values of each task's own actions, in its own units, which [-1, 1] is mapped onto. None:
    they are -1 and 1 everywhere."""
    success_rules: tuple[str | None, ...] | None = None
    """What success means on each task, in words; None for a task where nothing does, which reports returns only.
    None in its whole: every task has its success."""

    @abstractmethod
    def reset(self, row: int, episode: int) -> NDArray[np.float64]:
        """Start episode number `episode` (the goal's index on Meta-World) of environment number `row`.

        Returns the first observation, (O,) float64, a copy.
        """

    @abstractmethod
    def step(self, actions: NDArray[np.float32]) -> Step:
        """Take one (N, A) action of every environment. One whose episode ended is reset before its next step."""

    @abstractmethod
    def close(self) -> None:
        """Release the simulators; safe to call twice."""
