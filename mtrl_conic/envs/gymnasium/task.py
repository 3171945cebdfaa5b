"""One Gymnasium environment as a task: padded observations, actions in [-1, 1], a success per step."""

from __future__ import annotations

import inspect
import multiprocessing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.spaces import Box
from numpy.typing import NDArray

from mtrl_conic.envs.failures import failure
from mtrl_conic.envs.gymnasium.ids import find_environment
from mtrl_conic.envs.gymnasium.spaces import check_actions, check_observations
from mtrl_conic.envs.gymnasium.success import AUTO, Success, SuccessOfEpisodes, check_success, in_words
from mtrl_conic.envs.stepper import Bounds
from mtrl_conic.errors import UserError, first_line, origin

Factory = str | EnvSpec | Callable[..., gym.Env[Any, Any]]
"""The id of a registered environment, as for `gymnasium.make`, or a callable that creates an environment."""

UNLIMITED_HORIZON = 1000
"""The length of an episode if neither the environment nor the user limits it."""


@dataclass(frozen=True)
class Task:
    """The description of a task in a set. It is sent to the process that steps the environment.

    Raises:
        UserError: an invalid value; the message names the task.
    """

    name: str
    factory: Factory
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments that the environment is created with."""
    success: Success | None = AUTO
    """A key of `info`, the return to reach, or a function; None: no rule; `auto`: see `AUTO`."""
    reward_scale: float = 1.0
    """The factor by which the rewards are multiplied for learning."""
    horizon: int | None = None
    """The number of steps after which an episode is truncated; None: the limit of the environment."""
    render_mode: str | None = None
    """The render mode, for ids and for functions that take a `render_mode`."""
    observation_dim: int | None = None
    """The size that observations are padded to; None: no padding."""
    action_dim: int | None = None
    """The size of the given actions, of which the first entries are used; None: that of the environment's actions."""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise UserError(f"a task's name must be a word, not {self.name!r}")
        if not isinstance(self.factory, str | EnvSpec) and not callable(self.factory):
            raise UserError(
                f"task {self.name!r}: {type(self.factory).__name__} makes no environment; give an id, or a function "
                "such as lambda: MyEnv(), because evaluation needs a separate environment"
            )
        if not isinstance(self.reward_scale, int | float) or not 0 < self.reward_scale < float("inf"):
            raise UserError(f"task {self.name!r}: reward_scale must be above 0 and finite, not {self.reward_scale!r}")
        if self.horizon is not None and (not isinstance(self.horizon, int) or self.horizon < 1):
            raise UserError(f"task {self.name!r}: horizon must be a whole number of at least 1, not {self.horizon!r}")
        object.__setattr__(self, "success", check_success(self.name, self.success))

    def __call__(self) -> TaskEnvironment:
        """Create a new environment.

        Raises:
            UserError: it cannot be created, or its spaces are not supported.
        """
        return TaskEnvironment(self)


