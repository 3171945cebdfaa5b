"""One Gymnasium environment as a task: padded observations, actions in [-1, 1], a success per step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete
from numpy.typing import NDArray

from mtrl_conic.errors import UserError, first_line

Factory = str | Callable[[], gym.Env[Any, Any]]
"""The id of a registered environment, or anything that makes one when called."""
SuccessFunction = Callable[[NDArray[Any], float, bool, dict[str, Any]], bool]
"""(observation, reward, terminated, info) of a step, the environment's own -> whether it is a success."""
Success = str | float | SuccessFunction
"""A key of `info`, the return that an episode has to reach, or a function."""

UNLIMITED_HORIZON = 1000
"""Steps of an episode where neither the environment nor the user limits them."""


@dataclass(frozen=True)
class Task:
    """What makes an environment a task of a set. It travels to the process that steps the environment."""

    name: str
    factory: Factory
    success: Success | None = None
    horizon: int | None = None
    """Steps after which an episode is cut; None: the environment's own limit."""
    registered_success: bool = True
    """Whether, without a `success`, the threshold that the environment is registered with counts."""
    observation_dim: int | None = None
    """Size that observations are padded to; None: their own."""
    action_dim: int | None = None
    """Size of the actions given, of which the first entries count; None: the environment's own."""

    def __call__(self) -> TaskEnvironment:
        """A new environment.

        Raises:
            UserError: it cannot be made, or has spaces that no agent here can learn on.
        """
        return TaskEnvironment(self)


