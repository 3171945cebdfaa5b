"""The toy problems: two losses in the plane, with their starts, fronts and optima.

The first problem is that of CAGrad, FAMO and ConicGrad (Liu et al., NeurIPS 2021, section 5.1), with the first loss
unscaled or multiplied by 0.1. The second one is that of GradOPS (Zhu et al., 2025).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

LEARNING_RATE = 1e-3
"""Learning rate of Adam on every problem."""


@dataclass(frozen=True)
class Problem:
    """Two losses as functions of a point in the plane."""

    name: str
    losses: Callable[[Tensor], Tensor]
    """Maps points (..., 2) to losses (..., 2)."""
    starts: tuple[tuple[float, float], ...]
    steps: int
    """Number of steps of Adam at the learning rate 1e-3."""
    floor: tuple[float, float]
    """A lower bound of each loss. It is subtracted from the losses for methods that need positive losses."""
    box: tuple[float, float, float, float]
    """Smallest and largest x1, then smallest and largest x2, of the figure and of the search for the front."""
    near: float
    """Distance below which a point counts as being on the front or at the optimum."""
    shore: float
    """Upper bound of x2 in the search for the front and the optimum. Above it, losses are low only in
    grooves whose width is set by the tiny lower bound inside the logarithms."""

    @cached_property
    def grid(self) -> tuple[Tensor, Tensor]:
        """Points (N, N, 2) on a grid of the box, with x2 along the first axis, and their losses (N, N, 2)."""
        low1, high1, low2, high2 = self.box
        first = torch.linspace(low1, high1, 801, dtype=torch.float64)
        second = torch.linspace(low2, high2, 801, dtype=torch.float64)
        points = torch.stack(torch.meshgrid(second, first, indexing="ij")[::-1], -1)
        return points, self.losses(points)

    @cached_property
    def front(self) -> Tensor:
        """The points (M, 2) of the grid that are not dominated by another point of it."""
        points, losses = self._below_shore
        order = losses[:, 0].argsort(stable=True)
        second = losses[order, 1]
        best_before = torch.cat([torch.full((1,), torch.inf, dtype=torch.float64), second.cummin(0).values[:-1]])
        front = points[order[second < best_before]]
        return front[front[:, 0].argsort()]

    @cached_property
    def optimum(self) -> Tensor:
        """The point (2,) with the smallest mean loss."""
        points, losses = self._below_shore
        point = points[losses.mean(-1).argmin()].clone().requires_grad_()
        descent = torch.optim.Adam([point], lr=LEARNING_RATE)
        for _ in range(200):
            (point.grad,) = torch.autograd.grad(self.losses(point).mean(), point)
            descent.step()
        return point.detach()

    @property
    def _below_shore(self) -> tuple[Tensor, Tensor]:
        points, losses = self.grid
        below = points[..., 1] < self.shore
        return points[below], losses[below]


def _classic(scale: float) -> Callable[[Tensor], Tensor]:
    def losses(points: Tensor) -> Tensor:
        x1, x2 = points.unbind(-1)
        bend = torch.tanh(-x2)
        f1 = (0.5 * (-x1 - 7) - bend).abs().clamp_min(5e-6).log() + 6
        f2 = (0.5 * (-x1 + 3) + bend + 2).abs().clamp_min(5e-6).log() + 6
        valley = 0.1 * (-x2 - 8).square()
        q1 = ((-x1 + 7).square() + valley) / 10 - 20
        q2 = ((-x1 - 7).square() + valley) / 10 - 20
        above = torch.tanh(0.5 * x2)
        c1, c2 = above.clamp_min(0), (-above).clamp_min(0)
        return torch.stack([scale * (c1 * f1 + c2 * q1), c1 * f2 + c2 * q2], -1)

    return losses


def _gradops(points: Tensor) -> Tensor:
    x1, x2 = points.unbind(-1)
    bend = torch.tanh(-3 * x2)
    above = torch.tanh(5 * x2)
    c1, c2 = above.clamp_min(0), (-above).clamp_min(0)
    losses = []
    for centre in (0.7, -0.7):
        f = (5 * (-x1 - centre) - bend).abs().clamp_min(5e-4).log() + 1
        well = 1.5 * torch.tanh(2 * (-x1 + centre).square()) * (x1.square() + 1)
        losses.append(c1 * f + c2 * (well + (-x2 - 0.8).square() - 2.5))
    return torch.stack(losses, -1)


_CLASSIC_STARTS = ((-8.5, 7.5), (0.0, 0.0), (9.0, 9.0), (-7.5, -0.5), (9.0, -1.0))
_CLASSIC_BOX = (-10.0, 10.0, -10.0, 10.0)
_GRADOPS_STARTS = ((-0.85, 0.75), (-0.85, -0.3), (0.9, 0.9))
PROBLEMS = {
    problem.name: problem
    for problem in (
        Problem("classic", _classic(1.0), _CLASSIC_STARTS, 50_000, (-21.0, -21.0), _CLASSIC_BOX, 0.2, -1.0),
        Problem("classic_scaled", _classic(0.1), _CLASSIC_STARTS, 50_000, (-2.1, -21.0), _CLASSIC_BOX, 0.2, -1.0),
        Problem("gradops", _gradops, _GRADOPS_STARTS, 20_000, (-7.0, -7.0), (-1.0, 1.0, -1.0, 1.0), 0.05, -0.1),
    )
}
"""The problems by name: `classic`, `classic_scaled` (the first loss times 0.1) and `gradops`."""
