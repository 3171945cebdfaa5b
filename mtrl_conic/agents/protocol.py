"""The protocol of agents for training, saving, evaluation and reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from mtrl_conic.envs.spec import TaskSpec
from mtrl_conic.errors import UserError
from mtrl_conic.execution.timing import Stopwatch

Statistics = dict[str, Tensor]
"""Statistics of an update by name, with the prefix `<component>/` for a component: (K,), a scalar, or (K, K)."""
ERRORS = "errors"
"""Name of the statistic with the absolute error (K, B) of each row of the batch, if transitions have priorities."""


class Batch(NamedTuple):
    """A batch of B transitions of each of K tasks."""

    observations: Tensor
    """(K, B, O)"""
    actions: Tensor
    """(K, B, A)"""
    rewards: Tensor
    """(K, B), unscaled; with n-step returns, the discounted sum over the steps up to `next_observations`."""
    discounts: Tensor
    """(K, B), the factor of the value of `next_observations`: gamma to the number of steps, or 0 if the task
    terminated the episode. After a truncation the value is bootstrapped."""
    next_observations: Tensor
    """(K, B, O), the true observation n steps later, or the last observation of the episode if it ends before."""
    weights: tuple[Tensor, ...] = ()
    """Empty if all rows have equal weights. Otherwise one tensor (K, B) with the weight of each row in its task's mean:
    the weights of a task sum to 1, or to 0 if the batch lacks the task."""

    def to(self, device: torch.device | str) -> Batch:
        """Return the batch in float32 on a device; float32 tensors that are there already are not copied."""

        def moved(part: Tensor) -> Tensor:
            return torch.as_tensor(part, dtype=torch.float32, device=device)

        return Batch(
            moved(self.observations),
            moved(self.actions),
            moved(self.rewards),
            moved(self.discounts),
            moved(self.next_observations),
            tuple(map(moved, self.weights)),
        )

    def check(self, spec: TaskSpec) -> None:
        """Check the shapes, because some wrong ones, such as rewards (K, 1), would be broadcast.

        Raises:
            UserError: a tensor has another shape than these tasks require.
        """
        sizes = [part.shape[1] for part in self[:5] if part.dim() > 1] or [1]
        rows = len(spec.task_names), max(sizes, key=sizes.count)
        observations, actions = (*rows, spec.observation_dim), (*rows, spec.action_dim)
        expected = observations, actions, rows, rows, observations, *[rows] * len(self.weights)
        names = *self._fields[:5], *["weights"] * len(self.weights)
        for name, part, shape in zip(names, (*self[:5], *self.weights), expected, strict=True):
            if part.shape != shape:
                raise UserError(f"{name} of a batch must have shape {shape}, not {tuple(part.shape)}")

    def present(self) -> list[int] | None:
        """Return the tasks that the batch has rows of; None for all. It waits for the device."""
        for weights in self.weights:
            has_rows = weights.any(-1)
            if not has_rows.all():
                found: list[int] = has_rows.nonzero().flatten().tolist()
                return found
        return None


@dataclass(frozen=True)
class Schedule:
    """The requirements of an agent on the training loop."""

    batch_size: int = 128
    """The number of transitions per task in an update."""
    balanced: bool = True
    """Whether every task has the same number of transitions in a batch; otherwise they are drawn over all tasks."""
    updates_per_step: int = 1
    """The number of updates per step of all tasks."""
    random_steps: int = 1000
    """The number of steps with random actions and without updates before an untrained agent starts to learn."""
    n_step: int = 1
    """The number of rewards that are summed in a batch's `rewards`."""
    discount: float = 0.99
    """The discount factor gamma of a batch's `rewards` and `discounts`."""
    priority_exponent: float = 0.0
    """The exponent of the transitions' priorities, which follow the statistic `ERRORS` of updates; 0: no priorities."""


class ActsAlone(Protocol):
    """A policy that acts without its agent."""

    def act(self, observations: ArrayLike, *, task: str | None = None) -> NDArray[Any]:
        """Return actions, see `Agent.act`."""


class Agent(Protocol):
    """Learns K tasks from balanced batches of their transitions, and acts on them."""

    spec: TaskSpec
    """Names and sizes of the tasks."""
    device: torch.device
    """The device for batches."""
    seed: int
    """The seed of the agent's random numbers, with which the loop also draws batches."""
    watch: Stopwatch
    """The seconds of each part of the updates."""
    updates: int
    """The number of updates so far."""

    @property
    def components(self) -> Sequence[str]:
        """The trained components, which prefix the statistics; `<component>/loss` (K,) is monitored for divergence."""

    @property
    def schedule(self) -> Schedule:
        """The requirements of the agent on the training loop."""

    def policy(self) -> ActsAlone:
        """Return the current policy for evaluation; further updates do not change it."""

    def act(
        self, observations: ArrayLike, *, task: str | None = None, deterministic: bool = False
    ) -> NDArray[np.float32]:
        """Return actions in [-1, 1] for observations (K B, D), ordered by task, or for those of one `task`.

        Args:
            observations: B rows of every task; with `task`, only of that task.
            task: name of a task.
            deterministic: whether to act as in evaluation instead of exploring.
        """

    def random_actions(self, rows: int = 1) -> NDArray[np.float32]:
        """Return uniform actions in [-1, 1], (K B, A), where B is `rows`."""

    def begin(self) -> None:
        """Note that new episodes begin in all environments, so that nothing continues from earlier steps."""

    def observe(
        self, observations: NDArray[np.float32], rewards: NDArray[np.float64], ended: NDArray[np.bool_]
    ) -> NDArray[np.float64] | None:
        """Observe a training step of the task set's N environments.

        Args:
            observations: (N, D), the observations before the step.
            rewards: (N,)
            ended: (N,), whether an episode ended with the step.

        Returns:
            The rewards (N,) for the replay if they differ from the given ones, otherwise None.
        """

    def update(self, batch: Batch) -> Statistics:
        """Learn from a batch.

        Raises:
            FloatingPointError: the training diverged; the message names the component and the task.
        """

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the next update or action depends on, in tensors and plain values.

        A tensor with a number that is not finite means that the training diverged; no checkpoint of it is written.
        """

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue from the `state_dict` of an agent that was made with the same arguments."""