class TaskEnvironment(gym.Wrapper[NDArray[np.float64], NDArray[np.float32], Any, Any]):
    """The environment of a task, with the sizes and bounds of the task set.

    Observations (O,) float64 are padded with zeros. Actions (A,) are clipped to [-1, 1] and mapped onto the bounds of
    the environment; padded entries are ignored. An episode ends by the environment's rule or after `horizon` steps. The
    `info` of a step contains only `success`. A failure raises a `UserError` that names the task, episode and step.
    """

    def __init__(self, task: Task) -> None:
        env = _make(task)
        super().__init__(env)
        check_observations(task.name, env.observation_space)
        check_actions(task.name, env.action_space)
        assert isinstance(env.observation_space, Box)
        assert isinstance(env.action_space, Box)
        self.task = task
        self.own_observation_dim = env.observation_space.shape[0]
        self.own_action_dim = int(np.prod(env.action_space.shape))
        own = _own_limit(env)
        if own is not None and task.horizon is not None and own < task.horizon:  # made by a function, with its limit
            raise UserError(
                f"task {task.name!r}: horizon={task.horizon} is longer than the limit of {own} steps that its "
                "environment has; make the environment with another max_episode_steps"
            )
        self.horizon = task.horizon or own or UNLIMITED_HORIZON
        self._bounds = env.action_space
        self._low = env.action_space.low.astype(np.float64)
        self._range = env.action_space.high.astype(np.float64) - self._low
        self._padded_dim = task.observation_dim or self.own_observation_dim
        self.observation_space = Box(-np.inf, np.inf, (self._padded_dim,), np.float64)
        self.action_space = Box(-1.0, 1.0, (task.action_dim or self.own_action_dim,), np.float32)
        self._succeeds = SuccessOfEpisodes(None if task.success == AUTO else task.success)
        self._episode: int | None = None
        self._steps = 0

    @property
    def success_rule(self) -> str | None:
        """A description of the success rule."""
        return in_words(self._succeeds.rule)

    @property
    def registered_threshold(self) -> float | None:
        """The return at which the registered environment counts as solved."""
        return None if self.env.spec is None else self.env.spec.reward_threshold

    @property
    def action_bounds(self) -> Bounds:
        """The lower and upper bounds of the environment's actions."""
        low, high = self._bounds.low.ravel().tolist(), self._bounds.high.ravel().tolist()
        return tuple(low), tuple(high)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[NDArray[np.float64], dict[str, Any]]:
        """Start the episode with this seed."""
        self._episode, self._steps = seed, 0
        self._succeeds.reset()
        try:
            observation, _ = _returned(self.env.reset(seed=seed), "reset()", "observation, info")
            return self._pad(observation), {}
        except (Exception, SystemExit) as error:
            _let_a_worker_exit(error)
            raise self._failure("reset()", error) from error

    def step(self, action: NDArray[np.float32]) -> tuple[NDArray[np.float64], float, bool, bool, dict[str, Any]]:
        """Take one step; see the class."""
        return self.step_with_info(action)[0]

    def step_with_info(
        self, action: NDArray[np.float32]
    ) -> tuple[tuple[NDArray[np.float64], float, bool, bool, dict[str, Any]], dict[str, Any]]:
        """Take one step; return the result of `step` and the environment's own `info`."""
        self._steps += 1
        try:
            returned = self.env.step(self.own_action(action))
            observation, reward, terminated, truncated, info = _returned(
                returned, "step()", "observation, reward, terminated, truncated, info"
            )
            reward, terminated = _number(reward), bool(terminated)
            truncated = bool(truncated) or self._steps >= self.horizon
            success = self._succeeds(observation, reward, terminated, terminated or truncated, info)
            return (self._pad(observation), reward, terminated, truncated, {"success": success}), info
        except (Exception, SystemExit) as error:
            _let_a_worker_exit(error)
            raise self._failure("step()", error) from error

    def own_action(self, action: NDArray[np.floating[Any]]) -> NDArray[Any]:
        """Convert an action of the task set, (A,) in [-1, 1], to an action of the environment."""
        own = np.clip(action[: self.own_action_dim].astype(np.float64), -1, 1).reshape(self._low.shape)
        scaled: NDArray[Any] = (self._low + (own + 1) / 2 * self._range).astype(self._bounds.dtype)
        clipped: NDArray[Any] = np.clip(scaled, self._bounds.low, self._bounds.high)
        return clipped

    def _pad(self, observation: Any) -> NDArray[np.float64]:
        padded = np.zeros(self._padded_dim)
        own = np.asarray(observation)
        if own.shape != (self.own_observation_dim,):
            raise UserError(
                f"an observation has shape {own.shape}, but its space says ({self.own_observation_dim},); declare the "
                "space of what reset() and step() return"
            )
        padded[: self.own_observation_dim] = own
        return padded

    def _failure(self, where: str, error: BaseException) -> UserError:
        said = f"{where} of its environment fails: {type(error).__name__}: {first_line(error)}{origin(error)}"
        return failure(self.task.name, self._episode, self._steps, str(error) if isinstance(error, UserError) else said)


def _let_a_worker_exit(error: BaseException) -> None:
    """Raise a SystemExit in a process of the task set, which ends then and is replaced."""
    if isinstance(error, SystemExit) and multiprocessing.parent_process() is not None:
        raise error


def _returned(value: Any, where: str, expected: str) -> tuple[Any, ...]:
    """Check that a method of an environment returned the values of Gymnasium's API."""
    if not isinstance(value, tuple) or len(value) != len(expected.split(", ")):
        given = f"{len(value)} values" if isinstance(value, tuple) else type(value).__name__
        raise UserError(f"{where} must return ({expected}), as Gymnasium's API says, and returned {given}")
    return value


def _number(reward: Any) -> float:
    try:
        return float(reward)
    except (TypeError, ValueError):
        raise UserError(f"step() returned the reward {reward!r}, which is not a number") from None


def _make(task: Task) -> gym.Env[Any, Any]:
    factory, options = task.factory, dict(task.kwargs)
    try:
        if isinstance(factory, str | EnvSpec):
            if task.render_mode:
                options["render_mode"] = task.render_mode
            # The user's horizon replaces the registered limit, and may be longer.
            limit = {"max_episode_steps": task.horizon} if task.horizon else {}
            spec = find_environment(factory) if isinstance(factory, str) else factory
            env: Any = gym.make(spec, disable_env_checker=True, **limit, **options)
        else:
            if task.render_mode and "render_mode" in inspect.signature(factory).parameters:
                options["render_mode"] = task.render_mode
            env = factory(**options)
    except UserError as error:
        raise UserError(f"task {task.name!r}: {error}") from error
    except (Exception, SystemExit) as error:
        raise UserError(
            f"task {task.name!r}: its environment cannot be made: {type(error).__name__}: "
            f"{first_line(error)}{origin(error)}"
        ) from error
    if not isinstance(env, gym.Env):
        raise UserError(
            f"task {task.name!r}: its factory returned {type(env).__name__}, not a gymnasium.Env; "
            "give an id, or a function that makes one environment"
        )
    return env


def _own_limit(env: gym.Env[Any, Any]) -> int | None:
    return env.spec.max_episode_steps if env.spec is not None else None
