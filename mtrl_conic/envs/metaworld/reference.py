"""A `Stepper` for Meta-World's own environments, the reference for faster steppers."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from typing import Any

import numpy as np
from metaworld.env_dict import ALL_V3_ENVIRONMENTS
from metaworld.sawyer_xyz_env import SawyerXYZEnv
from metaworld.types import Task
from numpy.typing import NDArray

from mtrl_conic.envs.metaworld.goals import Goals, check_goals
from mtrl_conic.envs.stepper import Step, Stepper, check_copies
from mtrl_conic.errors import unknown

REWARD_VERSIONS = ("v1", "v2")


class MetaWorldStepper(Stepper):
    """Steps Meta-World's environments one after the other, exactly as `gym.make_vec` would.

    An observation is the environment's own (39,) float64: hand, gripper and objects, the same of the
    step before, and the goal, which is visible. Meta-World never terminates an episode, and its
    environments refuse the step after their 500th.

    Args:
        task_names: Meta-World's names, such as `reach-v3`.
        goals: for each task its goals (N, d), the same number for all; see `mtrl_conic.envs.metaworld.goals`.
        reward_version: `v2`, or `v1` for the older rewards.
        copies: number of environments per task.

    Raises:
        UserError: an unknown task or reward version (Meta-World takes any unknown version for v1),
            goals that are missing, unequal in number, or not playable, or `copies` below 1.
    """

    def __init__(self, task_names: Sequence[str], goals: Goals, *, reward_version: str = "v2", copies: int = 1) -> None:
        if reward_version not in REWARD_VERSIONS:
            raise unknown("reward version", reward_version, REWARD_VERSIONS)
        self.copies = check_copies(copies)
        self.num_episodes = check_goals(task_names, goals)
        self.task_names = tuple(task_names)
        self.observation_dim = 39
        self.action_dim = 4
        self.envs: list[SawyerXYZEnv] = [
            ALL_V3_ENVIRONMENTS[name](reward_function_version=reward_version, render_mode="rgb_array")
            for name in task_names
            for _ in range(copies)
        ]
        """The raw environments, for scripted policies and `render`."""
        self._goals = [[_task(name, goal) for goal in goals[name]] for name in task_names]
        self._step = Step(
            observations=np.zeros((len(self.envs), self.observation_dim)),
            rewards=np.zeros(len(self.envs)),
            success=np.zeros(len(self.envs), np.bool_),
            terminated=np.zeros(len(self.envs), np.bool_),
        )

    def reset(self, row: int, episode: int) -> NDArray[np.float64]:
        """Start the episode with goal number `episode` of one environment, and return its first observation (39,)."""
        self.envs[row].set_task(self._goals[row // self.copies][episode])
        observation, _ = self.envs[row].reset()
        return observation

    def step(self, actions: NDArray[np.float32]) -> Step:
        """Take one (N, 4) float32 action in every environment; the next step reuses the returned arrays.

        The actions must be float32, because some reward terms are computed in their type.
        """
        actions = actions.astype(np.float32, copy=False)
        step = self._step
        for row, env in enumerate(self.envs):
            step.observations[row], reward, step.terminated[row], _, info = env.step(actions[row])
            step.rewards[row] = float(reward)
            step.success[row] = bool(info["success"])
        return step

    def close(self) -> None:
        """Close the environments; safe to call twice."""
        while self.envs:
            self.envs.pop().close()  # type: ignore[no-untyped-call]  # gymnasium leaves it unannotated


def _task(name: str, goal: NDArray[np.float64]) -> Task:
    """Return the argument of `set_task` for a goal that the environment keeps and observes."""
    data: dict[str, Any] = {"rand_vec": goal, "env_cls": ALL_V3_ENVIRONMENTS[name], "partially_observable": False}
    return Task(env_name=name, data=pickle.dumps(data))
