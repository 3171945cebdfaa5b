"""Numbers from a learning curve: the choice of a checkpoint, the area, the steps to a threshold.

A curve is an array (E, K) of one run: a row per evaluation, in the order of training, a column per task.
The ways to choose a row answer different questions, so a number always carries its label, one of `CHECKPOINTS` or
`BEST_OF_MEAN`. The best over training is selected by the same episodes that score it, so it overestimates the success
that a user will observe.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mtrl_conic.evaluation.ties import Array, without_rounding

LAST = 5
"""The number of evaluations in the "mean of the last"."""


def final(curve: Array) -> Array:
    """Return the last evaluation, (K,)."""
    return np.asarray(curve[-1])


def mean_of_last(curve: Array, count: int = LAST) -> Array:
    """Return the mean of the last `count` evaluations, (K,), or of all if there are fewer."""
    return np.asarray(curve[-count:].mean(0))


def best(curve: Array) -> Array:
    """Return the evaluation with the highest mean over tasks, (K,), the earliest of equals."""
    return np.asarray(curve[int(without_rounding(curve.mean(1)).argmax())])


BEST = "best over training"
BEST_OF_MEAN = f"{BEST}, of the mean curve"


def best_of_mean(runs: Sequence[Mapping[int, Array]]) -> tuple[int, Array] | None:
    """Return the step with the highest mean over runs and tasks (the earliest of equals), and each run's values there.

    Some older tables report this, others the mean of each run's own best, which is never lower.

    Args:
        runs: for each run, (K,) by the step of the evaluation.

    Returns:
        The step and (R, K); None if the runs have no step in common.
    """
    shared = sorted(set.intersection(*(set(run) for run in runs)))
    if not shared:
        return None
    heights = np.array([np.mean([run[at] for run in runs]) for at in shared])
    step = shared[int(without_rounding(heights).argmax())]
    return step, np.stack([run[step] for run in runs])


def best_evaluation(evaluations: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return the record with the highest mean success among a run's evaluations, the earliest of equals.

    If no task defines success, the mean return is used.

    Returns:
        The record, with the criterion in `chosen_by` and the number of evaluations in `evaluations`. None if there are
        no records.
    """
    by = "mean_success" if any(evaluation["mean_success"] is not None for evaluation in evaluations) else "mean_return"
    rated = [evaluation for evaluation in evaluations if evaluation.get(by) is not None]
    if not rated:
        return None
    best = int(without_rounding(np.array([float(evaluation[by]) for evaluation in rated])).argmax())
    return {**rated[best], "chosen_by": by, "evaluations": len(rated)}


CHECKPOINTS: dict[str, Callable[[Array], Array]] = {
    "final": final,
    f"mean of the last {LAST} evaluations": mean_of_last,
    f"{BEST}, each run's own": best,
}
"""The functions that choose a row of a curve, by label."""


def area_under_curve(positions: Sequence[float], values: Sequence[float]) -> float:
    """Return the mean height of a curve: its trapezoidal area divided by its length, last position minus first.

    Args:
        positions: (E,) increasing steps or seconds; at a single position, the height is the last value there.
        values: (E,) mean success.
    """
    x, y = np.asarray(positions, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if x[-1] == x[0]:
        return float(y[-1])
    return float(((y[1:] + y[:-1]) / 2 * np.diff(x)).sum() / (x[-1] - x[0]))


def first_reaching(positions: Sequence[float], values: Sequence[float], threshold: float) -> float | None:
    """Return the first position (steps or seconds) whose value is at least `threshold`; None if there is none.

    It is the position of an evaluation, without interpolation between evaluations.
    """
    for position, value in zip(positions, values, strict=True):
        if value >= threshold:
            return position
    return None
