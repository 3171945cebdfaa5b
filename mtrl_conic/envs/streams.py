"""The streams that determine the next episode of each task: one generator per task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

EpisodeStream = Literal["independent", "metaworld", "metaworld_custom"]


def make_streams(kind: EpisodeStream, task_names: Sequence[str], seed: int) -> list[np.random.Generator]:
    """Make the generators from which the tasks draw the numbers of their episodes.

    Args:
        kind: `independent`: seeded by the seed and the task's name, so that a task's episodes do not depend on its
            place in the set or on the other tasks. `metaworld`: the same seed for every task, as in
            `gym.make_vec("Meta-World/MT10", seed=seed)` and its variants. `metaworld_custom`: the seed plus the place
            of the task, as in `Meta-World/custom-mt-envs` for seeds above 0.
        task_names: one per task.
        seed: 0 or more.
    """
    return [np.random.default_rng(_entropy(kind, seed, place, name)) for place, name in enumerate(task_names)]


def _entropy(kind: EpisodeStream, seed: int, place: int, name: str) -> int | list[int]:
    if kind == "independent":
        return [seed, *name.encode()]
    return seed + place if kind == "metaworld_custom" else seed
