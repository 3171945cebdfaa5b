"""A short test of a task's environment, which finds errors that would otherwise end the training later."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mtrl_conic.envs.failures import failure, fits, unfit
from mtrl_conic.envs.gymnasium.ids import find_environment
from mtrl_conic.envs.gymnasium.success import AUTO, USUAL_KEY, in_words
from mtrl_conic.envs.gymnasium.task import UNLIMITED_HORIZON, Task, TaskEnvironment
from mtrl_conic.envs.stepper import Bounds
from mtrl_conic.errors import UserError

PROBE_STEPS = UNLIMITED_HORIZON
"""The largest number of steps for which the end of an episode is awaited to find a key of `info`."""


@dataclass(frozen=True)
class Probed:
    """A task and the properties of its environment."""

    task: Task
    """The task with its registered options and its success rule resolved, so that another process can create it."""
    observation_dim: int
    action_dim: int
    action_bounds: Bounds
    horizon: int
    success_rule: str | None
    """A description of the success rule; None if there is none."""


def probe(task: Task) -> Probed:
    """Create the environment, start an episode and take a step; continue to its end if a success key was not seen yet.

    Raises:
        UserError: the environment cannot be used; the message says why.
    """
    if isinstance(task.factory, str):
        try:
            task = replace(task, factory=find_environment(task.factory))
        except UserError as error:
            raise UserError(f"task {task.name!r}: {error}") from None
    env = task()
    try:
        if task.success == AUTO:
            task = replace(task, success=env.registered_threshold)
            if task.success is None:
                task = replace(task, success=USUAL_KEY if _gives(env, USUAL_KEY) else None)
        _gives(env, task.success if isinstance(task.success, str) else None)
    finally:
        env.close()
    dims = env.own_observation_dim, env.own_action_dim
    return Probed(task, *dims, env.action_bounds, env.horizon, in_words(task.success))


def _gives(env: TaskEnvironment, key: str | None) -> bool:
    """Return whether `info` contains the key in the first episode; without a key, only one step is taken."""
    name, seed = env.task.name, 0
    observation, _ = env.reset(seed=seed)
    if not fits(observation):
        raise failure(name, seed, 0, unfit("observation", observation))
    action = np.zeros(env.own_action_dim, np.float32)
    for step in range(1, PROBE_STEPS + 1):
        (observation, reward, terminated, truncated, _), info = env.step_with_info(action)
        for what, values in (("observation", observation), ("reward", np.array(reward))):
            if not fits(values):
                raise failure(name, seed, step, unfit(what, values))
        if key is None or key in info or terminated or truncated:
            return key in info
    return False
