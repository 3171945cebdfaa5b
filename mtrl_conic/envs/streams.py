"""Which episode each task of a task set plays next: one generator per task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

EpisodeStream = Literal["independent", "metaworld", "metaworld_custom"]


def make_streams(kind: EpisodeStream, task_names: Sequence[str], seed: int) -> list[np.random.Generator]:
    """The generators from which the tasks draw the numbers of their episodes.

    Args:
        kind: `independent`: seeded by the seed and the task's name, so that a task's episodes depend
            neither on its place in the set nor on its company. `metaworld`: every task by the same
            seed, as `gym.make_vec("Meta-World/MT10", seed=seed)` and its sisters do.
            `metaworld_custom`: by seed + place, as `Meta-World/custom-mt-envs` does for seeds above 0.
        task_names: one per task.
        seed: 0 or more.
    """
    return [np.random.default_rng(_entropy(kind, seed, place, name)) for place, name in enumerate(task_names)]


def _entropy(kind: EpisodeStream, seed: int, place: int, name: str) -> int | list[int]:
    if kind == "independent":
        return [seed, *name.encode()]
    return seed + place if kind == "metaworld_custom" else seed
