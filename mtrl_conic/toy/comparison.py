"""Comparison of balancers on toy problems, written to files: trajectories, Pareto fronts, figures and a table."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mtrl_conic import balancers, files
from mtrl_conic.balancers import Balancer
from mtrl_conic.errors import UserError, unknown
from mtrl_conic.reading import read_json, read_text
from mtrl_conic.toy.curves import draw_fronts, draw_losses
from mtrl_conic.toy.fronts import HEAD, traced
from mtrl_conic.toy.maps import draw_map, grids
from mtrl_conic.toy.paths import RECORD_EVERY, Trajectory, descend_together
from mtrl_conic.toy.picture import draw
from mtrl_conic.toy.problems import PROBLEMS, Problem

_TOGETHER = 6
"""Number of balancers that run together: a batched step costs the same, and files are written after each group."""

_TRAJECTORY_BYTES = 1 << 28


def run(
    names: Sequence[str],
    out: Path,
    *,
    problems: Sequence[str] = tuple(PROBLEMS),
    steps: int | None = None,
    seed: int = 0,
    each: Callable[[Trajectory], None] = lambda _: None,
) -> str:
    """Run balancers on toy problems and write their trajectories, fronts and figures.

    Trajectories that an earlier run with the same steps and seed left in `out` are reused.

    Args:
        names: balancers, optionally with options as `name:key=value,key=value`; `all` stands for every balancer.
        out: directory for `<problem>/<balancer>.csv`, `<problem>_front.csv`, `<problem>.svg`, `<problem>_losses.svg`
            and `table.csv`. If a method runs in several variants, `<problem>_traced.svg` and `fronts.csv` are added; if
            it runs with pairs of values of two options, `<problem>_<method>_<option>_<option>.svg` is a map of them.
        problems: names in `PROBLEMS`.
        steps: number of steps of Adam; None takes the number of the problem.
        seed: seed of the balancers.
        each: called with every trajectory when it is finished, for showing progress.

    Returns:
        The table of where each balancer arrived, as lines of text.

    Raises:
        UserError: a name is unknown, `steps` is too small, or `out` contains a run with other settings.
    """
    chosen = [_problem(name) for name in dict.fromkeys(problems)]
    labels = list(dict.fromkeys(label for name in names for label in _expand(name)))
    options = {label: balancers.parse_methods(label)[0] for label in labels}
    if not labels or not chosen:
        raise UserError("toy: name at least one balancer and one problem")
    if steps is not None and (steps < RECORD_EVERY or steps % RECORD_EVERY):
        raise UserError(f"steps={steps}: must be a multiple of {RECORD_EVERY}, the interval between recorded points")
    _claim(out, {"steps": steps, "seed": seed})
    for name in ("table.csv", "fronts.csv", *(f"{each.name}{ending}" for each in chosen for ending in _FILES)):
        files.check_place(out / name)
    for length in dict.fromkeys(steps or problem.steps for problem in chosen):
        alike = [problem for problem in chosen if (steps or problem.steps) == length]
        missing = [label for label in labels if not all(_path(out, problem, label).exists() for problem in alike)]
        for first in range(0, len(missing), _TOGETHER):
            group = missing[first : first + _TOGETHER]
            runners = {label: _make(*options[label], seed) for label in group}
            for trajectory in descend_together(alike, runners, length):
                _write_trajectory(_path(out, trajectory.problem, trajectory.label), trajectory)
                each(trajectory)
    rows, fronts = [], []
    for problem in chosen:
        done = [read_trajectory(_path(out, problem, label), problem, label) for label in labels]
        fronts += _show(problem, done, out)
        rows += [_row(trajectory) for trajectory in done]
    _write_csv(out / "table.csv", _HEAD, rows)
    table = [_FORMAT.format(*row) for row in [_HEAD, *rows]]
    if fronts:
        _write_csv(out / "fronts.csv", HEAD, fronts)
        table += ["", *(_FRONTS_FORMAT.format(*row) for row in [HEAD, *fronts])]
    return "\n".join(table)


def _show(problem: Problem, done: list[Trajectory], out: Path) -> list[list[str]]:
    """Draw the figures of a problem, and return the table rows of the traced fronts."""
    draw(problem, done, out / f"{problem.name}.svg")
    draw_losses(done, out / f"{problem.name}_losses.svg")
    front = torch.cat([problem.front, problem.losses(problem.front)], -1)
    _write_csv(out / f"{problem.name}_front.csv", ["x1", "x2", "loss1", "loss2"], _rounded(front))
    found = traced(done)
    if found:
        draw_fronts(problem, found, out / f"{problem.name}_traced.svg")
    for (name, first, second), grid in grids(done).items():
        draw_map(first, second, grid, out / f"{problem.name}_{name}_{first}_{second}.svg")
    return [each.row() for each in found]


def _problem(name: str) -> Problem:
    if name not in PROBLEMS:
        raise unknown("toy problem", name, PROBLEMS)
    return PROBLEMS[name]


def _expand(name: str) -> list[str]:
    return balancers.available() if name == "all" else [name]


def _make(name: str, options: dict[str, Any], seed: int) -> Balancer:
    return balancers.make(name, 2, seed=seed, **options)


def _claim(out: Path, settings: dict[str, int | None]) -> None:
    """Create the directory `out`, or check that its files were made with the same settings."""
    file = out / "run.json"
    with files.told_of(out):
        there = file.exists()
    if not there:
        if any(out.glob("*/*.csv")):
            raise UserError(f"{out} contains trajectories but no run.json with their settings: choose another folder")
        with files.told_of(out):
            out.mkdir(parents=True, exist_ok=True)
        files.write(file, json.dumps(settings) + "\n")
    elif (before := read_json(file)) != settings:
        raise UserError(f"{out} contains a run with {before}, not {settings}: choose another folder")


_FILES = (".svg", "_losses.svg", "_front.csv", "_traced.svg")
"""Suffixes of the files written for each problem, in addition to trajectories and maps of two options."""
_HEAD = ["problem", "balancer", "steps", "starts", "on_front", "at_optimum", "steps_to_optimum", "ends"]
_FORMAT = "{:<15} {:<24} {:>7} {:>6} {:>8} {:>10} {:>16}  {}"
_FRONTS_FORMAT = "{:<15} {:<24} {:>8} {:>6} {:>12} {:>11}"


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
    with files.told_of(path):
        path.parent.mkdir(exist_ok=True)
    _write_csv(path, ["step", "start", "x1", "x2", "loss1", "loss2"], rows)


def read_trajectory(path: Path, problem: Problem, label: str) -> Trajectory:
    """Read the trajectory that `run` wrote to `path`.

    Raises:
        UserError: the file is not a trajectory.
    """
    lines = read_text(path, most=_TRAJECTORY_BYTES).splitlines()
    try:
        rows = [(int(row["step"]), float(row["x1"]), float(row["x2"])) for row in csv.DictReader(lines)]
        if not rows:
            raise ValueError("it has no rows")
        table = torch.tensor(rows, dtype=torch.float64).view(-1, len(problem.starts), 3)
    except (KeyError, TypeError, ValueError, RuntimeError, csv.Error):
        raise UserError(f"{path} is not a trajectory; remove it to have it computed again") from None
    return Trajectory(problem, label, table[:, 0, 0].to(torch.int64), table[..., 1:])


def _rounded(numbers: Tensor) -> list[list[str]]:
    return [[f"{number:.5f}" for number in row] for row in numbers.tolist()]


def _write_csv(path: Path, head: list[str], rows: list[list[str]]) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([head, *rows])
    files.write(path, text.getvalue())
