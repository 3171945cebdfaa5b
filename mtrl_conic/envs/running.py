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
    """One episode of every environment: its number, and what happened in it so far.

    An episode is determined by its number and the actions taken, so those stand for the state of the simulators:
    `load_state_dict` starts the same episodes and takes the same actions again.

    Args:
        stepper: simulates them.
        longest: steps that an episode can have.
    """

    def __init__(self, stepper: Stepper, longest: int) -> None:
        self._stepper = stepper
        self._count = len(stepper.task_names) * stepper.copies
        self._rows = np.arange(self._count)
        self.numbers = np.full(self._count, -1)
        """(N,) int64; -1 before the first one."""
        self.lengths = np.zeros(self._count, np.int64)
        """(N,) steps taken."""
        self.returns = np.zeros(self._count)
        """(N,) sums of unscaled rewards."""
        self.successes = np.zeros(self._count, np.bool_)
        """(N,) whether there was success at any step."""
        self._actions = np.zeros((self._count, longest, stepper.action_dim), np.float32)

    def start(self, row: int, number: int) -> NDArray[np.float64]:
        """Start an episode of one environment; its first observation (O,)."""
        observation = self._stepper.reset(row, number)
        self.numbers[row] = number
        self.lengths[row] = 0
        self.returns[row] = 0.0
        self.successes[row] = False
        return observation

    def step(self, actions: NDArray[np.float32]) -> Step:
        """Take one (N, A) action of every environment."""
        result = self._stepper.step(actions)
        self._actions[self._rows, self.lengths] = actions
        self.lengths += 1
        self.returns += result.rewards
        self.successes |= result.success
        return result

    def state_dict(self) -> dict[str, Any]:
        """Plain values and tensors only: `torch.load(weights_only=True)` reads it."""
        return {
            "episodes": self.numbers.tolist(),
            "actions": [
                torch.tensor(steps[:length]) for steps, length in zip(self._actions, self.lengths, strict=True)
            ],
            "returns": self.returns.tolist(),
            "successes": self.successes.tolist(),
        }

    def load_state_dict(self, state: dict[str, Any], *, expected: NDArray[np.float64]) -> NDArray[np.float64]:
        """Play the saved episodes up to where they were.

        Args:
            state: of `state_dict`.
            expected: (N, O), the observations seen last, to know the place by.

        Returns:
            The observations there, (N, O).

        Raises:
            UserError: the saved actions lead elsewhere here, as they do with other goals.
        """
        observations, returns = self._retrace(state["episodes"], [steps.numpy() for steps in state["actions"]])
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

        The stepper steps all environments at once, so the longest episode goes first and each other one starts
        when as many steps remain as it has; what it did before that is forgotten by its reset.
        """
        lengths = np.array([len(rows) for rows in actions])
        observations = np.zeros((self._count, self._stepper.observation_dim))
        returns = np.zeros(self._count)
        for row in range(self._count):
            observations[row] = self.start(row, numbers[row])
        for remaining in range(lengths.max(), -1, -1):
            for row in np.flatnonzero(lengths == remaining).tolist():
                observations[row] = self.start(row, numbers[row])
            if remaining == 0:
                break
            taken = np.zeros((self._count, self._stepper.action_dim), np.float32)
            running: list[int] = np.flatnonzero(lengths >= remaining).tolist()
            for row in running:
                taken[row] = actions[row][lengths[row] - remaining]
            result = self._stepper.step(taken)
            returns[running] += result.rewards[running]
            observations[:] = result.observations
            ended = result.terminated if result.truncated is None else result.terminated | result.truncated
            if remaining > 1 and ended[running].any():
                raise UserError(_NOT_RETRACED)
            # An environment that waits for its turn steps too, but not beyond an end.
            for row in np.flatnonzero(ended & (lengths < remaining)).tolist():
                self.start(row, numbers[row])
        for row, steps in enumerate(actions):
            self._actions[row, : len(steps)] = steps
        self.lengths[:] = lengths
        return observations, returns
