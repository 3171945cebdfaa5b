"""A task set: the environments that are trained together, as one Gymnasium vector environment."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import ArrayLike, NDArray

from mtrl_conic.envs.gymnasium.entries import Environments, make_tasks, success_in_words
from mtrl_conic.envs.gymnasium.stepper import GymnasiumStepper
from mtrl_conic.envs.gymnasium.success import AUTO, Success
from mtrl_conic.envs.running import RunningEpisodes
from mtrl_conic.envs.spec import TaskSpec
from mtrl_conic.envs.stepper import Stepper
from mtrl_conic.envs.streams import EpisodeStream, make_streams
from mtrl_conic.errors import UserError, unknown
from mtrl_conic.workers import TIMEOUT

_LOGGER = logging.getLogger(__name__)

Floats = NDArray[np.float32]
Transition = tuple[Floats, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, NDArray[Any]]]


class TaskSet(VectorEnv[Floats, Floats, NDArray[Any]]):
    """K tasks that step together, each in one or several environments.

    There are N environments, ordered by task, K times the stepper's `copies`.

    An observation is that of the task in float32, padded with zeros to the longest one, followed by the one-hot code of
    the task. An episode ends by termination, by the task's own rule, or by truncation, after `horizon` steps or by the
    environment's own limit. The task's next episode starts within the same step (Gymnasium's `SAME_STEP`): the returned
    observation is then the first of the new episode. The dense `infos` of `step` describe the episode that the step
    belonged to:

    - `final_obs` (N, D) float32: the true next observation, to bootstrap from, whether it ended or not;
    - `success` (N,) bool: success at this step; `episode_success` (N,) bool: success at any step so far; both are false
      for tasks for which `has_success` is false;
    - `episode_return` (N,) float64, from unscaled rewards, and `episode_length` (N,) int64: up to and including this
      step;
    - `episode_index` (N,) int64: the number of the episode (the index of the goal on Meta-World).

    Every array returned is new, so it may be kept.

    Args:
        stepper: stepper that simulates the environments; it is closed with the task set.
        seed: seed of the streams that choose the episodes, 0 or more.
        horizon: number of steps after which an episode is truncated, for all tasks or for each.
        one_hot: whether observations end with the one-hot code of the task.
        reward_scales: (K,), factors of the rewards that `step` returns; 1 by default.
        episode_stream: how the streams are seeded, see `mtrl_conic.envs.streams.make_streams`.
    """

    def __init__(
        self,
        stepper: Stepper,
        *,
        seed: int = 0,
        horizon: int | Sequence[int] = 500,
        one_hot: bool = True,
        reward_scales: Sequence[float] | None = None,
        episode_stream: EpisodeStream = "independent",
    ) -> None:
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
        self.stepper = stepper
        self.task_names = tuple(stepper.task_names)
        self.num_tasks, self.copies = len(self.task_names), stepper.copies
        self.num_envs = self.num_tasks * self.copies
        self.horizons = np.broadcast_to(np.asarray(horizon, np.int64), self.num_tasks)
        """(K,) steps after which each task's episodes are truncated."""
        if self.horizons.min() < 1:
            raise UserError(f"horizon must be at least 1, not {self.horizons.min()}")
        self.horizon = int(self.horizons.max())
        self.one_hot = one_hot
        rules = stepper.success_rules or ("",) * self.num_tasks
        self.has_success = np.array([rule is not None for rule in rules])
        """(K,) bool: whether the task has a success rule; only returns are reported for tasks without one."""
        scales = np.ones(self.num_tasks) if reward_scales is None else np.array(reward_scales, np.float64)
        self._reward_scales, self._horizons = np.repeat(scales, self.copies), np.repeat(self.horizons, self.copies)
        self._episode_stream: EpisodeStream = episode_stream
        self._seed_streams(seed)

        dimension = stepper.observation_dim + (self.num_tasks if one_hot else 0)
        self.single_observation_space = Box(-np.inf, np.inf, (dimension,), np.float32)
        self.single_action_space = Box(-1.0, 1.0, (stepper.action_dim,), np.float32)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

        # An observation contains that of the stepper, followed by the one-hot code of the task if it is used.
        self._frame: Floats = np.zeros((self.num_envs, dimension), np.float32)
        if one_hot:
            self._frame[:, stepper.observation_dim :] = np.repeat(np.eye(self.num_tasks), self.copies, axis=0)
        self._running = RunningEpisodes(stepper, self.horizon)
        self.moves = 0
        """The number of resets and steps so far, which shows whether kept observations are still current."""
        self._observations = self._frame
        self.again: Callable[..., TaskSet] | None = None
        """A function of `seed`, `copies` and others that makes a new task set of the same tasks; None if unknown."""

    def __repr__(self) -> str:
        copies = f"; {self.copies} environments of each" if self.copies > 1 else ""
        return f"{type(self).__name__}({TaskSpec.of(self).in_words()}{copies})"

    @classmethod
    def from_gymnasium(
        cls,
        environments: Environments,
        *,
        seed: int = 0,
        success: Success | Mapping[str, Success | None] | None = AUTO,
        reward_scale: float | Mapping[str, float] = 1.0,
        horizon: int | Mapping[str, int] | None = None,
        copies: int = 1,
        vector: Literal["sync", "async"] = "sync",
        worker_timeout: float = TIMEOUT,
        one_hot: bool = True,
        render_mode: str | None = None,
    ) -> TaskSet:
        """Create a task set of Gymnasium environments whose observations and actions are Boxes of floats.

        Observations and actions are padded with zeros to the longest; actions are given in [-1, 1] and mapped onto
        each environment's bounds. Episode n of a task is the one that `reset(seed=n)` of its environment starts.

        Args:
            environments: mapping from task names to the id of a registered environment, as for `gymnasium.make`, or to
                a function that creates one; or a list of such pairs, or of `Task`s.
            seed: seed of the episodes, 0 or more.
            success: success rule for all tasks or per task: a key of `info`, the return that an episode has to reach,
                or a function of (observation, reward, terminated, info); None for no rule, so that only returns are
                reported. By default, the return at which the registered environment counts as solved
                (`spec.reward_threshold`) is used; without one, `info["is_success"]` if the environment provides it.
            reward_scale: factor of the rewards for learning, for all tasks or per task; reported returns are not
                scaled.
            horizon: number of steps after which an episode is truncated, for all tasks or per task; by default the
                registered limit of the environment, or 1000 if it has none.
            copies: number of environments per task, which step together: rows are then (N, .), ordered by task, and a
                step of n copies counts as n steps of their task.
            vector: `sync`, or `async` for one process per environment.
            worker_timeout: seconds that these processes have to answer; a process that does not answer or that ends is
                restarted once and brought back to its state.
            one_hot: whether observations end with the one-hot code of the task.
            render_mode: render mode, for ids and for functions that take a `render_mode`.

        Raises:
            UserError: a task cannot be used; the message says why and how to fix it.
        """
        tasks = make_tasks(
            environments, success=success, reward_scale=reward_scale, horizon=horizon, render_mode=render_mode
        )
        stepper = GymnasiumStepper(tasks, copies=copies, vector=vector, worker_timeout=worker_timeout)
        _LOGGER.info("%s", success_in_words(stepper))
        scales = [task.reward_scale for task in tasks]
        made = cls(stepper, seed=seed, horizon=stepper.horizons, one_hot=one_hot, reward_scales=scales)
        given: dict[str, Any] = {
            "success": success,
            "reward_scale": reward_scale,
            "horizon": horizon,
            "render_mode": render_mode,
        }
        given |= {"vector": vector, "worker_timeout": worker_timeout, "one_hot": one_hot}
        made.again = partial(cls.from_gymnasium, environments, **given)
        return made

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Floats, dict[str, NDArray[Any]]]:
        """Start a new episode of every task.

        Args:
            seed: new seed of the streams, as in the constructor; it may be 0.
            options: `{"episodes": [...]}` starts these episodes, one per environment, instead of drawn ones; the
                streams do not change.

        Returns:
            The first observations (N, D) float32, and `{"episode_index": numbers}`.
        """
        options = options or {}
        for key in options:
            if key != "episodes":
                raise unknown("reset option", key, ["episodes"])
        episodes = self._check_episodes(options["episodes"]) if "episodes" in options else None
        self.moves += 1
        super().reset(seed=seed)
        if seed is not None:
            self._seed_streams(seed)
        observations = self._frame.copy()
        for row in range(self.num_envs):
            self._start(row, self._draw(row) if episodes is None else int(episodes[row]), observations)
        self._observations = observations
        return observations.copy(), {"episode_index": self._running.numbers.copy()}

    def step(self, actions: ArrayLike) -> Transition:
        """Take one step in every environment; if an episode ends, the next one starts.

        Args:
            actions: (N, A), finite, converted to float32; Meta-World itself clips actions.

        Returns:
            Observations (N, D) float32, rewards (N,) float64, terminations and truncations (N,) bool,
            and the `infos` described in the class.
        """
        taken = self._check_actions(actions)
        self._check_started()
        self.moves += 1
        running = self._running
        result = running.step(taken)
        observations = self._observe(result.observations)
        rewards, terminations = result.rewards * self._reward_scales, result.terminated.copy()
        truncations = running.lengths >= self._horizons
        if result.truncated is not None:
            truncations |= result.truncated
        infos = {
            "final_obs": observations.copy(),
            "success": result.success.copy(),
            "episode_success": running.successes.copy(),
            "episode_return": running.returns.copy(),
            "episode_length": running.lengths.copy(),
            "episode_index": running.numbers.copy(),
        }
        for row in np.flatnonzero(terminations | truncations).tolist():
            self._start(row, self._draw(row), observations)
        self._observations = observations
        return observations.copy(), rewards, terminations, truncations, infos

    def state_dict(self) -> dict[str, Any]:
        """Return everything needed to continue bit for bit, also within episodes; see `RunningEpisodes`.

        It contains only plain values and tensors, which `torch.load(weights_only=True)` reads.
        """
        self._check_started()
        return {
            "task_names": list(self.task_names),
            "horizon": self._horizon_saved,
            "seed": self.seed,
            "streams": [stream.bit_generator.state for stream in self._streams],
            **self._running.state_dict(),
            "observations": torch.tensor(self._observations),
        }

    def load_state_dict(self, state: dict[str, Any]) -> Floats:
        """Continue from the `state_dict` of a task set that was created with the same arguments.

        Returns:
            The current observations (N, D) float32, which the last `step` or `reset` returned.

        Raises:
            UserError: the state has other tasks, horizons or numbers of copies.
            Untraceable: the saved actions lead to different observations, as with other goals. The streams are
                restored, so that `reset()` starts the next episodes.
        """
        for key, mine in (("task_names", list(self.task_names)), ("horizon", self._horizon_saved)):
            if state[key] != mine:
                raise UserError(f"the saved task set has {key} {state[key]}, this one {mine}")
        if len(state["episodes"]) != self.num_envs:
            raise UserError(f"the saved task set has {len(state['episodes'])} environments, this one {self.num_envs}")
        self.seed = state["seed"]
        for stream, position in zip(self._streams, state["streams"], strict=True):
            stream.bit_generator.state = position
        saved = state["observations"].numpy()[:, : self.stepper.observation_dim]
        observations = self._observe(self._running.load_state_dict(state, expected=saved))
        self._observations = observations
        return np.array(observations)

    def close_extras(self, **kwargs: Any) -> None:
        """Release the simulators; called by `close`."""
        self.stepper.close()

    def _start(self, row: int, episode: int, observations: Floats) -> None:
        """Start an episode of one environment and write its first observation into the environment's row."""
        observations[row, : self.stepper.observation_dim] = self._running.start(row, episode)

    def _draw(self, row: int) -> int:
        return int(self._streams[row // self.copies].integers(self.stepper.num_episodes))

    def _observe(self, raw: NDArray[np.float64]) -> Floats:
        observations = np.array(self._frame)
        observations[:, : self.stepper.observation_dim] = raw
        return observations

    def _seed_streams(self, seed: int) -> None:
        if seed < 0:
            raise UserError(f"seed must be 0 or more, not {seed}")
        self.seed = int(seed)
        self._streams = make_streams(self._episode_stream, self.task_names, self.seed)

    @property
    def _horizon_saved(self) -> int | list[int]:
        return self.horizon if (self.horizons == self.horizon).all() else self.horizons.tolist()

    @property
    def _each(self) -> str:
        return "task" if self.copies == 1 else "environment"

    def _check_started(self) -> None:
        if self._running.numbers[0] < 0:
            raise UserError("no episode has been started: call reset() first")

    def _check_actions(self, actions: ArrayLike) -> Floats:
        taken = np.asarray(actions, np.float32)
        expected = (self.num_envs, self.stepper.action_dim)
        if taken.shape != expected:
            raise UserError(f"actions must have shape {expected}, one row per {self._each}, not {taken.shape}")
        if not np.isfinite(taken).all():
            row = int(np.flatnonzero(~np.isfinite(taken).all(1))[0])
            raise UserError(f"the action of {self.task_names[row // self.copies]} is not finite: {taken[row].tolist()}")
        return taken

    def _check_episodes(self, episodes: ArrayLike) -> NDArray[np.int64]:
        numbers = np.asarray(episodes)
        if numbers.shape != (self.num_envs,) or not np.issubdtype(numbers.dtype, np.integer):
            raise UserError(f"episodes must be {self.num_envs} whole numbers, one per {self._each}, not {episodes!r}")
        for row, number in enumerate(numbers):
            name = self.task_names[row // self.copies]
            if not 0 <= number < self.stepper.num_episodes:
                raise UserError(
                    f"episode {number} of {name} does not exist: choose 0 to {self.stepper.num_episodes - 1}"
                )
        return numbers.astype(np.int64)
