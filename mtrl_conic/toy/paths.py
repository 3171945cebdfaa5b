"""Trajectories of balancers on two losses in the plane, from several starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mtrl_conic.balancers import Balancer
from mtrl_conic.toy.problems import LEARNING_RATE, Problem

RECORD_EVERY = 50
"""Number of steps between two points of a trajectory."""


@dataclass(frozen=True)
class Trajectory:
    """The trajectory of a balancer on a problem, from all starts."""

    problem: Problem
    label: str
    """Name of the balancer with its options."""
    steps: Tensor
    """The recorded steps (T,)."""
    points: Tensor
    """The points (T, starts, 2) at those steps."""

    @property
    def finite(self) -> bool:
        """Whether every point is finite."""
        return bool(self.points.isfinite().all())

    @property
    def on_front(self) -> int:
        """The number of starts from which the trajectory ends on the Pareto front."""
        distances = torch.cdist(self.points[-1], self.problem.front).amin(-1)
        return int((distances < self.problem.near).sum())

    @property
    def at_optimum(self) -> int:
        """The number of starts from which the trajectory ends at the optimum of the mean loss."""
        return int(self._there()[-1].sum())

    @property
    def steps_to_optimum(self) -> int | None:
        """The recorded step from which all starts stay at the optimum of the mean loss; None if some do not."""
        there = self._there().all(-1)
        if not there[-1]:
            return None
        away = (~there).nonzero()
        return int(self.steps[int(away[-1]) + 1]) if len(away) else int(self.steps[0])

    def _there(self) -> Tensor:
        distances: Tensor = torch.linalg.vector_norm(self.points - self.problem.optimum, dim=-1)
        return distances < self.problem.near


def descend(problem: Problem, balancer: Balancer, *, label: str = "", steps: int | None = None) -> Trajectory:
    """Run Adam along the direction of a balancer, from all starts at once, each with a state of its own.

    Args:
        problem: one of `PROBLEMS`.
        balancer: a balancer for two tasks; it is reset.
        label: label of the trajectory; if empty, the name of the balancer.
        steps: number of steps; None takes the number of the problem.
    """
    return descend_together([problem], {label or balancer.name: balancer}, problem.steps if steps is None else steps)[0]


def descend_together(problems: Sequence[Problem], runners: dict[str, Balancer], steps: int) -> list[Trajectory]:
    """Run Adam along the directions of several balancers on several problems at once, each independent of the others.

    Args:
        problems: the problems; all starts of a problem are one batch for each balancer.
        runners: maps labels to balancers for two tasks; they are reset.
        steps: number of steps of Adam on every problem.

    Returns:
        One trajectory for each balancer and problem: all problems of the first balancer come first.
    """
    starts = torch.tensor([start for problem in problems for start in problem.starts], dtype=torch.float64)
    counts = [len(problem.starts) for problem in problems]
    below = torch.tensor([problem.floor for problem in problems for _ in problem.starts], dtype=torch.float64)
    floors = []
    for balancer in runners.values():
        balancer.reset((len(starts),))
        floors.append(below if balancer.positive_losses else torch.zeros_like(below))
    points = starts.repeat(len(runners), 1, 1)
    descent = torch.optim.Adam([points], lr=LEARNING_RATE)
    recorded = []
    for step in range(steps + 1):
        if step % RECORD_EVERY == 0:
            recorded.append(points.clone())
        losses, jacobian = _losses_and_jacobian(problems, counts, points)
        directions = []
        for index, (balancer, floor) in enumerate(zip(runners.values(), floors, strict=True)):
            if step:  # the losses at the current points are the result of the previous step
                balancer.observe(losses[index] - floor)
            directions.append(balancer.direction(jacobian[index], losses[index] - floor))
        points.grad = torch.stack(directions)
        descent.step()
    at = torch.arange(len(recorded)) * RECORD_EVERY
    paths = torch.stack(recorded, 1).split(counts, 2)
    return [
        Trajectory(problem, label, at, path[index])
        for index, label in enumerate(runners)
        for problem, path in zip(problems, paths, strict=True)
    ]


def _losses_and_jacobian(problems: Sequence[Problem], counts: list[int], points: Tensor) -> tuple[Tensor, Tensor]:
    """Return losses (..., starts, 2) and their gradients (..., starts, 2, 2), using a copy of the points per loss."""
    copies = points.detach().expand(2, *points.shape).clone().requires_grad_()
    parts = [p.losses(part) for p, part in zip(problems, copies.split(counts, -2), strict=True)]
    losses = torch.cat(parts, -2)
    own = torch.stack([losses[0, ..., 0], losses[1, ..., 1]], -1)
    (gradient,) = torch.autograd.grad(own.sum(), copies)
    return own.detach(), torch.stack(gradient.unbind(), -2)
