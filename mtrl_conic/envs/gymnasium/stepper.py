"""Any Gymnasium environments behind the `Stepper` seam."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from numpy.typing import NDArray

from mtrl_conic.envs.gymnasium.task import Task, TaskEnvironment
from mtrl_conic.envs.stepper import Step, Stepper, check_copies
from mtrl_conic.errors import UserError, first_line, unknown

VECTOR = ("sync", "async")
EPISODES = 2**31 - 1
"""Different episodes of a task: episode n is the one that `reset(seed=n)` starts."""


class GymnasiumStepper(Stepper):
    """Steps Gymnasium environments, one or more per task.

    Episode number n of a task is what its environment starts on `reset(seed=n)`, which by Gymnasium's contract
    determines it.

    Args:
        tasks: with different names; their sizes are filled in here.
        copies: environments of each task.
        vector: `sync` steps one after the other in this process, `async` each in a process of its own: worth it where
            a step takes milliseconds. A program that uses `async` must be importable: guard it with
            `if __name__ == "__main__":`.

    Raises:
        UserError: there is no task, two have one name, or an environment cannot be used; it is told which and why.
    """

    def __init__(self, tasks: Sequence[Task], *, copies: int = 1, vector: Literal["sync", "async"] = "sync") -> None:
        if vector not in VECTOR:
            raise unknown("vector", vector, VECTOR)
        check_names([task.name for task in tasks])
        check_copies(copies)
        probes: list[TaskEnvironment] = []
        try:
            for task in tasks:
                probes.append(task())
                _probe(probes[-1])
        finally:
            for probe in probes:
                probe.close()
        observation_dims = tuple(probe.own_observation_dim for probe in probes)
        action_dims = tuple(probe.own_action_dim for probe in probes)
        self.task_names = tuple(task.name for task in tasks)
        self.copies = copies
        self.num_episodes = EPISODES
        self.observation_dim, self.action_dim = max(observation_dims), max(action_dims)
        self.observation_dims = observation_dims if len(set(observation_dims)) > 1 else None
        self.action_dims = action_dims if len(set(action_dims)) > 1 else None
        bounds = tuple(probe.action_bounds for probe in probes)
        self.action_bounds = bounds if any(abs(x) != 1 for both in bounds for side in both for x in side) else None
        self.success_rules = tuple(probe.success_rule for probe in probes)
        self.horizons = tuple(probe.horizon for probe in probes)
        """Steps after which each task's episodes are cut."""
        sized = [replace(task, observation_dim=self.observation_dim, action_dim=self.action_dim) for task in tasks]
        sized = [task for task in sized for _ in range(copies)]
        self._count = len(sized)
        mode = AutoresetMode.DISABLED  # the task set chooses the next episode
        self._envs: SyncVectorEnv | AsyncVectorEnv
        if vector == "sync":
            self._envs = SyncVectorEnv(sized, copy=False, autoreset_mode=mode)
        else:
            # A fork of this process would inherit the locks of torch's threads.
            self._envs = AsyncVectorEnv(sized, copy=False, autoreset_mode=mode, context="forkserver")
        self._envs.reset(seed=[0] * self._count)  # the vector environment starts with all of them, not with one
        self._closed = False

    def reset(self, row: int, episode: int) -> NDArray[np.float64]:
        """See `Stepper.reset`: the environment is reset with the episode's number as its seed."""
        mask = np.zeros(self._count, np.bool_)
        mask[row] = True
        seeds: list[int | None] = [None] * self._count
        seeds[row] = episode
        observations, _ = self._envs.reset(seed=seeds, options={"reset_mask": mask})
        self._check_finite("observation", observations)
        return np.array(observations[row])

    def step(self, actions: NDArray[np.float32]) -> Step:
        """See `Stepper.step`."""
        observations, rewards, terminated, truncated, infos = self._envs.step(actions)
        self._check_finite("observation", observations)
        self._check_finite("reward", rewards)
        return Step(observations, np.asarray(rewards, np.float64), infos["success"], terminated, truncated)

    def render(self) -> Sequence[NDArray[np.uint8]]:
        """A picture (H, W, 3) of each task, where the environments were made with `render_mode="rgb_array"`."""
        pictures: Sequence[NDArray[np.uint8]] = self._envs.render()  # type: ignore[assignment]  # said to be any frame
        return pictures

    def close(self) -> None:
        """Close the environments; safe to call twice."""
        if not self._closed:
            self._closed = True
            self._envs.close()

    def _check_finite(self, what: str, values: NDArray[np.floating]) -> None:
        if np.isfinite(values).all():
            return
        row = int(np.flatnonzero(~np.isfinite(values).reshape(self._count, -1).all(1))[0])
        raise _not_finite(self.task_names[row // self.copies], what, values[row])


def check_names(names: Sequence[str]) -> None:
    """That there are names, each of them once."""
    if not names:
        raise UserError("a task set needs at least one environment")
    for place, name in enumerate(names):
        if not isinstance(name, str) or not name:
            raise UserError(f"a task's name must be a word, not {name!r}")
        if name in names[:place]:
            raise UserError(f"two tasks are called {name!r}: give each a name of its own")


def _probe(env: TaskEnvironment) -> None:
    """Start an episode and take one step, to find now what would else end a training."""
    name = env.task.name
    try:
        observation, _ = env.reset(seed=0)
        _check_values(name, "observation", observation)
        observation, reward, _, _, _ = env.step(np.zeros(env.own_action_dim, np.float32))
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"task {name!r}: its environment fails on reset(seed=0) and one step: "
            f"{type(error).__name__}: {first_line(error)}"
        ) from error
    _check_values(name, "observation", observation)
    _check_values(name, "reward", np.array(reward))


def _check_values(name: str, what: str, values: NDArray[np.floating]) -> None:
    if not np.isfinite(values).all():
        raise _not_finite(name, what, values)


def _not_finite(name: str, what: str, value: NDArray[np.floating]) -> UserError:
    return UserError(
        f"task {name!r}: its environment returned the {what} {np.asarray(value).tolist()}; "
        "find the step that makes it, or end the episode before"
    )
