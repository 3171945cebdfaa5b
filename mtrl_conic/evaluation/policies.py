"""Baseline policies: a random one, and Meta-World's scripted experts."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtrl_conic.envs.task_set import TaskSet
from mtrl_conic.errors import UserError
from mtrl_conic.evaluation.success import Act


def random_policy(envs: TaskSet, *, seed: int = 0) -> Act:
    """Return a policy that draws uniform actions from its own generator, seeded by `seed`."""
    generator = np.random.default_rng(seed)
    shape = envs.action_space.shape

    def act(observations: NDArray[np.float32]) -> NDArray[np.float32]:
        return generator.uniform(-1, 1, shape).astype(np.float32)

    return act


def expert_policy(envs: TaskSet) -> Act:
    """Return Meta-World's scripted policies of the tasks, which read observations without the one-hot code.

    Raises:
        UserError: Meta-World has no scripted policy for a task.
    """
    from metaworld.policies import ENV_POLICY_MAP

    for task in envs.task_names:
        if task not in ENV_POLICY_MAP:
            raise UserError(f"there is no scripted policy for {task}; known: {', '.join(sorted(ENV_POLICY_MAP))}")
    classes: dict[str, Any] = ENV_POLICY_MAP  # typed as the abstract class they all extend
    scripts = [classes[task]() for task in envs.task_names]
    size = envs.stepper.observation_dim

    def act(observations: NDArray[np.float32]) -> NDArray[np.float32]:
        bare = observations[:, :size].astype(np.float64)
        with warnings.catch_warnings():
            # The scripts warn of actions beyond [-1, 1], which the environments clip, at almost every step.
            warnings.filterwarnings("ignore", message="Constant.* may be too high")
            actions = [script.get_action(row) for script, row in zip(scripts, bare, strict=True)]
        return np.asarray(actions, dtype=np.float32)

    return act
