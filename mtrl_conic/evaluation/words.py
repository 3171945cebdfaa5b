"""Formatting of evaluations: numbers of any size, and the outcome of a run in one line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mtrl_conic.evaluation.estimates import Estimate

NAMED = 3
"""The largest number of values that one line names; further values are only counted."""


def number(value: float, *, size: float | None = None) -> str:
    """Format `value` with three decimals below 10 and none from 1,000 on.

    Args:
        value: the number.
        size: another number that determines the digits, such as the largest end of an interval.
    """
    magnitude = abs(value if size is None else size)
    digits = next((digits for limit, digits in ((10, 3), (100, 2), (1000, 1)) if magnitude < limit), 0)
    return f"{value:.{digits}f}"


def estimate(of: Estimate) -> str:
    """Format an estimate as `0.523 [0.410, 0.636]`, or as the value alone if there is no interval."""
    size = max(abs(end) for end in (of.value, *(of.interval or ())))
    if of.interval is None:
        return number(of.value)
    low, high = (number(end, size=size) for end in of.interval)
    return f"{number(of.value, size=size)} [{low}, {high}]"


def return_estimates(record: Mapping[str, Any]) -> dict[str, Estimate]:
    """Return the mean return of each task in the record of one evaluation, with the interval over its episodes.

    The interval is Student's t over the episodes of this one policy. It says nothing about other seeds.
    """
    from mtrl_conic.evaluation.estimates import Estimate, student  # imports SciPy, which listing runs does not need

    count, deviations = int(record["episodes_per_task"]), record.get("return_std", {})
    return {
        task: student(value, deviations[task], count) if task in deviations else Estimate(value, None, None, count)
        for task, value in record["returns"].items()
    }


def without_success(record: Mapping[str, Any]) -> dict[str, float]:
    """Return the returns in the record of an evaluation, for the tasks without a success rule."""
    rates = record.get("success") or {}
    return {task: value for task, value in record.get("returns", {}).items() if task not in rates}


def returns_in_words(returns: Mapping[str, float]) -> str:
    """Format returns as `Pendulum-v1 -151.3, Hopper-v5 820.1`, with the number of further tasks."""
    return _in_words(returns, number)


def metrics_in_words(metrics: Mapping[str, float]) -> str:
    """Format metrics as `income auc 0.8912, marital auc 0.9817`, with the number of further metrics."""
    return _in_words(metrics, lambda value: f"{value:.4f}")


def _in_words(values: Mapping[str, float], shown: Callable[[float], str]) -> str:
    named = [f"{name} {shown(value)}" for name, value in list(values.items())[:NAMED]]
    more = len(values) - len(named)
    return ", ".join([*named, *([f"{more} more"] if more else [])])


def outcome(success: float | None, returns: Mapping[str, float]) -> str:
    """Format the result of an evaluation in one line: `success 0.523; return Pendulum-v1 -151.3`.

    Args:
        success: mean over the tasks that define success; None if no task does.
        returns: returns of the other tasks, see `without_success`.
    """
    parts = [] if success is None else [f"success {success:.3f}"]
    return "; ".join([*parts, *([f"return {returns_in_words(returns)}"] if returns else [])])
