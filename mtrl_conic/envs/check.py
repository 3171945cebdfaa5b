"""Checks of a task set: the properties that agents, evaluations and checkpoints rely on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtrl_conic.envs.gymnasium.entries import Environments
from mtrl_conic.envs.task_set import TaskSet
from mtrl_conic.errors import UserError

Trace = dict[str, NDArray[Any]]
"""The values (n + 1 or n, N, ...) that n steps produced, by name."""


def check_task_set(envs: TaskSet | Environments, *, steps: int = 200, seed: int = 0) -> None:
    """Play random actions, and raise an error of one line that names the task if something is wrong.

    Creating a task set checks spaces, names, factories and finite numbers. Over `steps` steps, this function also
    checks that the same episode and actions give the same numbers again, without which a run cannot resume within an
    episode; that observations vary; and that a new episode follows every episode that ends.

    Args:
        envs: a task set, which is reset and stepped, or environments as for `TaskSet.from_gymnasium`.
        steps: number of steps per task; they are played twice.
        seed: seed of the actions and of the order of the episodes.

    Raises:
        UserError: a check fails; the message says how to fix it.
    """
    made = envs if isinstance(envs, TaskSet) else TaskSet.from_gymnasium(envs)
    try:
        first, second = (_play(made, steps, seed) for _ in range(2))
    finally:
        if made is not envs:
            made.close()
    difference = _difference(made, first, second)
    if difference is not None:
        raise UserError(difference)
    for name, rows in _rows(made):
        if (first["observations"][:, rows] == first["observations"][0, rows]).all():
            raise UserError(f"task {name!r}: the observation never changes in {steps} random steps; check its step()")


def why_untraceable(envs: TaskSet, *, steps: int = 50, seed: int = 0) -> str | None:
    """Return why a run on a task set cannot be resumed within an episode; None if `steps` steps show no reason.

    Args:
        envs: the task set, which is reset and stepped.
        steps: number of steps per task; they are played twice.
        seed: seed of the actions and of the order of the episodes.
    """
    first, second = (_play(envs, steps, seed) for _ in range(2))
    return _difference(envs, first, second)


def _rows(envs: TaskSet) -> Iterator[tuple[str, slice]]:
    """Return the name and the environments of each task."""
    for place, name in enumerate(envs.task_names):
        yield name, slice(place * envs.copies, (place + 1) * envs.copies)


def _difference(envs: TaskSet, first: Trace, second: Trace) -> str | None:
    """Return what differs between two plays with the same seed and actions; None if nothing does."""
    for name, rows in _rows(envs):
        for what in ("observations", "rewards", "ends"):
            one, two = first[what][:, rows], second[what][:, rows]
            if not np.array_equal(one, two):
                step = int(np.flatnonzero((one != two).reshape(len(one), -1).any(1))[0])
                return (
                    f"task {name!r}: {what} differ at step {step} of two episodes with the same seed and actions, so "
                    "a run cannot be resumed within an episode; draw all random numbers from self.np_random, which "
                    "super().reset(seed=seed) seeds"
                )
    return None


def _play(envs: TaskSet, steps: int, seed: int) -> Trace:
    generator = np.random.default_rng(seed)
    observations, _ = envs.reset(seed=seed)
    seen, rewards, ends = [observations], [], []
    for _ in range(steps):
        actions = generator.uniform(-1, 1, envs.action_space.shape or ()).astype(np.float32)
        observations, reward, terminated, truncated, infos = envs.step(actions)
        seen += [infos["final_obs"], observations]
        rewards.append(reward)
        ends.append(np.stack([terminated, truncated, infos["success"]], axis=1))
    return {"observations": np.stack(seen), "rewards": np.stack(rewards), "ends": np.stack(ends)}
