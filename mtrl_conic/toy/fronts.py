"""The fronts that methods trace on a toy problem when one of their options is varied."""

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
"""Distance of the reference point from the worst losses of the front, as a fraction of the front's extent."""
_DIGITS = 3
"""Number of digits to which losses are rounded; points that agree in them count as one."""


@dataclass(frozen=True)
class Traced:
    """The end points of the variants of one method, from all starts."""

    problem: Problem
    name: str
    ends: dict[str, Tensor]
    """Maps a variant to its losses (starts, 2)."""

    def row(self) -> list[str]:
        """Return the cells under `HEAD`.

        They are the numbers of variants, of distinct points and of nondominated points, and the hypervolume as a
        fraction of that of the problem's front.
        """
        points = np.unique(np.concatenate([end.numpy() for end in self.ends.values()]).round(_DIGITS), axis=0)
        front = self.problem.losses(self.problem.front).numpy()
        reference = front.max(0) + _BEYOND * (front.max(0) - front.min(0))
        share = hypervolume(points, reference) / hypervolume(front, reference)
        counts = len(self.ends), len(points), int(nondominated(points).sum())
        return [self.problem.name, self.name, *map(str, counts), f"{share:.3f}"]


def traced(trajectories: Sequence[Trajectory]) -> list[Traced]:
    """Return the methods that ran in more than one variant, with their end points."""
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
    """Return each method with `count` preferences, evenly spaced from one task to the other.

    Args:
        methods: names of methods with optional options; `all` stands for all that accept a preference.
        count: number of preferences, at least 2.

    Raises:
        UserError: a method does not accept a preference, or `count` is less than 2.
    """
    if count < 2:
        raise UserError(f"preferences={count}: a front needs at least 2")
    takers = [name for name in balancers.available() if "preference" in balancers.options(name)]
    found = []
    for method in methods:
        for name, options in [(taker, {}) for taker in takers] if method == "all" else balancers.parse_methods(method):
            if name not in takers:
                raise UserError(f"{name} does not accept a preference; these methods do: {', '.join(takers)}")
            shares = [(2 * place + 1) / (2 * count) for place in range(count)]
            found += [label(name, {**options, "preference": f"{share:.4g}+{1 - share:.4g}"}) for share in shares]
    return found