class TaskEnvironment(gym.Wrapper[NDArray[np.float64], NDArray[np.float32], Any, Any]):
    """The environment of a task, in the terms of the set.

    Observations (O,) float64 are zero behind the environment's own entries; actions (A,) lie in [-1, 1], are
    clipped to it and mapped onto the bounds, those behind the environment's own being ignored. An episode ends by the
    environment's rule or after `horizon` steps. The `info` of a step holds `success` and nothing else.
    """

    def __init__(self, task: Task) -> None:
        env = _make(task)
        super().__init__(env)
        _check_observations(task.name, env.observation_space)
        _check_actions(task.name, env.action_space)
        assert isinstance(env.observation_space, Box)
        assert isinstance(env.action_space, Box)
        self.task = task
        self.own_observation_dim = env.observation_space.shape[0]
        self.own_action_dim = int(np.prod(env.action_space.shape))
        self.horizon = task.horizon or _own_limit(env) or UNLIMITED_HORIZON
        self.success = task.success
        if self.success is None and task.registered_success and env.spec is not None:
            self.success = env.spec.reward_threshold
        self._bounds = env.action_space
        self._low = env.action_space.low.astype(np.float64)
        self._range = env.action_space.high.astype(np.float64) - self._low
        self._padded_dim = task.observation_dim or self.own_observation_dim
        self.observation_space = Box(-np.inf, np.inf, (self._padded_dim,), np.float64)
        self.action_space = Box(-1.0, 1.0, (task.action_dim or self.own_action_dim,), np.float32)
        self._steps, self._return = 0, 0.0

    @property
    def success_rule(self) -> str | None:
        """What counts as success, in words."""
        if self.success is None:
            return None
        if isinstance(self.success, str):
            return f"info[{self.success!r}] is true at a step"
        if isinstance(self.success, int | float):
            return f"the return of the episode is {self.success:g} or more"
        return f"{getattr(self.success, '__name__', 'the given function')} is true at a step"

    @property
    def action_bounds(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """The least and the largest value of every entry of the environment's own actions."""
        low, high = self._bounds.low.ravel().tolist(), self._bounds.high.ravel().tolist()
        return tuple(low), tuple(high)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[NDArray[np.float64], dict[str, Any]]:
        """Start the episode of this seed."""
        observation, _ = self.env.reset(seed=seed)
        self._steps, self._return = 0, 0.0
        return self._pad(observation), {}

    def step(self, action: NDArray[np.float32]) -> tuple[NDArray[np.float64], float, bool, bool, dict[str, Any]]:
        """Take one step; see the class."""
        observation, reward, terminated, truncated, info = self.env.step(self.own_action(action))
        reward, terminated = float(reward), bool(terminated)
        self._steps += 1
        self._return += reward
        truncated = bool(truncated) or self._steps >= self.horizon
        success = self._succeeds(observation, reward, terminated, truncated, info)
        return self._pad(observation), reward, terminated, truncated, {"success": success}

    def own_action(self, action: NDArray[np.floating[Any]]) -> NDArray[Any]:
        """The environment's action for one of the set, (A,) in [-1, 1]."""
        own = np.clip(action[: self.own_action_dim].astype(np.float64), -1, 1).reshape(self._low.shape)
        scaled: NDArray[Any] = (self._low + (own + 1) / 2 * self._range).astype(self._bounds.dtype)
        clipped: NDArray[Any] = np.clip(scaled, self._bounds.low, self._bounds.high)
        return clipped

    def _pad(self, observation: Any) -> NDArray[np.float64]:
        padded = np.zeros(self._padded_dim)
        own = np.asarray(observation)
        if own.shape != (self.own_observation_dim,):
            raise UserError(
                f"task {self.task.name!r}: an observation has shape {own.shape}, its space says "
                f"({self.own_observation_dim},); declare the space that reset() and step() return"
            )
        padded[: self.own_observation_dim] = own
        return padded

    def _succeeds(
        self, observation: Any, reward: float, terminated: bool, truncated: bool, info: dict[str, Any]
    ) -> bool:
        rule = self.success
        if rule is None:
            return False
        if isinstance(rule, str):
            return bool(info.get(rule, False))  # many environments give the key at the last step only
        if isinstance(rule, int | float):
            return (terminated or truncated) and self._return >= rule
        return bool(rule(observation, reward, terminated, info))


def _make(task: Task) -> gym.Env[Any, Any]:
    try:
        if isinstance(task.factory, str):
            # A horizon of the user's replaces the registered limit, it may be longer.
            limit = {"max_episode_steps": task.horizon} if task.horizon else {}
            env: Any = gym.make(task.factory, disable_env_checker=True, **limit)
        else:
            env = task.factory()
    except Exception as error:
        raise UserError(
            f"task {task.name!r}: its environment cannot be made: {type(error).__name__}: {first_line(error)}"
        ) from error
    if not isinstance(env, gym.Env):
        raise UserError(
            f"task {task.name!r}: its factory returned {type(env).__name__}, no gymnasium.Env; "
            "give an id, or a function that makes one environment"
        )
    return env


def _check_observations(name: str, space: Any) -> None:
    if not isinstance(space, Box):
        fix = "wrap it in gymnasium.wrappers.FlattenObservation" if isinstance(space, Dict) else "give a Box of floats"
        raise UserError(f"task {name!r}: observations are a {type(space).__name__}, a Box is needed; {fix}")
    if len(space.shape) >= 2 and np.issubdtype(space.dtype, np.integer):
        raise UserError(
            f"task {name!r}: observations are images {space.shape}, which no agent here reads; "
            "give its environment a vector of features"
        )
    if len(space.shape) != 1:
        raise UserError(
            f"task {name!r}: observations have shape {space.shape}, a vector is needed; "
            "wrap it in gymnasium.wrappers.FlattenObservation"
        )
    if not np.issubdtype(space.dtype, np.floating):
        raise UserError(
            f"task {name!r}: observations are {space.dtype}, floats are needed in every task; "
            "wrap it in gymnasium.wrappers.DtypeObservation(env, np.float32)"
        )
    if space.shape[0] == 0:
        raise UserError(f"task {name!r}: observations are empty; give a Box with at least one entry")


def _check_actions(name: str, space: Any) -> None:
    if isinstance(space, Discrete | MultiDiscrete | MultiBinary):
        raise UserError(
            f"task {name!r}: actions are discrete ({space}), the agent's are continuous; "
            "use an environment with a Box of actions, such as MountainCarContinuous-v0 for MountainCar-v0"
        )
    if not isinstance(space, Box):
        raise UserError(f"task {name!r}: actions are a {type(space).__name__}, a Box of floats is needed")
    if not np.issubdtype(space.dtype, np.floating):
        raise UserError(f"task {name!r}: actions are {space.dtype}, floats are needed; wrap it in TransformAction")
    if not np.prod(space.shape):
        raise UserError(f"task {name!r}: actions are empty; give a Box with at least one entry")
    if not (np.isfinite(space.low).all() and np.isfinite(space.high).all() and (space.low < space.high).all()):
        raise UserError(
            f"task {name!r}: the bounds of its actions are not finite and increasing; "
            "declare a Box with the range that its actuators have"
        )


def _own_limit(env: gym.Env[Any, Any]) -> int | None:
    return env.spec.max_episode_steps if env.spec is not None else None
