"""A short look at a task's environment, to know it and to find now what would else end a training."""

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
"""Steps at most until the end of an episode, where a key of `info` is looked for."""


@dataclass(frozen=True)
class Probed:
    """A task, and what its environment says of itself."""

    task: Task
    """Ready for another process: what an id is registered with, and the success rule that counts."""
    observation_dim: int
    action_dim: int
    action_bounds: Bounds
    horizon: int
    success_rule: str | None
    """In words; None where nothing counts as success."""


def probe(task: Task) -> Probed:
    """Make the environment, start an episode and take a step; go on to its end where success is a key not yet seen.

    Raises:
        UserError: it cannot be used; the message says why.
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
    """Whether `info` has the key in the first episode, of which one step is taken where there is none to look for."""
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
