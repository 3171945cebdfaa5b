"""Selection of the epoch whose test metrics are reported."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np

from mtrl_conic.errors import UserError
from mtrl_conic.supervised.problem import Metric, Selection

_LAST = 10
_LOGGER = logging.getLogger(__name__)


def select(
    how: Selection, metrics: Sequence[Metric], curve: Sequence[dict[str, Any]], *, each_task_alone: bool
) -> tuple[dict[str, float], dict[str, int]]:
    """Return the test metrics of a run, and the epoch from which each task's metrics are taken.

    Args:
        how: the rule; see `Selection`.
        metrics: metrics of the problem.
        curve: one record per epoch, with `test` and optionally `validation`, which map metric names to values.
        each_task_alone: the tasks share no network, so an epoch is selected for each task. Otherwise there is one
            epoch for all tasks, the one with the best sum over the selecting metrics.

    Raises:
        UserError: `how` is `best_validation`, and the problem has no validation rows.
    """
    tasks = list(dict.fromkeys(metric.task for metric in metrics))
    if how == "mean_of_last_10":
        rows = curve[-_LAST:]
        values = {metric.name: float(np.mean([row["test"][metric.name] for row in rows])) for metric in metrics}
        return values, dict.fromkeys(tasks, curve[-1]["step"])
    if how == "last":
        chosen = dict.fromkeys(tasks, len(curve) - 1)
    else:
        groups = [[task] for task in tasks] if each_task_alone else [tasks]
        chosen = {task: _best(metrics, curve, group) for group in groups for task in group}
    values = {metric.name: curve[chosen[metric.task]]["test"][metric.name] for metric in metrics}
    return values, {task: curve[at]["step"] for task, at in chosen.items()}


def _best(metrics: Sequence[Metric], curve: Sequence[dict[str, Any]], tasks: Sequence[str]) -> int:
    if "validation" not in curve[0]:
        raise UserError("selection=best_validation: this problem has no validation rows; use last or mean_of_last_10")
    scores, selecting = np.zeros(len(curve)), 0  # -inf in epochs in which a metric is not a number
    for metric in metrics:
        if metric.task in tasks and metric.selects:
            values = np.array([row["validation"][metric.name] for row in curve], dtype=np.float64)
            if not np.isnan(values).all():
                selecting += 1
                scores += np.nan_to_num(values if metric.higher_is_better else -values, nan=-np.inf)
            else:
                _LOGGER.warning("%s is not a number on the validation rows and selects no epoch", metric.name)
    if not selecting or np.isneginf(scores).all():
        _LOGGER.warning("no epoch can be selected on the validation rows: the last one is taken")
        return len(curve) - 1
    return int(scores.argmax())
