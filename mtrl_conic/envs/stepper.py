"""The seam between a task set and what simulates it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Step(NamedTuple):
    """What one step of K environments led to. The arrays may be reused by the next step."""

    observations: NDArray[np.float64]
    """(K, O), the true next observations; nothing is reset here."""
    rewards: NDArray[np.float64]
    """(K,)"""
    success: NDArray[np.bool_]
    """(K,), whether each task's success condition holds at this step."""
    terminated: NDArray[np.bool_]
    """(K,), whether each episode ended by the task's own rule (never by the clock)."""


class Stepper(ABC):
    """Simulates the K environments of a task set, one task each.

    It knows nothing of horizons, autoreset, one-hot or seeds: the task set does. What an episode is
    depends on nothing but its number (`episode`, see `reset`) and the actions taken since, so an
    environment's state in mid-episode is restored by resetting it and taking the same actions again.
    """

    task_names: tuple[str, ...]
    observation_dim: int
    action_dim: int
    num_episodes: int
    """How many different episodes a task has: 50 goals on Meta-World."""

    @abstractmethod
    def reset(self, task: int, episode: int) -> NDArray[np.float64]:
        """Start episode number `episode` (the goal's index on Meta-World) of task number `task`.

        Returns the first observation, (O,) float64, a copy.
        """

    @abstractmethod
    def step(self, actions: NDArray[np.float32]) -> Step:
        """Take one (K, A) float32 action of every task."""

    @abstractmethod
    def close(self) -> None:
        """Release the simulators; safe to call twice."""
