"""The success protocol: every goal once, on separate environments, with a deterministic policy."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtrl_conic.envs.task_set import TaskSet
from mtrl_conic.errors import UserError

Act = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""The `act` of a policy: observations (K, D), a row per task -> actions (K, A)."""


@dataclass(frozen=True)
class Evaluation:
    """The results of a policy per task, over its episodes."""

    success: dict[str, float]
    """Share of episodes with success at any step: the headline number. Tasks without a success rule are left out."""
    success_at_end: dict[str, float]
    """Share of episodes with success at the last step."""
    returns: dict[str, float]
    """Mean undiscounted return."""
    return_std: dict[str, float]
    """Standard deviation of the return of an episode, with n - 1 as the divisor; 0 for one episode."""
    episodes_per_task: int

    @property
    def mean_success(self) -> float:
        """Mean over tasks of `success`; NaN if no task has a success rule."""
        return _mean(self.success)

    @property
    def mean_success_at_end(self) -> float:
        """Mean over tasks of `success_at_end`."""
        return _mean(self.success_at_end)

    def record(self) -> dict[str, Any]:
        """Return plain values as in `evaluations.jsonl`; the mean of no values is None."""
        return {
            "success": self.success,
            "mean_success": _plain(self.mean_success),
            "success_at_end": self.success_at_end,
            "mean_success_at_end": _plain(self.mean_success_at_end),
            "returns": self.returns,
            "mean_return": _mean(self.returns),
            "return_std": self.return_std,
            "episodes_per_task": self.episodes_per_task,
        }


def _mean(rates: dict[str, float]) -> float:
    return float(np.mean(list(rates.values()))) if rates else math.nan


def _plain(mean: float) -> float | None:
    return None if math.isnan(mean) else mean


class Evaluator:
    """Runs a policy on the first N episodes of every task: on Meta-World, on its first N goals, each once.

    Args:
        envs: a task set used only for evaluation, with one environment per task.
        episodes_per_task: N, the number of episodes.

    Raises:
        UserError: a task has fewer than N episodes, or several environments.
    """

    def __init__(self, envs: TaskSet, episodes_per_task: int) -> None:
        if envs.copies > 1:
            raise UserError(f"evaluation needs copies=1, not {envs.copies}: it plays every episode once")
        self.envs = envs
        self.episodes_per_task = check_episodes(episodes_per_task, envs.stepper.num_episodes)

    def evaluate(
        self,
        act: Act,
        *,
        episodes_per_task: int | None = None,
        each_episode: Callable[[int, int], None] = lambda number, count: None,
        each_step: Callable[[], None] = lambda: None,
    ) -> Evaluation:
        """Evaluate the success and the return of a policy.

        Args:
            act: the policy; it must be deterministic for the rates to depend on the policy alone.
            episodes_per_task: N, if it differs from that of the evaluator.
            each_episode: called before each episode with its number, from 1, and the number of episodes.
            each_step: called between steps; it may raise an exception to stop.
        """
        episodes = self.episodes_per_task
        if episodes_per_task is not None:
            episodes = check_episodes(episodes_per_task, self.envs.stepper.num_episodes)
        results = np.zeros((episodes, 3, self.envs.num_tasks))
        for number in range(episodes):
            each_episode(number + 1, episodes)
            results[number] = self._episode(act, number, each_step)
        deviations = results[:, 2].std(0, ddof=1) if episodes > 1 else np.zeros(self.envs.num_tasks)
        any_step, last_step, returns, return_std = (
            dict(zip(self.envs.task_names, map(float, row), strict=True)) for row in (*results.mean(0), deviations)
        )
        for name in (name for name, has in zip(self.envs.task_names, self.envs.has_success, strict=True) if not has):
            del any_step[name], last_step[name]
        return Evaluation(any_step, last_step, returns, return_std, episodes)

    def _episode(self, act: Act, number: int, each_step: Callable[[], None]) -> NDArray[np.float64]:
        """(3, K): success at any step, at the last step, and return, of episode `number` of every task."""
        num_tasks = self.envs.num_tasks
        observations, _ = self.envs.reset(options={"episodes": [number] * num_tasks})
        result = np.zeros((3, num_tasks))
        running = np.ones(num_tasks, dtype=bool)
        while running.any():
            each_step()
            observations, _, terminated, truncated, infos = self.envs.step(act(observations))
            ended = running & (terminated | truncated)
            rows = np.stack([infos["episode_success"], infos["success"], infos["episode_return"]])
            result[:, ended] = rows[:, ended]
            running &= ~ended
        return result


def check_episodes(episodes_per_task: int, most: int) -> int:
    """Return `episodes_per_task` after checking that a task has as many different episodes.

    Raises:
        UserError: a task has only `most` episodes.
    """
    if not 1 <= episodes_per_task <= most:
        known = f"{most} goals, choose 1 to {most}" if most > 1 else "one goal, choose 1"
        raise UserError(f"episodes_per_task={episodes_per_task}: a task has {known}")
    return episodes_per_task
