"""The episodes that a task set is in the middle of, and how to come back to that point."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mtrl_conic.envs.stepper import Step, Stepper
from mtrl_conic.errors import UserError

_NOT_RETRACED = (
    "the saved episodes cannot be retraced: goals, reward version or libraries are not the same, "
    "or an environment is not determined by its reset seed and actions"
)


class RunningEpisodes:
    """One episode of every task: its number, and what happened in it so far.

    An episode is determined by its number and the actions taken, so those stand for the state of the simulators:
    `load_state_dict` starts the same episodes and takes the same actions again.

    Args:
        stepper: simulates them.
        longest: steps that an episode can have.
    """

    def __init__(self, stepper: Stepper, longest: int) -> None:
        self._stepper = stepper
        self._count = len(stepper.task_names)
        self._tasks = np.arange(self._count)
        self.numbers = np.full(self._count, -1)
        """(K,) int64; -1 before the first one."""
        self.lengths = np.zeros(self._count, np.int64)
        """(K,) steps taken."""
        self.returns = np.zeros(self._count)
        """(K,) sums of unscaled rewards."""
        self.successes = np.zeros(self._count, np.bool_)
        """(K,) whether there was success at any step."""
        self._actions = np.zeros((self._count, longest, stepper.action_dim), np.float32)

    def start(self, task: int, number: int) -> NDArray[np.float64]:
        """Start an episode of one task; its first observation (O,)."""
        observation = self._stepper.reset(task, number)
        self.numbers[task] = number
        self.lengths[task] = 0
        self.returns[task] = 0.0
        self.successes[task] = False
        return observation

    def step(self, actions: NDArray[np.float32]) -> Step:
        """Take one (K, A) action of every task."""
        result = self._stepper.step(actions)
        self._actions[self._tasks, self.lengths] = actions
        self.lengths += 1
        self.returns += result.rewards
        self.successes |= result.success
        return result

    def state_dict(self) -> dict[str, Any]:
        """Plain values and tensors only: `torch.load(weights_only=True)` reads it."""
        return {
            "episodes": self.numbers.tolist(),
            "actions": [torch.tensor(row[:length]) for row, length in zip(self._actions, self.lengths, strict=True)],
            "returns": self.returns.tolist(),
            "successes": self.successes.tolist(),
        }

    def load_state_dict(self, state: dict[str, Any], *, expected: NDArray[np.float64]) -> NDArray[np.float64]:
        """Play the saved episodes up to where they were.

        Args:
            state: of `state_dict`.
            expected: (K, O), the observations seen last, to know the place by.

        Returns:
            The observations there, (K, O).

        Raises:
            UserError: the saved actions lead elsewhere here, as they do with other goals.
        """
        observations, returns = self._retrace(state["episodes"], [actions.numpy() for actions in state["actions"]])
        # Far above any difference between two machines, far below that between two goals.
        if not (
            np.allclose(observations, expected, rtol=0, atol=1e-3)
            and np.allclose(returns, state["returns"], rtol=1e-3, atol=1e-3)
        ):
            raise UserError(_NOT_RETRACED)
        self.returns[:] = state["returns"]
        self.successes[:] = state["successes"]
        return observations

    def _retrace(
        self, numbers: list[int], actions: list[NDArray[np.float32]]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Start the given episodes and take the given actions (n_k, A) of each again; observations and returns.

        The stepper steps all tasks at once, so the longest episode goes first and each other one starts
        when as many steps remain as it has; what it did before that is forgotten by its reset.
        """
        lengths = np.array([len(rows) for rows in actions])
        observations = np.zeros((self._count, self._stepper.observation_dim))
        returns = np.zeros(self._count)
        for task in range(self._count):
            observations[task] = self.start(task, numbers[task])
        for remaining in range(lengths.max(), -1, -1):
            for task in np.flatnonzero(lengths == remaining).tolist():
                observations[task] = self.start(task, numbers[task])
            if remaining == 0:
                break
            rows = np.zeros((self._count, self._stepper.action_dim), np.float32)
            running: list[int] = np.flatnonzero(lengths >= remaining).tolist()
            for task in running:
                rows[task] = actions[task][lengths[task] - remaining]
            result = self._stepper.step(rows)
            returns[running] += result.rewards[running]
            observations[:] = result.observations
            ended = result.terminated if result.truncated is None else result.terminated | result.truncated
            if remaining > 1 and ended[running].any():
                raise UserError(_NOT_RETRACED)
            # A task that waits for its turn steps too, but not beyond an end.
            for task in np.flatnonzero(ended & (lengths < remaining)).tolist():
                self.start(task, numbers[task])
        for task, taken in enumerate(actions):
            self._actions[task, : len(taken)] = taken
        self.lengths[:] = lengths
        return observations, returns
