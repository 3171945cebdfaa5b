"""Whether a task set keeps its word: what an agent, its evaluation and its checkpoints rely on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtrl_conic.envs.gymnasium.task import Factory
from mtrl_conic.envs.task_set import TaskSet
from mtrl_conic.errors import UserError

Trace = dict[str, NDArray[Any]]
"""Name -> what (n + 1 or n, N, ...) a number of steps led to."""


def check_task_set(
    envs: TaskSet | Mapping[str, Factory] | Sequence[tuple[str, Factory]], *, steps: int = 200, seed: int = 0
) -> None:
    """Play random actions and raise at the first thing that is wrong, in one line that names the task.

    Besides what making a task set checks (spaces, names, factories, finite numbers), over `steps` steps: the same
    episode and actions give the same numbers again, without which a run cannot resume; observations are not all the
    same; and every episode that ends is followed by a new one.

    Args:
        envs: a task set, which is reset and stepped; or environments as `TaskSet.from_gymnasium` takes them.
        steps: of every task, twice.
        seed: of the actions and of the order of the episodes.

    Raises:
        UserError: what is wrong, and how to mend it.
    """
    made = envs if isinstance(envs, TaskSet) else TaskSet.from_gymnasium(envs)
    try:
        first, second = (_play(made, steps, seed) for _ in range(2))
    finally:
        if made is not envs:
            made.close()
    for place, name in enumerate(made.task_names):
        rows = slice(place * made.copies, (place + 1) * made.copies)
        for what in ("observations", "rewards", "ends"):
            one, two = first[what][:, rows], second[what][:, rows]
            if not np.array_equal(one, two):
                step = int(np.flatnonzero((one != two).reshape(len(one), -1).any(1))[0])
                raise UserError(
                    f"task {name!r}: {what} differ at step {step} of two episodes with the same seed and actions, so "
                    "that no run on it could resume; draw all that is random from self.np_random, seeded by "
                    "super().reset(seed=seed)"
                )
        if (first["observations"][:, rows] == first["observations"][0, rows]).all():
            raise UserError(f"task {name!r}: the observation never changes in {steps} random steps; see its step()")


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
