"""The running episodes of a task set, and how to restore them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mtrl_conic.envs.failures import failure, fits, unfit
from mtrl_conic.envs.stepper import Step, Stepper
from mtrl_conic.errors import UserError

_ALIKE = 1e-3
"""The tolerance relative to the largest number, far above differences between machines and far below those of other
goals."""


class Untraceable(UserError):
    """The saved actions lead to different observations, so the saved episodes cannot be restored."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"the saved episodes cannot be reproduced, {what}: goals, reward version or libraries have changed, or an "
            "environment is not determined by its reset seed and actions"
        )


class RunningEpisodes:
    """One episode of every environment: its number and its history.

    The number of an episode and the actions taken determine it, so they replace the state of the simulators:
    `load_state_dict` starts the same episodes and repeats the same actions.

    Args:
        stepper: the stepper that simulates the environments.
        longest: largest number of steps of an episode.
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
        """Start an episode of one environment, and return its first observation (O,)."""
        observation = self._stepper.reset(row, number)
        self.numbers[row] = number
        self.lengths[row] = 0
        if not fits(observation):
            raise self._unfit(row, "observation", observation)
        self.returns[row] = 0.0
        self.successes[row] = False
        return observation

    def step(self, actions: NDArray[np.float32]) -> Step:
        """Take one (N, A) action in every environment.

        Raises:
            UserError: an environment fails or returns numbers that are not finite in float32; the message names the
                task, episode and step.
        """
        result = self._stepper.step(actions)
        self._actions[self._rows, self.lengths] = actions
        self.lengths += 1
        self.returns += result.rewards
        self.successes |= result.success
        for what, values in (("observation", result.observations), ("reward", result.rewards)):
            if not fits(values):
                row = next(row for row in range(self._count) if not fits(values[row]))
                raise self._unfit(row, what, values[row])
        return result

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain values and tensors, which `torch.load(weights_only=True)` reads."""
        return {
            "episodes": self.numbers.tolist(),
            "actions": [
                torch.tensor(steps[:length]) for steps, length in zip(self._actions, self.lengths, strict=True)
            ],
            "returns": self.returns.tolist(),
            "successes": self.successes.tolist(),
        }

    def load_state_dict(self, state: dict[str, Any], *, expected: NDArray[np.float64]) -> NDArray[np.float64]:
        """Replay the saved episodes up to the saved step.

        Args:
            state: a result of `state_dict`.
            expected: (N, O), the last observations, for comparison.

        Returns:
            The observations after the replay, (N, O).

        Raises:
            Untraceable: the saved actions lead to different observations, as with other goals.
        """
        observations, returns, sizes = self._retrace(state["episodes"], [steps.numpy() for steps in state["actions"]])
        # What was saved has been rounded.
        rounded = observations.astype(expected.dtype)
        self._compare("observation", np.abs(rounded - expected).max(axis=1), np.abs(expected).max(axis=1))
        self._compare("return", np.abs(returns - state["returns"]), sizes)
        self.returns[:] = state["returns"]
        self.successes[:] = state["successes"]
        return observations

    def _compare(self, what: str, differences: NDArray[np.floating], sizes: NDArray[np.floating]) -> None:
        different = np.flatnonzero(differences > _ALIKE * sizes)
        if different.size:
            raise Untraceable(f"the {what} of {self._task(different[0])} differs")

    def _task(self, row: int) -> str:
        return self._stepper.task_names[row // self._stepper.copies]

    def _unfit(self, row: int, what: str, values: NDArray[np.float64]) -> UserError:
        return failure(self._task(row), int(self.numbers[row]), int(self.lengths[row]), unfit(what, values))

    def _retrace(
        self, numbers: list[int], actions: list[NDArray[np.float32]]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Start the given episodes and repeat the given actions (n_k, A) of each.

        Returns the observations, the returns, and the sums of the absolute rewards.

        The stepper steps all environments at once, so the longest episode starts first, and each other one starts when
        as many steps remain as it has. Its reset discards whatever it did before.
        """
        lengths = np.array([len(rows) for rows in actions])
        observations = np.zeros((self._count, self._stepper.observation_dim))
        returns, sizes = np.zeros(self._count), np.zeros(self._count)
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
            sizes[running] += np.abs(result.rewards[running])
            observations[:] = result.observations
            ended = result.terminated if result.truncated is None else result.terminated | result.truncated
            if remaining > 1 and ended[running].any():
                row = next(row for row in running if ended[row])
                raise Untraceable(f"the episode of {self._task(row)} ends early")
            # An environment that waits for its turn steps too, but not beyond an end.
            for row in np.flatnonzero(ended & (lengths < remaining)).tolist():
                self.start(row, numbers[row])
        for row, steps in enumerate(actions):
            self._actions[row, : len(steps)] = steps
        self.lengths[:] = lengths
        return observations, returns, sizes
