"""The names and sizes of a task set's tasks, for agents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn import functional

from mtrl_conic.envs.stepper import Bounds
from mtrl_conic.errors import UserError, first_line, listed, unknown

if TYPE_CHECKING:
    from mtrl_conic.envs import TaskSet


@dataclass(frozen=True)
class TaskSpec:
    """The names and sizes of a task set's tasks."""

    task_names: tuple[str, ...]
    observation_dim: int
    """The size of an observation for the agent, including the one-hot code."""
    action_dim: int
    one_hot: bool
    """Whether the last K entries of an observation are the one-hot code of the task."""
    observation_dims: tuple[int, ...] | None = None
    """The size of each task's observations without the one-hot code, if they differ; they are padded to the longest."""
    action_dims: tuple[int, ...] | None = None
    """The size of each task's actions, if they differ; further entries are ignored."""
    action_bounds: tuple[Bounds, ...] | None = None
    """The bounds of each task's actions in its own units; None: -1 and 1 for all tasks."""

    @classmethod
    def of(cls, envs: TaskSet) -> TaskSpec:
        """Return the spec of a task set."""
        observation, action = envs.single_observation_space.shape, envs.single_action_space.shape
        assert observation is not None
        assert action is not None
        stepper = envs.stepper
        own = stepper.observation_dims, stepper.action_dims, stepper.action_bounds
        return cls(tuple(envs.task_names), observation[0], action[0], envs.one_hot, *own)

    @classmethod
    def read(cls, saved: Mapping[str, Any]) -> TaskSpec:
        """Restore a spec from plain values; lists become tuples.

        Raises:
            UserError: the values are not the fields of a spec.
        """
        try:
            return cls(**{key: _as_tuples(value) for key, value in saved.items()})
        except TypeError as error:
            raise UserError(f"{', '.join(saved)} do not describe tasks: {first_line(error)}") from None

    def in_words(self) -> str:
        """Describe the tasks and sizes in one line: `2 tasks: reach-v3, push-v3; observations (41,), actions (4,)`."""
        tasks = f"{len(self.task_names)} task{'' if len(self.task_names) == 1 else 's'}"
        sizes = f"observations ({self.observation_dim},), actions ({self.action_dim},)"
        return f"{tasks}: {listed(self.task_names)}; {sizes}"

    @property
    def bare_dim(self) -> int:
        """The size of an observation without the one-hot code."""
        return self.observation_dim - len(self.task_names) * self.one_hot

    def own_observation_dim(self, task: int) -> int:
        """Return the size of the own observations of task number `task`."""
        return self.bare_dim if self.observation_dims is None else self.observation_dims[task]

    def own_action_dim(self, task: int) -> int:
        """Return the size of an action of task number `task`."""
        return self.action_dim if self.action_dims is None else self.action_dims[task]

    def action_mask(self, device: torch.device | str = "cpu") -> Tensor | None:
        """Return (K, 1, A), 1 for the actions of a task and 0 for padding; None without padding."""
        if self.action_dims is None:
            return None
        sizes = torch.tensor(self.action_dims, device=device).view(-1, 1, 1)
        return (torch.arange(self.action_dim, device=device) < sizes).float()

    def action_limits(self, side: int) -> Tensor:
        """Return the lower (side 0) or upper (side 1) action bounds per task, (K, 1, A) float64, with 0 for padding."""
        if self.action_bounds is None:
            return torch.full((len(self.task_names), 1, self.action_dim), 2.0 * side - 1, dtype=torch.float64)
        limits = torch.zeros(len(self.task_names), 1, self.action_dim, dtype=torch.float64)
        for place, bounds in enumerate(self.action_bounds):
            limits[place, 0, : len(bounds[side])] = torch.tensor(bounds[side], dtype=torch.float64)
        return limits

    def place(self, task: str) -> int:
        """Return the index of the task called `task`.

        Raises:
            UserError: no task has this name.
        """
        if task not in self.task_names:
            raise unknown("task", task, self.task_names)
        return self.task_names.index(task)

    def rows(self, observations: Tensor, task: str | None = None) -> Tensor:
        """Convert observations to the input of a network, (K, B, D), with B rows per task.

        Args:
            observations: (K, B, D), or (K B, D), ordered by task. With `task`, observations of that task: one, (D,), or
                several, (B, D), or in the task's own size without one-hot code and padding.
            task: name of a task.

        Raises:
            UserError: an unknown task, or another shape.
        """
        count, size, shape = len(self.task_names), self.observation_dim, tuple(observations.shape)
        if task is None:
            if len(shape) == 3 and shape[::2] == (count, size):
                return observations
            if len(shape) != 2 or shape[1] != size or shape[0] % count:
                raise UserError(f"observations must have shape {(count, size)}, not {shape}; or name the task")
            return observations.reshape(count, -1, size)
        place = self.place(task)
        if len(shape) not in (1, 2) or shape[-1] not in (size, self.own_observation_dim(place)):
            known = dict.fromkeys([(self.own_observation_dim(place),), (size,)])
            raise UserError(f"an observation of {task} must have shape {' or '.join(map(str, known))}, not {shape}")
        return self.rows_of_task(torch.atleast_2d(observations), place)

    def rows_of_task(self, rows: Tensor, place: int) -> Tensor:
        """Convert observations of task number `place`, (B, D) or its own (B, d), to the input of a network, (K, B, D).

        A network with heads needs rows of every task; its outputs for the other tasks are discarded.
        """
        if rows.shape[-1] != self.observation_dim:
            rows = functional.pad(rows, (0, self.observation_dim - rows.shape[-1]))
            if self.one_hot:
                code = torch.tensor(self.bare_dim + place, device=rows.device)
                rows = rows + functional.one_hot(code, self.observation_dim)
        return rows.expand(len(self.task_names), *rows.shape)

    def shaped(self, actions: Tensor, observations: Tensor, task: str | None = None) -> Tensor:
        """Return the actions (K, B, A) for `observations` in the shape that corresponds to theirs, see `rows`."""
        if task is None:
            return actions if observations.dim() == 3 else actions.flatten(0, 1)
        place = self.place(task)
        own = actions[place, :, : self.own_action_dim(place)]
        return own if observations.dim() == 2 else own[0]


def as_tensor(observations: ArrayLike | Tensor) -> Tensor:
    """Convert observations to float32.

    Raises:
        UserError: the observations contain values that are not numbers.
    """
    if isinstance(observations, Tensor):
        return observations.detach().float()
    try:
        return torch.from_numpy(np.array(observations, dtype=np.float32))
    except (TypeError, ValueError) as error:
        raise UserError(f"observations must be numbers in an array, a list or a tensor: {first_line(error)}") from None


def _as_tuples(value: Any) -> Any:
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value
