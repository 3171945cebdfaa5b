"""The fronts that methods trace on a toy problem, as an option of theirs takes one value after another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from mtrl_conic import balancers
from mtrl_conic.balancers.notation import label
from mtrl_conic.errors import UserError
from mtrl_conic.evaluation.fronts import hypervolume, nondominated
from mtrl_conic.toy.paths import Trajectory
from mtrl_conic.toy.problems import Problem

HEAD = ["problem", "balancer", "variants", "points", "nondominated", "hypervolume"]
_BEYOND = 0.1
"""Of the front's extent, by which the reference point lies beyond its worst losses."""
_DIGITS = 3
"""Of a loss: points that agree in them are one."""


@dataclass(frozen=True)
class Traced:
    """Where the variants of a method end, from all starts."""

    problem: Problem
    name: str
    ends: dict[str, Tensor]
    """Variant -> losses (starts, 2)."""

    def row(self) -> list[str]:
        """As in `HEAD`: distinct points, those beaten by none, and the share of the hypervolume of the true front."""
        points = np.unique(np.concatenate([end.numpy() for end in self.ends.values()]).round(_DIGITS), axis=0)
        front = self.problem.losses(self.problem.front).numpy()
        reference = front.max(0) + _BEYOND * (front.max(0) - front.min(0))
        share = hypervolume(points, reference) / hypervolume(front, reference)
        counts = len(self.ends), len(points), int(nondominated(points).sum())
        return [self.problem.name, self.name, *map(str, counts), f"{share:.3f}"]


def traced(trajectories: Sequence[Trajectory]) -> list[Traced]:
    """The methods that ran in more than one variant, with where they ended."""
    names = list(dict.fromkeys(_name(trajectory) for trajectory in trajectories))
    found = []
    for name in names:
        variants = [trajectory for trajectory in trajectories if _name(trajectory) == name]
        ends = {each.label: each.problem.losses(each.points[-1]) for each in variants}
        if len(ends) > 1:
            found.append(Traced(variants[0].problem, name, ends))
    return found


def _name(trajectory: Trajectory) -> str:
    return trajectory.label.partition(":")[0]


def over_preferences(methods: Sequence[str], count: int) -> list[str]:
    """Each method with `count` preferences, evenly spaced between one task and the other.

    Args:
        methods: as they are written; `all` stands for all that take a preference.
        count: at least 2.

    Raises:
        UserError: a method that takes none, or a count of less than 2.
    """
    if count < 2:
        raise UserError(f"preferences={count}: at least 2 make a front")
    takers = [name for name in balancers.available() if "preference" in balancers.options(name)]
    found = []
    for method in methods:
        for name, options in [(taker, {}) for taker in takers] if method == "all" else balancers.parse_methods(method):
            if name not in takers:
                raise UserError(f"{name} takes no preference; these do: {', '.join(takers)}")
            shares = [(2 * place + 1) / (2 * count) for place in range(count)]
            found += [label(name, {**options, "preference": f"{share:.4g}+{1 - share:.4g}"}) for share in shares]
    return found
