"""Any Gymnasium environments behind the `Stepper` seam."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from numpy.typing import NDArray

from mtrl_conic.envs.gymnasium.probe import probe
from mtrl_conic.envs.gymnasium.task import Task
from mtrl_conic.envs.stepper import Step, Stepper, check_copies
from mtrl_conic.errors import UserError, unknown

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
        """Steps after which each task's episodes are cut."""
        sized = [
            replace(probed.task, observation_dim=self.observation_dim, action_dim=self.action_dim)
            for probed in found
            for _ in range(copies)
        ]
        self._count = len(sized)
        self._start: Callable[[], SyncVectorEnv | AsyncVectorEnv] = partial(_start, sized, vector)
        self._envs: SyncVectorEnv | AsyncVectorEnv = self._start()
        self._broken = False
        self._closed = False

    def reset(self, row: int, episode: int) -> NDArray[np.float64]:
        """See `Stepper.reset`: the environment is reset with the episode's number as its seed."""
        if self._broken:
            self._envs, self._broken = self._start(), False
        mask = np.zeros(self._count, np.bool_)
        mask[row] = True
        seeds: list[int | None] = [None] * self._count
        seeds[row] = episode
        with self._whole():
            observations, _ = self._envs.reset(seed=seeds, options={"reset_mask": mask})
        return np.array(observations[row])

    def step(self, actions: NDArray[np.float32]) -> Step:
        """See `Stepper.step`."""
        with self._whole():
            observations, rewards, terminated, truncated, infos = self._envs.step(actions)
        return Step(observations, np.asarray(rewards, np.float64), infos["success"], terminated, truncated)

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """A call that is broken off leaves processes with answers for nobody: the next reset starts others."""
        try:
            yield
        except BaseException:
            if isinstance(self._envs, AsyncVectorEnv):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # Gymnasium's, that a call is pending: therefore it is closed
                    self._envs.close(terminate=True)
                self._broken = True
            raise

    def render(self) -> Sequence[NDArray[np.uint8]]:
        """A picture (H, W, 3) of each environment.

        Raises:
            UserError: one was not made to be drawn, with `render_mode="rgb_array"`.
        """
        pictures = self._envs.render()
        assert pictures is not None
        for row, picture in enumerate(pictures):
            if not isinstance(picture, np.ndarray):
                name = self.task_names[row // self.copies]
                raise UserError(
                    f"task {name!r} cannot be drawn: its render() returned {type(picture).__name__}, no picture; "
                    'let its function take render_mode and draw "rgb_array"'
                )
        return pictures  # type: ignore[return-value]  # said to be any frame

    def close(self) -> None:
        """Close the environments; safe to call twice."""
        if not self._closed:
            self._closed = True
            self._envs.close()


def _start(sized: Sequence[Callable[[], Any]], vector: Literal["sync", "async"]) -> SyncVectorEnv | AsyncVectorEnv:
    mode = AutoresetMode.DISABLED  # the task set chooses the next episode
    envs: SyncVectorEnv | AsyncVectorEnv
    if vector == "sync":
        envs = SyncVectorEnv(sized, copy=False, autoreset_mode=mode)
    else:
        # A fork of this process would inherit the locks of torch's threads.
        envs = AsyncVectorEnv(sized, copy=False, autoreset_mode=mode, context="forkserver")
    envs.reset(seed=[0] * len(sized))  # the vector environment starts with all of them, not with one
    return envs


def _check_names(names: Sequence[str]) -> None:
    """That there are names, each of them once."""
    if not names:
        raise UserError("a task set needs at least one environment")
    for place, name in enumerate(names):
        if name in names[:place]:
            raise UserError(f"two tasks are called {name!r}: give each a name of its own")
