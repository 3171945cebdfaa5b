"""Print where balancers end on the toy problems from many starts, drawn uniformly from the boxes of the pictures.

    python scripts/toy_starts.py cagrad,conicgrad,conicgrad:c=0.25 [--problems classic,gradops] [--steps N]

Five starts say little about a method whose paths are chaotic where gradients jump. The table gives, over all starts,
the shares that end on the Pareto front and at the optimum of the mean loss, the mean step from which the latter stay
there, and the mean loss at the end.
"""

from __future__ import annotations

import argparse
import dataclasses

import torch

from mtrl_conic import balancers
from mtrl_conic.toy.paths import Trajectory, descend_together
from mtrl_conic.toy.problems import PROBLEMS, Problem


def scattered(problem: Problem, count: int, seed: int) -> Problem:
    """Return the problem with `count` random starts in its box."""
    low1, high1, low2, high2 = problem.box
    drawn = torch.rand(count, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    low, size = torch.tensor([low1, low2]), torch.tensor([high1 - low1, high2 - low2])
    return dataclasses.replace(problem, starts=tuple(map(tuple, (low + drawn * size).tolist())))


def row(trajectory: Trajectory) -> str:
    """Return a line of the table with the results of all starts."""
    problem, count = trajectory.problem, trajectory.points.shape[1]
    away = torch.linalg.vector_norm(trajectory.points - problem.optimum, dim=-1) >= problem.near
    there = ~away[-1]
    # The number of recorded points up to the last one that is away.
    last = (away * torch.arange(1, len(away) + 1).unsqueeze(-1)).amax(0)
    arrived = trajectory.steps[last[there]].double().mean().item() if there.any() else float("nan")
    front, loss = trajectory.on_front / count, problem.losses(trajectory.points[-1]).mean().item()
    figures = f"{front:.1%} | {there.double().mean():.1%} | {arrived:,.0f} | {loss:.3f}"
    return f"| {problem.name} | `{trajectory.label}` | {figures} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("balancers")
    parser.add_argument("--starts", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--problems", default=",".join(PROBLEMS))
    parser.add_argument("--steps", type=int, help="number of steps of Adam [that of the problem]")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    methods = balancers.parse_methods(arguments.balancers)
    print("| problem | method | on the front | at the optimum | from step | mean loss |\n|---|---|---|---|---|---|")
    chosen = [scattered(PROBLEMS[name], arguments.starts, arguments.seed) for name in arguments.problems.split(",")]
    if arguments.steps:
        chosen = [dataclasses.replace(problem, steps=arguments.steps) for problem in chosen]
    for steps in dict.fromkeys(problem.steps for problem in chosen):
        alike = [problem for problem in chosen if problem.steps == steps]
        runners = {balancers.label(*method): balancers.make(method[0], 2, **method[1]) for method in methods}
        for trajectory in descend_together(alike, runners, steps):
            print(row(trajectory), flush=True)


if __name__ == "__main__":
    main()
