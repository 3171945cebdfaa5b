"""The tables of a report on reinforcement learning runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from mtrl_conic.evaluation import curves, statistics
from mtrl_conic.evaluation.estimates import MIN_RUNS
from mtrl_conic.evaluation.statistics import bootstrap
from mtrl_conic.report.contrasts import POWER_COLUMNS, POWER_NOTE, Contrast
from mtrl_conic.report.reinforcement.measures import Measure
from mtrl_conic.report.reinforcement.source import Comparison, Method, Run
from mtrl_conic.report.tables import Cell, Table, joined

WORST = 3
"""Number of tasks in the mean over the worst tasks."""
LOWER = ("optimality gap", "mean rank")
"""Columns in which less is better."""
THRESHOLDS = (0.5, 0.8)


def headline(comparison: Comparison, measure: Measure, seed: int) -> Table:
    """Return the table of final evaluations, aggregated over tasks."""
    aggregates = _aggregates(measure)
    methods = comparison.compared
    scores = [measure.final(method) for method in methods]
    ranks = statistics.bootstrap_ranks(*scores, seed=seed) if len(methods) > 1 else []
    at_end = replace(measure, field="success_at_end") if measure.field == "success" else None
    rows: list[list[Cell]] = []
    for place, (method, of) in enumerate(zip(methods, scores, strict=True)):
        row: list[Cell] = [method.label, len(of)]
        row += [bootstrap(statistic, of, seed=seed) for statistic in aggregates.values()]
        row += [ranks[place]] if ranks else []
        row += [bootstrap(statistics.mean, at_end.final(method), seed=seed)] if at_end else []
        rows.append(row)
    columns = ["method", "seeds", *aggregates]
    columns += ["mean rank"] if ranks else []
    columns += ["success at last step"] if at_end else []
    note = _headline_note(comparison, measure)
    better = {column: -1 if column.startswith(LOWER) else 1 for column in columns[2:]}
    return Table(measure.name("headline"), f"Final {measure.words}", note, columns, rows, better=better)


def _aggregates(measure: Measure) -> dict[str, statistics.Statistic]:
    """Map columns to statistics over seeds and tasks; empty if the tasks have different scales."""
    if not measure.combines:
        return {}
    found: dict[str, statistics.Statistic] = {
        f"mean {measure.words}": statistics.mean,
        "interquartile mean": statistics.iqm,
    }
    if measure.bounded:
        found["optimality gap"] = statistics.optimality_gap
    if len(measure.tasks) > WORST:
        found[f"worst {WORST} tasks"] = partial(statistics.worst_tasks, count=WORST)
    return found


def _headline_note(comparison: Comparison, measure: Measure) -> str:
    said = ["Values of the final evaluation, after the last training step."]
    if measure.field == "success":
        said.append("An episode succeeds if any of its steps does, except in the last column.")
    if measure.scale is not None:
        said.append("Normalised return: 0 is the return of a random policy on the task, 1 that of the reference.")
    if not measure.combines:
        said.append("The returns of different tasks have different scales, so no mean over tasks is taken.")
    if measure.bounded:
        said.append("Optimality gap: the mean shortfall from 1; lower is better.")
    if len(comparison.compared) > 1:
        said.append(
            "Mean rank: mean over the tasks of the rank among the methods of this table; 1 is best, ties share."
        )
    return " ".join([*said, _intervals(comparison)])


def checkpoints(comparison: Comparison, measure: Measure, seed: int) -> Table:
    """Return the mean over tasks for several rules of which evaluation is reported."""
    rows: list[list[Cell]] = []
    for method in comparison.compared:
        per_run = [[choose(measure.curve(run)) for run in method.finished] for choose in curves.CHECKPOINTS.values()]
        row: list[Cell] = [method.label]
        row += [bootstrap(statistics.mean, np.array(scores), seed=seed) for scores in per_run]
        best = curves.best_of_mean([measure.by_step(run) for run in method.finished])
        row += [None, None] if best is None else [bootstrap(statistics.mean, best[1], seed=seed), best[0]]
        rows.append(row)
    note = (
        "The same runs under four protocols; compare values within a column only. The best evaluation over training is "
        "selected by the episodes that it reports, so it is biased upwards. It is selected per run and then averaged, "
        "or as the one step at which the mean over all runs of a method is highest."
    )
    title = measure.titled("Effect of the reported checkpoint")
    columns = ["method", *curves.CHECKPOINTS, curves.BEST_OF_MEAN, "at step"]
    return Table(measure.name("checkpoints"), title, note, columns, rows)


def speed(comparison: Comparison, measure: Measure) -> Table:
    """Return the area under the learning curve, and the steps and minutes until thresholds are first reached."""
    thresholds = THRESHOLDS if measure.bounded else ()
    columns = ["method", "area under the curve"]
    for threshold in thresholds:
        columns += [f"steps to {threshold}", f"minutes to {threshold}"]
    rows: list[list[Cell]] = []
    for method in comparison.compared:
        row: list[Cell] = [method.label, float(np.mean([_area(measure, run) for run in method.finished]))]
        for threshold in thresholds:
            row += [_median(measure, method, threshold, "step", 1), _median(measure, method, threshold, "time", 60)]
        rows.append(row)
    note = f"Area: the mean height of the curve of mean {measure.words} over steps."
    if thresholds:
        note += (
            " Steps and minutes: the median over seeds of the first evaluation that reaches the threshold; never, if "
            "half of the seeds or more do not reach it."
        )
    return Table(measure.name("speed"), measure.titled("Speed of learning"), note, columns, rows)


def per_task(comparison: Comparison, measure: Measure) -> Table:
    """Return the final evaluations by task and method."""
    estimates = [measure.by_task(method) for method in comparison.compared]
    rows: list[list[Cell]] = [
        [task, *row] for task, row in zip(measure.tasks, zip(*estimates, strict=True), strict=True)
    ]
    if measure.field == "success":
        note = (
            "Share of successful episodes over all seeds. Intervals: Wilson's, 95 %, with the effective number of "
            "episodes, which is smaller if the seeds disagree."
        )
    else:
        note = (
            f"Mean over seeds of the mean undiscounted {measure.words} of an episode, after the last training step. "
            f"Intervals: Student's over seeds, 95 %, if there are at least {MIN_RUNS} seeds."
        )
    columns = ["task", *(method.label for method in comparison.compared)]
    return Table(measure.name("tasks"), f"{measure.words.capitalize()} by task", note, columns, rows, across=1)


def against(measure: Measure, base: str, found: Sequence[Contrast]) -> Table:
    """Return a table that compares every method with a baseline.

    Args:
        measure: the measure by which the methods are compared.
        base: label of the baseline.
        found: the contrasts with it.
    """
    rows: list[list[Cell]] = [
        [one.method, one.chance, *([one.difference, one.pairs, *one.power] if measure.combines else []), one.p_in_words]
        for one in found
    ]
    note = (
        f"Probability that a run beats one of {base} on a task, ties counting half, mean over tasks, with the interval "
        "of the stratified bootstrap."
    )
    columns = ["method", f"probability of improvement over {base}"]
    test = "of the probability, by permuting the runs"
    if measure.combines:
        note += (
            f" Paired difference: the difference of mean {measure.words} on shared seeds, with Student's t interval."
        )
        columns += ["paired difference", "paired seeds", *POWER_COLUMNS]
        test = "of the paired difference, by Student's t"
    note += f" p: p-value {test}, two-sided, corrected with Holm's procedure for the number of methods in this table."
    note += f" {POWER_NOTE}" if measure.combines else ""
    title = measure.titled(f"Comparison with {base}")
    return Table(measure.name("against"), title, note, [*columns, "p (Holm)"], rows)


def settings(comparison: Comparison) -> Table:
    """Return a table of the fields in which methods differ."""
    rows: list[list[Cell]] = [
        [key, *(str(method.config.get(key, "-")) for method in comparison.methods)] for key in comparison.differing
    ]
    for package in ("mtrl-conic", "torch", "metaworld", "mujoco", "numpy"):
        versions = [_versions(method, package) for method in comparison.methods]
        if len(set(versions) - {"-"}) > 1 or any(";" in version for version in versions):
            rows.append([f"version of {package}", *versions])
    labels = comparison.labels
    return Table("settings", "Settings that differ", "All other settings are equal.", ["setting", *labels], rows)


def missing(comparison: Comparison) -> Table:
    """Return a table of runs without a result, and of the seeds that a method lacks."""
    rows: list[list[Cell]] = []
    seeds = sorted({run.seed for method in comparison.methods for run in method.runs})
    for method in comparison.methods:
        for run in method.runs:
            if run.result is None:
                rows.append([method.label, run.seed, run.state, run.step, run.error])
        there = {run.seed for run in method.runs}
        rows += [[method.label, seed, "no such run", 0, ""] for seed in seeds if seed not in there]
    note = "These runs are not part of any table above; their evaluations are part of the learning curves."
    return Table("missing", "Missing runs", note, ["method", "seed", "state", "step", "error"], rows)


def _intervals(comparison: Comparison) -> str:
    fewest = min(len(method.finished) for method in comparison.compared)
    words = "Brackets: 95 % intervals of the stratified bootstrap over seeds, which resamples each task separately."
    if fewest < MIN_RUNS:
        words += f" There are none for fewer than {MIN_RUNS} seeds, which are too few to estimate a spread."
    return words


def _means(measure: Measure, run: Run) -> list[float]:
    return [float(row.mean()) for row in measure.curve(run)]


def _area(measure: Measure, run: Run) -> float:
    return curves.area_under_curve([evaluation["step"] for evaluation in run.evaluations], _means(measure, run))


def _median(measure: Measure, method: Method, threshold: float, axis: str, unit: float) -> Cell:
    reached = [
        curves.first_reaching([evaluation[axis] for evaluation in run.evaluations], _means(measure, run), threshold)
        for run in method.finished
    ]
    middle = float(np.median([np.inf if at is None else at for at in reached]))
    return "never" if np.isinf(middle) else middle / unit


def _versions(method: Method, package: str) -> str:
    return joined(run.result["versions"].get(package, "?") for run in method.finished if run.result) or "-"
