"""What an agent is to everything that trains it, keeps it, evaluates it and reports on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from mtrl_conic.envs.spec import TaskSpec
from mtrl_conic.execution.timing import Stopwatch

Statistics = dict[str, Tensor]
"""Figures of an update by name, `<component>/<figure>` where they are a component's: (K,), a scalar, or (K, K)."""


class Batch(NamedTuple):
    """A batch: B transitions of each of K tasks."""

    observations: Tensor
    """(K, B, O)"""
    actions: Tensor
    """(K, B, A)"""
    rewards: Tensor
    """(K, B), raw; with n-step returns the discounted sum of the steps up to `next_observations`."""
    discounts: Tensor
    """(K, B), what the value of `next_observations` counts: gamma to the number of steps, 0 where the task itself
    ended the episode. An episode cut by the clock goes on in the value."""
    next_observations: Tensor
    """(K, B, O), the true observation n steps on, or the last one of the episode where that is sooner."""
    weights: tuple[Tensor, ...] = ()
    """None of them where all rows count alike. Else one (K, B), what a row counts in the mean of its task: those of a
    task add up to 1, or to 0 where the batch lacks the task."""

    def present(self) -> list[int] | None:
        """The tasks that the batch has rows of; None: all. It waits for the device."""
        for weights in self.weights:
            has_rows = weights.any(-1)
            if not has_rows.all():
                found: list[int] = has_rows.nonzero().flatten().tolist()
                return found
        return None


@dataclass(frozen=True)
class Schedule:
    """What an agent asks of the loop around it."""

    batch_size: int = 128
    """Transitions per task and update."""
    balanced: bool = True
    """Whether every task has as many transitions in a batch, or they are drawn uniformly over those of all tasks."""
    updates_per_step: int = 1
    """Updates for each step of all tasks."""
    random_steps: int = 1000
    """Steps of uniformly random actions, without updates, before an agent that has not learned anything yet starts."""
    n_step: int = 1
    """Rewards in a batch's `rewards`."""
    discount: float = 0.99
    """Gamma, of a batch's `rewards` and `discounts`."""


class ActsAlone(Protocol):
    """A policy, without the agent that learns it."""

    def act(self, observations: ArrayLike, *, task: str | None = None) -> NDArray[Any]:
        """See `Agent.act`."""


class Agent(Protocol):
    """Learns K tasks from balanced batches of their transitions, and acts on them."""

    spec: TaskSpec
    """Names and sizes of the tasks."""
    device: torch.device
    """Where batches are wanted."""
    seed: int
    """Of everything that the agent draws; the loop draws its batches by it too."""
    watch: Stopwatch
    """Seconds of each part of the updates."""
    updates: int
    """Made so far."""

    @property
    def components(self) -> Sequence[str]:
        """What is trained, by the names that its statistics begin with; `<component>/loss` (K,) shows divergence."""

    @property
    def schedule(self) -> Schedule:
        """What the agent asks of the loop around it."""

    def policy(self) -> ActsAlone:
        """What was learned so far, as the agent is evaluated: further updates do not change it."""

    def act(
        self, observations: ArrayLike, *, task: str | None = None, deterministic: bool = False
    ) -> NDArray[np.float32]:
        """Actions in [-1, 1] for observations (K B, D), those of the first task first; or for one `task`'s own.

        Args:
            observations: B rows of every task; with `task`, that task's alone.
            task: a task's name.
            deterministic: as the agent is evaluated, instead of exploring.
        """

    def random_actions(self, rows: int = 1) -> NDArray[np.float32]:
        """Uniform actions in [-1, 1], (K B, A), where B is `rows`."""

    def begin(self) -> None:
        """New episodes begin in all environments: nothing runs on from the steps observed before."""

    def observe(
        self, observations: NDArray[np.float32], rewards: NDArray[np.float64], ended: NDArray[np.bool_]
    ) -> NDArray[np.float64] | None:
        """Take note of a training step of the task set's N environments.

        Args:
            observations: (N, D), those that the step began with.
            rewards: (N,)
            ended: (N,), whether an episode ended with the step.

        Returns:
            The rewards (N,) that the replay keeps, where those are others than were given.
        """

    def update(self, batch: Batch) -> Statistics:
        """Learn from a batch.

        Raises:
            FloatingPointError: the training diverged; it says which component and task.
        """

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next update or action depends on, in tensors and plain values.

        A tensor with a number that is not finite is a training that diverged: no checkpoint of it is written.
        """

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue from a `state_dict` of an agent that was made in the same way."""
