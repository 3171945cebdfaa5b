"""The tables of a report, from the runs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from mtrl_conic.errors import unknown
from mtrl_conic.evaluation import curves, statistics
from mtrl_conic.evaluation.statistics import Estimate, bootstrap
from mtrl_conic.report.conflict import conflict
from mtrl_conic.report.costs import costs
from mtrl_conic.report.data import Comparison, Method, Run
from mtrl_conic.report.tables import Cell, Table, joined

WORST = 3
"""Tasks in the mean over the worst."""
THRESHOLDS = (0.5, 0.8)
BASELINE = "ls"


def headline(comparison: Comparison, seed: int) -> Table:
    """Final success, the aggregate ways to see it."""
    worst = partial(statistics.worst_tasks, count=min(WORST, len(comparison.tasks)))
    aggregates: list[statistics.Statistic] = [statistics.mean, statistics.iqm, statistics.optimality_gap, worst]
    rows: list[list[Cell]] = []
    for method in comparison.compared:
        scores, at_end = method.final(), method.final("success_at_end")
        estimates = [bootstrap(statistic, scores, seed=seed) for statistic in aggregates]
        rows.append([method.label, len(scores), *estimates, bootstrap(statistics.mean, at_end, seed=seed)])
    names = ["mean success", "interquartile mean", "optimality gap", f"worst {WORST} tasks", "success at last step"]
    note = (
        "Of the final evaluation, after the last training step. Success: at any step of the episode, but for the last "
        f"column. {_intervals(comparison)} Optimality gap: mean of what is missing to 1, lower is better."
    )
    return Table("headline", "Final success", note, ["method", "seeds", *names], rows)


def checkpoints(comparison: Comparison, seed: int) -> Table:
    """Mean success by which evaluations count."""
    rows: list[list[Cell]] = []
    for method in comparison.compared:
        per_run = [[choose(run.curve) for run in method.finished] for choose in curves.CHECKPOINTS.values()]
        rows.append([method.label, *(bootstrap(statistics.mean, np.array(scores), seed=seed) for scores in per_run)])
    note = (
        "The same runs, three protocols; compare within a column only. Best over training picks each run's best "
        "evaluation by the episodes that it reports, so it flatters."
    )
    return Table("checkpoints", "Which checkpoint counts", note, ["method", *curves.CHECKPOINTS], rows)


def speed(comparison: Comparison) -> Table:
    """How soon: the area under the learning curve, and when a mean success is first reached."""
    columns = ["method", "area under the curve"]
    for threshold in THRESHOLDS:
        columns += [f"steps to {threshold}", f"minutes to {threshold}"]
    rows: list[list[Cell]] = []
    for method in comparison.compared:
        row: list[Cell] = [method.label, float(np.mean([_area(run) for run in method.finished]))]
        for threshold in THRESHOLDS:
            row += [_median(method, threshold, "step", 1), _median(method, threshold, "time", 60)]
        rows.append(row)
    note = (
        "Area: mean height of the curve of mean success over steps, 0 to 1. Steps and minutes: median over seeds of "
        "the first evaluation that reaches it; never, where half of the seeds or more do not."
    )
    return Table("speed", "Speed of learning", note, columns, rows)


def per_task(comparison: Comparison) -> Table:
    """Final success by task and method."""
    estimates = [
        statistics.task_rates(method.final(), int(method.config["training.episodes_per_task"]))
        for method in comparison.compared
    ]
    rows: list[list[Cell]] = [
        [task, *row] for task, row in zip(comparison.tasks, zip(*estimates, strict=True), strict=True)
    ]
    note = (
        "Share of successful episodes over all seeds. Intervals: Wilson's, 95 %, for the effective number of "
        "episodes, which is smaller where seeds disagree."
    )
    return Table("tasks", "Success by task", note, ["task", *(method.label for method in comparison.compared)], rows)


def against(comparison: Comparison, baseline: str | None, seed: int) -> Table:
    """Every method beside one of them.

    Raises:
        UserError: there is no method `baseline`.
    """
    methods = {method.label: method for method in comparison.compared}
    name = baseline or (BASELINE if BASELINE in methods else next(iter(methods)))
    if name not in methods:
        raise unknown("method", name, methods)
    base = methods.pop(name)
    rows: list[list[Cell]] = []
    for method in methods.values():
        chance = bootstrap(statistics.probability_of_improvement, method.final(), base.final(), seed=seed)
        rows.append([method.label, chance, *_paired(method, base)])
    note = (
        f"Probability that a run beats one of {name} on a task, ties half; its interval is the stratified bootstrap's. "
        "Paired difference: of mean success, of the seeds that both have, with Student's t interval."
    )
    columns = ["method", f"probability of improvement over {name}", "paired difference", "paired seeds"]
    return Table("against", f"Beside {name}", note, columns, rows)


def settings(comparison: Comparison) -> Table:
    """The fields in which methods differ."""
    rows: list[list[Cell]] = [
        [key, *(str(method.config.get(key, "-")) for method in comparison.methods)] for key in comparison.differing
    ]
    for package in ("mtrl-conic", "torch", "metaworld", "mujoco", "numpy"):
        versions = [_versions(method, package) for method in comparison.methods]
        if len(set(versions) - {"-"}) > 1 or any(";" in version for version in versions):
            rows.append([f"version of {package}", *versions])
    labels = comparison.labels
    return Table("settings", "Settings that differ", "All others are the same.", ["setting", *labels], rows)


def missing(comparison: Comparison) -> Table:
    """The runs that do not count, and the seeds that a method lacks."""
    rows: list[list[Cell]] = []
    seeds = sorted({run.seed for method in comparison.methods for run in method.runs})
    for method in comparison.methods:
        for run in method.runs:
            if run.result is None:
                rows.append([method.label, run.seed, run.state, run.step, run.error])
        there = {run.seed for run in method.runs}
        rows += [[method.label, seed, "no such run", 0, ""] for seed in seeds if seed not in there]
    note = "They are in no number above; evaluations that they got to are in the learning curves."
    return Table("missing", "Missing runs", note, ["method", "seed", "state", "step", "error"], rows)


def _intervals(comparison: Comparison) -> str:
    fewest = min(len(method.finished) for method in comparison.compared)
    words = "Brackets: 95 % stratified bootstrap over seeds, each task resampled by itself."
    if fewest < statistics.MIN_RUNS:
        words += f" A method with fewer than {statistics.MIN_RUNS} seeds has none: so few say nothing about the spread."
    return words


def _mean_success(run: Run) -> list[float]:
    return [float(evaluation["mean_success"]) for evaluation in run.evaluations]


def _area(run: Run) -> float:
    return curves.area_under_curve([evaluation["step"] for evaluation in run.evaluations], _mean_success(run))


def _median(method: Method, threshold: float, axis: str, unit: float) -> Cell:
    reached = [
        curves.first_reaching([evaluation[axis] for evaluation in run.evaluations], _mean_success(run), threshold)
        for run in method.finished
    ]
    middle = float(np.median([np.inf if at is None else at for at in reached]))
    return "never" if np.isinf(middle) else middle / unit


def _paired(method: Method, base: Method) -> tuple[Estimate | None, int]:
    seeds = sorted(set(method.seeds) & set(base.seeds))
    if not seeds:
        return None, 0
    ours, theirs = (
        np.array([row for seed, row in zip(each.seeds, each.final(), strict=True) if seed in seeds])
        for each in (method, base)
    )
    return statistics.paired_difference(ours, theirs), len(seeds)


def _versions(method: Method, package: str) -> str:
    return joined(run.result["versions"].get(package, "?") for run in method.finished if run.result) or "-"


def tables(comparison: Comparison, *, baseline: str | None, seed: int) -> Sequence[Table]:
    """All tables with rows, in the order in which they are read."""
    every = [
        headline(comparison, seed),
        against(comparison, baseline, seed),
        per_task(comparison),
        checkpoints(comparison, seed),
        speed(comparison),
        conflict(comparison),
        costs(comparison),
        settings(comparison),
        missing(comparison),
    ]
    return [table for table in every if table.rows]
