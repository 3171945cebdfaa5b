"""Two losses in the plane: where each balancer goes, from a few starts.

The first problem is that of CAGrad, FAMO and ConicGrad (Liu et al., NeurIPS 2021, section 5.1), with the
first loss as it is or a tenth of it; the second is that of GradOPS (Zhu et al., 2025).
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mtrl_conic import balancers
from mtrl_conic.balancers import Balancer
from mtrl_conic.errors import UserError, unknown
from mtrl_conic.supervised.toy_picture import draw

_LEARNING_RATE = 1e-3
_RECORD_EVERY = 50


@dataclass(frozen=True)
class Problem:
    """Two losses of a point in the plane."""

    name: str
    losses: Callable[[Tensor], Tensor]
    """(..., 2) points -> (..., 2) losses."""
    starts: tuple[tuple[float, float], ...]
    steps: int
    """Of Adam, at a step size of 1e-3."""
    floor: float
    """Below both losses everywhere: methods that need positive losses are given losses less this."""
    box: tuple[float, float, float, float]
    """Least and largest x1 and x2 of the picture, and of the search for the front."""
    near: float
    """Within this of the front or the optimum is there."""
    shore: float
    """The front and the optimum are sought below this x2: above, only grooves as narrow as the floor under
    their logarithm are low."""

    @cached_property
    def grid(self) -> tuple[Tensor, Tensor]:
        """Points (N, N, 2) on a grid of the box, first index x2, and the losses (N, N, 2) there."""
        low1, high1, low2, high2 = self.box
        first = torch.linspace(low1, high1, 801, dtype=torch.float64)
        second = torch.linspace(low2, high2, 801, dtype=torch.float64)
        points = torch.stack(torch.meshgrid(second, first, indexing="ij")[::-1], -1)
        return points, self.losses(points)

    @cached_property
    def front(self) -> Tensor:
        """The points (M, 2) of the grid that no other point of it beats in both losses."""
        points, losses = self._below_shore
        order = losses[:, 0].argsort(stable=True)
        second = losses[order, 1]
        best_before = torch.cat([torch.full((1,), torch.inf, dtype=torch.float64), second.cummin(0).values[:-1]])
        front = points[order[second < best_before]]
        return front[front[:, 0].argsort()]

    @cached_property
    def optimum(self) -> Tensor:
        """The point (2,) with the least mean loss."""
        points, losses = self._below_shore
        point = points[losses.mean(-1).argmin()].clone().requires_grad_()
        descent = torch.optim.Adam([point], lr=_LEARNING_RATE)
        for _ in range(200):
            (point.grad,) = torch.autograd.grad(self.losses(point).mean(), point)
            descent.step()
        return point.detach()

    @property
    def _below_shore(self) -> tuple[Tensor, Tensor]:
        points, losses = self.grid
        below = points[..., 1] < self.shore
        return points[below], losses[below]


@dataclass(frozen=True)
class Trajectory:
    """Where a balancer went on a problem, from all starts."""

    problem: Problem
    balancer: str
    label: str
    """The balancer with its options."""
    steps: Tensor
    """(T,), the steps that were recorded."""
    points: Tensor
    """(T, starts, 2)."""
    finite: bool = field(default=True)
    """Whether every point was."""

    @property
    def on_front(self) -> int:
        """The number of starts that end on the Pareto front."""
        distances = torch.cdist(self.points[-1], self.problem.front).amin(-1)
        return int((distances < self.problem.near).sum())

    @property
    def at_optimum(self) -> int:
        """The number of starts that end at the optimum of the mean loss."""
        return int(self._there()[-1].sum())

    @property
    def steps_to_optimum(self) -> int | None:
        """The recorded step from which on all starts stay at the optimum of the mean; none if some do not."""
        there = self._there().all(-1)
        if not there[-1]:
            return None
        away = (~there).nonzero()
        return int(self.steps[int(away[-1]) + 1]) if len(away) else int(self.steps[0])

    def _there(self) -> Tensor:
        distances: Tensor = torch.linalg.vector_norm(self.points - self.problem.optimum, dim=-1)
        return distances < self.problem.near


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
        Problem("classic", _classic(1.0), _CLASSIC_STARTS, 50_000, -20.1, _CLASSIC_BOX, 0.2, -1.0),
        Problem("classic_scaled", _classic(0.1), _CLASSIC_STARTS, 50_000, -20.1, _CLASSIC_BOX, 0.2, -1.0),
        Problem("gradops", _gradops, _GRADOPS_STARTS, 20_000, -7.0, (-1.0, 1.0, -1.0, 1.0), 0.05, -0.1),
    )
}
"""By name: `classic`, `classic_scaled` (the first loss times .1) and `gradops`."""


def descend(problem: Problem, balancer: Balancer, *, label: str = "", steps: int | None = None) -> Trajectory:
    """Adam along a balancer's direction, from all starts at once, each with a state of its own.

    Args:
        problem: one of `PROBLEMS`.
        balancer: of two tasks; it is reset.
        label: of the trajectory; the balancer's name if empty.
        steps: the problem's own if not given.
    """
    steps = problem.steps if steps is None else steps
    points = torch.tensor(problem.starts, dtype=torch.float64)
    balancer.reset(tuple(points.shape[:1]))
    floor = problem.floor if balancer.positive_losses else 0.0
    descent = torch.optim.Adam([points], lr=_LEARNING_RATE)
    recorded = []
    for step in range(steps + 1):
        if step % _RECORD_EVERY == 0:
            recorded.append(points.clone())
        losses, jacobian = _losses_and_jacobian(problem, points)
        if step:  # the losses at the new points are those that the last step led to
            balancer.observe(losses - floor)
        points.grad = balancer.direction(jacobian, losses - floor)
        descent.step()
    return Trajectory(
        problem,
        balancer.name,
        label or balancer.name,
        torch.arange(len(recorded)) * _RECORD_EVERY,
        torch.stack(recorded),
        bool(points.isfinite().all()),
    )


def run(
    names: Sequence[str],
    out: Path,
    *,
    problems: Sequence[str] = tuple(PROBLEMS),
    options: dict[str, dict[str, Any]] | None = None,
    steps: int | None = None,
    seed: int = 0,
    each: Callable[[Trajectory], None] = lambda _: None,
) -> str:
    """Run balancers on toy problems; write trajectories, fronts and pictures; tell who arrived where.

    Args:
        names: of balancers, or `all`; one with options is `name:key=value,key=value`.
        out: directory for `<problem>.csv` (all trajectories), `<problem>_front.csv`, `<problem>.svg` and `table.csv`.
        problems: names in `PROBLEMS`.
        options: of balancers, by name.
        steps: of Adam; the problem's own if not given.
        seed: of the balancers.
        each: called with every trajectory once it is done, to show progress.

    Returns:
        The table, as lines of text.
    """
    chosen = [_problem(name) for name in problems]
    labels = list(balancers.available() if list(names) == ["all"] else names)
    makers = [(label, *_parse(label, options or {})) for label in labels]
    if not makers or not chosen:
        raise UserError("toy: name at least one balancer and one problem")
    if steps is not None and steps < _RECORD_EVERY:
        raise UserError(f"steps={steps}: at least {_RECORD_EVERY}, the distance of two recorded points")
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    for problem in chosen:
        done = []
        for label, name, given in makers:
            balancer = balancers.make(name, 2, seed=seed, **given)
            done.append(descend(problem, balancer, label=label, steps=steps))
            each(done[-1])
        _write(out, problem, done)
        draw(problem, done, out / f"{problem.name}.svg")
        rows += [_row(trajectory) for trajectory in done]
    _write_csv(out / "table.csv", _HEAD, rows)
    return "\n".join(_FORMAT.format(*row) for row in [_HEAD, *rows])


def _losses_and_jacobian(problem: Problem, points: Tensor) -> tuple[Tensor, Tensor]:
    """Losses (starts, 2) and their gradients (starts, 2, 2): a copy of the points for each loss, one backward."""
    copies = points.detach().expand(2, *points.shape).clone().requires_grad_()
    losses = problem.losses(copies)
    own = torch.stack([losses[0, ..., 0], losses[1, ..., 1]], -1)
    (gradient,) = torch.autograd.grad(own.sum(), copies)
    return own.detach(), gradient.transpose(0, 1)


def _problem(name: str) -> Problem:
    if name not in PROBLEMS:
        raise unknown("toy problem", name, PROBLEMS)
    return PROBLEMS[name]


def _parse(label: str, options: dict[str, dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    name, _, text = label.partition(":")
    given = dict(options.get(name, {}))
    for part in filter(None, text.split(",")):
        key, equals, value = part.partition("=")
        if not equals:
            raise UserError(f"{label}: write options as name:key=value,key=value")
        given[key] = value
    return name, balancers.check_options(name, given)


_HEAD = ["problem", "balancer", "steps", "starts", "on_front", "at_optimum", "steps_to_optimum", "ends"]
_FORMAT = "{:<15} {:<24} {:>7} {:>6} {:>8} {:>10} {:>16}  {}"


def _row(trajectory: Trajectory) -> list[str]:
    ends = " ".join(f"({a:.2f}, {b:.2f})" for a, b in trajectory.points[-1].tolist())
    arrived = trajectory.steps_to_optimum
    figures = [len(trajectory.problem.starts), trajectory.on_front, trajectory.at_optimum]
    name, last = trajectory.problem.name, int(trajectory.steps[-1])
    return [name, trajectory.label, str(last), *map(str, figures), "-" if arrived is None else str(arrived), ends]


def _write(out: Path, problem: Problem, trajectories: list[Trajectory]) -> None:
    rows = []
    for trajectory in trajectories:
        losses = problem.losses(trajectory.points)
        for t, step in enumerate(trajectory.steps.tolist()):
            for start in range(len(problem.starts)):
                numbers = [*trajectory.points[t, start].tolist(), *losses[t, start].tolist()]
                rows.append([trajectory.label, str(start), str(step), *(f"{number:.5f}" for number in numbers)])
    _write_csv(out / f"{problem.name}.csv", ["balancer", "start", "step", "x1", "x2", "loss1", "loss2"], rows)
    front = torch.cat([problem.front, problem.losses(problem.front)], -1).tolist()
    _write_csv(
        out / f"{problem.name}_front.csv", ["x1", "x2", "loss1", "loss2"], [[f"{v:.5f}" for v in r] for r in front]
    )


def _write_csv(path: Path, head: list[str], rows: list[list[str]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([head, *rows])
