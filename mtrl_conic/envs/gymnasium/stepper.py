"""A `Stepper` for Gymnasium environments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mtrl_conic.envs.gymnasium.probe import probe
from mtrl_conic.envs.gymnasium.task import Task
from mtrl_conic.envs.gymnasium.workers import Workers
from mtrl_conic.envs.stepper import Step, Stepper, check_copies
from mtrl_conic.errors import UserError, unknown
from mtrl_conic.workers import TIMEOUT

VECTOR = ("sync", "async")
EPISODES = 2**31 - 1
"""The number of different episodes of a task: episode n is the one that `reset(seed=n)` starts."""


class GymnasiumStepper(Stepper):
    """Steps Gymnasium environments, one or more per task.

    Episode n of a task is the one that its environment starts with `reset(seed=n)`, which determines it according to
    Gymnasium's contract.

    Args:
        tasks: tasks with different names; their sizes are filled in here.
        copies: number of environments per task.
        vector: `sync` steps one after the other in this process; `async` runs each in its own process, which is
            worthwhile if a step takes milliseconds. A program that uses `async` must be importable: guard it with
            `if __name__ == "__main__":`.
        worker_timeout: seconds that these processes have to answer. A process that does not answer or that ends is
            restarted once and brought back to its state.

    Raises:
        UserError: there is no task, two tasks have the same name, or an environment cannot be used; the message names
            it.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        *,
        copies: int = 1,
        vector: Literal["sync", "async"] = "sync",
        worker_timeout: float = TIMEOUT,
    ) -> None:
        if vector not in VECTOR:
            raise unknown("vector", vector, VECTOR)
        _check_names([task.name for task in tasks])
        check_copies(copies)
        found = [probe(task) for task in tasks]
        observation_dims = tuple(probed.observation_dim for probed in found)
        action_dims = tuple(probed.action_dim for probed in found)
        self.task_names = tuple(task.name for task in tasks)
        self.copies = copies
        self.num_episodes = EPISODES
        self.observation_dim, self.action_dim = max(observation_dims), max(action_dims)
        self.observation_dims = observation_dims if len(set(observation_dims)) > 1 else None
        self.action_dims = action_dims if len(set(action_dims)) > 1 else None
        bounds = tuple(probed.action_bounds for probed in found)
        self.action_bounds = bounds if any(abs(x) != 1 for both in bounds for side in both for x in side) else None
        self.success_rules = tuple(probed.success_rule for probed in found)
        self.horizons = tuple(probed.horizon for probed in found)
        """The number of steps after which each task's episodes are truncated."""
        sized = [
            replace(probed.task, observation_dim=self.observation_dim, action_dim=self.action_dim)
            for probed in found
            for _ in range(copies)
        ]
        self._envs: Here | Workers = Here(sized) if vector == "sync" else Workers(sized, timeout=worker_timeout)

    def reset(self, row: int, episode: int) -> NDArray[np.float64]:
        """Start an episode, see `Stepper.reset`: its number is the seed of the environment's reset."""
        return self._envs.reset(row, episode)

    def step(self, actions: NDArray[np.float32]) -> Step:
        """Take one step, see `Stepper.step`."""
        observations, rewards, terminated, truncated, infos = zip(*self._envs.step(actions), strict=True)
        success = np.array([info["success"] for info in infos], np.bool_)
        ended = np.array([terminated, truncated], np.bool_)
        return Step(np.stack(observations), np.array(rewards, np.float64), success, *ended)

    def render(self) -> Sequence[NDArray[np.uint8]]:
        """Return an image (H, W, 3) of each environment.

        Raises:
            UserError: an environment was not created with `render_mode="rgb_array"`.
        """
        pictures = self._envs.render()
        for row, picture in enumerate(pictures):
            if not isinstance(picture, np.ndarray):
                name = self.task_names[row // self.copies]
                raise UserError(
                    f"task {name!r} cannot be rendered: its render() returned {type(picture).__name__}, not an image; "
                    'its function must take render_mode and support "rgb_array"'
                )
        return pictures

    def close(self) -> None:
        """Close the environments; safe to call twice."""
        self._envs.close()


class Here:
    """The environments of `tasks` in this process, which are stepped one after the other."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._envs = [task() for task in tasks]

    def reset(self, row: int, episode: int) -> NDArray[np.float64]:
        """Return the first observation (O,) of an episode of one environment."""
        return self._envs[row].reset(seed=episode)[0]

    def step(self, actions: NDArray[np.float32]) -> list[Any]:
        """Return the results of each environment's `step`."""
        return [env.step(row) for env, row in zip(self._envs, actions, strict=True)]

    def render(self) -> list[Any]:
        """Return the results of each environment's `render`."""
        return [env.render() for env in self._envs]

    def close(self) -> None:
        """Close the environments; safe to call twice."""
        while self._envs:
            self._envs.pop().close()


def _check_names(names: Sequence[str]) -> None:
    """Check that there is at least one name, and that names are unique."""
    if not names:
        raise UserError("a task set needs at least one environment")
    for place, name in enumerate(names):
        if name in names[:place]:
            raise UserError(f"two tasks are called {name!r}: give each its own name")
