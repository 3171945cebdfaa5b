"""Two losses in the plane: where each balancer goes, from a few starts."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mtrl_conic import balancers
from mtrl_conic.balancers import Balancer
from mtrl_conic.errors import UserError, unknown
from mtrl_conic.toy.picture import draw
from mtrl_conic.toy.problems import LEARNING_RATE, PROBLEMS, Problem

_RECORD_EVERY = 50
_TOGETHER = 6
"""Balancers that run in step: losses and Adam cost the same for many, and files are written after each group."""


@dataclass(frozen=True)
class Trajectory:
    """Where a balancer went on a problem, from all starts."""

    problem: Problem
    label: str
    """The balancer with its options."""
    steps: Tensor
    """(T,), the steps that were recorded."""
    points: Tensor
    """(T, starts, 2)."""

    @property
    def finite(self) -> bool:
        """Whether every point is."""
        return bool(self.points.isfinite().all())

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


def descend(problem: Problem, balancer: Balancer, *, label: str = "", steps: int | None = None) -> Trajectory:
    """Adam along a balancer's direction, from all starts at once, each with a state of its own.

    Args:
        problem: one of `PROBLEMS`.
        balancer: of two tasks; it is reset.
        label: of the trajectory; the balancer's name if empty.
        steps: the problem's own if not given.
    """
    return descend_together([problem], {label or balancer.name: balancer}, problem.steps if steps is None else steps)[0]


def descend_together(problems: Sequence[Problem], runners: dict[str, Balancer], steps: int) -> list[Trajectory]:
    """Adam along the directions of several balancers on several problems, in step: each goes where it would alone.

    Args:
        problems: of which each balancer sees all starts as one batch.
        runners: balancers of two tasks by label; they are reset.
        steps: of Adam, on every problem.

    Returns:
        A trajectory for each balancer on each problem, the problems' order within the balancers'.
    """
    starts = torch.tensor([start for problem in problems for start in problem.starts], dtype=torch.float64)
    counts = [len(problem.starts) for problem in problems]
    below = torch.tensor([problem.floor for problem in problems for _ in problem.starts], dtype=torch.float64)
    floors = []
    for balancer in runners.values():
        balancer.reset((len(starts),))
        floors.append(below.unsqueeze(-1) if balancer.positive_losses else 0.0)
    points = starts.repeat(len(runners), 1, 1)
    descent = torch.optim.Adam([points], lr=LEARNING_RATE)
    recorded = []
    for step in range(steps + 1):
        if step % _RECORD_EVERY == 0:
            recorded.append(points.clone())
        losses, jacobian = _losses_and_jacobian(problems, counts, points)
        directions = []
        for index, (balancer, floor) in enumerate(zip(runners.values(), floors, strict=True)):
            if step:  # the losses at the new points are those that the last step led to
                balancer.observe(losses[index] - floor)
            directions.append(balancer.direction(jacobian[index], losses[index] - floor))
        points.grad = torch.stack(directions)
        descent.step()
    at = torch.arange(len(recorded)) * _RECORD_EVERY
    paths = torch.stack(recorded, 1).split(counts, 2)
    return [
        Trajectory(problem, label, at, path[index])
        for index, label in enumerate(runners)
        for problem, path in zip(problems, paths, strict=True)
    ]


def run(
    names: Sequence[str],
    out: Path,
    *,
    problems: Sequence[str] = tuple(PROBLEMS),
    steps: int | None = None,
    seed: int = 0,
    each: Callable[[Trajectory], None] = lambda _: None,
) -> str:
    """Run balancers on toy problems; write trajectories, fronts and pictures; tell who arrived where.

    Trajectories that a run with the same steps and seed left in `out` are taken from there.

    Args:
        names: of balancers; `all` stands for all of them; one with options is `name:key=value,key=value`.
        out: directory for `<problem>/<balancer>.csv`, `<problem>_front.csv`, `<problem>.svg` and `table.csv`.
        problems: names in `PROBLEMS`.
        steps: of Adam; the problem's own if not given.
        seed: of the balancers.
        each: called with every trajectory once it is done, to show progress.

    Returns:
        The table, as lines of text.
    """
    chosen = [_problem(name) for name in problems]
    labels = list(dict.fromkeys(label for name in names for label in _expand(name)))
    options = {label: balancers.parse_methods(label)[0] for label in labels}
    if not labels or not chosen:
        raise UserError("toy: name at least one balancer and one problem")
    if steps is not None and steps < _RECORD_EVERY:
        raise UserError(f"steps={steps}: at least {_RECORD_EVERY}, the distance of two recorded points")
    _claim(out, {"steps": steps, "seed": seed})
    for length in dict.fromkeys(steps or problem.steps for problem in chosen):
        alike = [problem for problem in chosen if (steps or problem.steps) == length]
        missing = [label for label in labels if not all(_path(out, problem, label).exists() for problem in alike)]
        for first in range(0, len(missing), _TOGETHER):
            group = missing[first : first + _TOGETHER]
            runners = {label: _make(*options[label], seed) for label in group}
            for trajectory in descend_together(alike, runners, length):
                _write_trajectory(_path(out, trajectory.problem, trajectory.label), trajectory)
                each(trajectory)
    rows = []
    for problem in chosen:
        done = [read_trajectory(_path(out, problem, label), problem, label) for label in labels]
        draw(problem, done, out / f"{problem.name}.svg")
        front = torch.cat([problem.front, problem.losses(problem.front)], -1)
        _write_csv(out / f"{problem.name}_front.csv", ["x1", "x2", "loss1", "loss2"], _rounded(front))
        rows += [_row(trajectory) for trajectory in done]
    _write_csv(out / "table.csv", _HEAD, rows)
    return "\n".join(_FORMAT.format(*row) for row in [_HEAD, *rows])


def _losses_and_jacobian(problems: Sequence[Problem], counts: list[int], points: Tensor) -> tuple[Tensor, Tensor]:
    """Losses (..., starts, 2) and their gradients (..., starts, 2, 2): a copy of the points for each loss."""
    copies = points.detach().expand(2, *points.shape).clone().requires_grad_()
    parts = [p.losses(part) for p, part in zip(problems, copies.split(counts, -2), strict=True)]
    losses = torch.cat(parts, -2)
    own = torch.stack([losses[0, ..., 0], losses[1, ..., 1]], -1)
    (gradient,) = torch.autograd.grad(own.sum(), copies)
    return own.detach(), torch.stack(gradient.unbind(), -2)


def _problem(name: str) -> Problem:
    if name not in PROBLEMS:
        raise unknown("toy problem", name, PROBLEMS)
    return PROBLEMS[name]


def _expand(name: str) -> list[str]:
    return balancers.available() if name == "all" else [name]


def _make(name: str, options: dict[str, Any], seed: int) -> Balancer:
    return balancers.make(name, 2, seed=seed, **options)


def _claim(out: Path, settings: dict[str, int | None]) -> None:
    """Make the directory `out`, or see that what it holds was made with the same settings."""
    out.mkdir(parents=True, exist_ok=True)
    file = out / "run.json"
    if not file.exists():
        file.write_text(json.dumps(settings) + "\n")
    elif (before := json.loads(file.read_text())) != settings:
        raise UserError(f"{out} holds a run with {before}, not {settings}: choose another folder")


_HEAD = ["problem", "balancer", "steps", "starts", "on_front", "at_optimum", "steps_to_optimum", "ends"]
_FORMAT = "{:<15} {:<24} {:>7} {:>6} {:>8} {:>10} {:>16}  {}"


def _row(trajectory: Trajectory) -> list[str]:
    ends = " ".join(f"({a:.2f}, {b:.2f})" for a, b in trajectory.points[-1].tolist())
    arrived = trajectory.steps_to_optimum
    figures = [len(trajectory.problem.starts), trajectory.on_front, trajectory.at_optimum]
    name, last = trajectory.problem.name, int(trajectory.steps[-1])
    return [name, trajectory.label, str(last), *map(str, figures), "-" if arrived is None else str(arrived), ends]


def _path(out: Path, problem: Problem, label: str) -> Path:
    return out / problem.name / f"{label}.csv"


def _write_trajectory(path: Path, trajectory: Trajectory) -> None:
    numbers = torch.cat([trajectory.points, trajectory.problem.losses(trajectory.points)], -1)
    rows = []
    for step, starts in zip(trajectory.steps.tolist(), numbers, strict=True):
        rows += [[str(step), str(start), *row] for start, row in enumerate(_rounded(starts))]
    path.parent.mkdir(exist_ok=True)
    _write_csv(path, ["step", "start", "x1", "x2", "loss1", "loss2"], rows)


def read_trajectory(path: Path, problem: Problem, label: str) -> Trajectory:
    """The trajectory that `run` wrote to `path`."""
    with path.open(newline="") as file:
        rows = [(int(row["step"]), float(row["x1"]), float(row["x2"])) for row in csv.DictReader(file)]
    table = torch.tensor(rows, dtype=torch.float64).view(-1, len(problem.starts), 3)
    return Trajectory(problem, label, table[:, 0, 0].to(torch.int64), table[..., 1:])


def _rounded(numbers: Tensor) -> list[list[str]]:
    return [[f"{number:.5f}" for number in row] for row in numbers.tolist()]


def _write_csv(path: Path, head: list[str], rows: list[list[str]]) -> None:
    """Write beside `path` and rename: a file that is there is whole."""
    beside = path.with_name(path.name + ".part")
    with beside.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([head, *rows])
    beside.replace(path)
