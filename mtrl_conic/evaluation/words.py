"""An evaluation as a person reads it: numbers of any size, and the outcome of a run in one line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mtrl_conic.evaluation.statistics import Estimate

NAMED = 3
"""Values that are named in one line; further ones are counted."""


def number(value: float, *, size: float | None = None) -> str:
    """`value` with the digits that it deserves: three decimals below 10, none from 1,000 on.

    Args:
        value: the number.
        size: of another number, which decides on the digits: the ends of an interval have those of its largest.
    """
    magnitude = abs(value if size is None else size)
    digits = next((digits for limit, digits in ((10, 3), (100, 2), (1000, 1)) if magnitude < limit), 0)
    return f"{value:.{digits}f}"


def estimate(of: Estimate) -> str:
    """`0.523 [0.410, 0.636]`, or the value alone where there is no interval."""
    size = max(abs(end) for end in (of.value, *(of.interval or ())))
    if of.interval is None:
        return number(of.value)
    low, high = (number(end, size=size) for end in of.interval)
    return f"{number(of.value, size=size)} [{low}, {high}]"


def return_estimates(record: Mapping[str, Any]) -> dict[str, Estimate]:
    """The mean return of each task in a record of one evaluation, with the interval of its episodes.

    The interval is Student's over the episodes of this one policy. It says nothing about other seeds.
    """
    from mtrl_conic.evaluation.statistics import Estimate, student  # it loads SciPy, which listing runs need not

    count, deviations = int(record["episodes_per_task"]), record.get("return_std", {})
    return {
        task: student(value, deviations[task], count) if task in deviations else Estimate(value, None, None, count)
        for task, value in record["returns"].items()
    }


def without_success(record: Mapping[str, Any]) -> dict[str, float]:
    """The returns in a record of an evaluation, of the tasks on which success is not defined."""
    rates = record.get("success") or {}
    return {task: value for task, value in record.get("returns", {}).items() if task not in rates}


def returns_in_words(returns: Mapping[str, float]) -> str:
    """`Pendulum-v1 -151.3, Hopper-v5 820.1`, and the number of the tasks that are not named."""
    return _in_words(returns, number)


def metrics_in_words(metrics: Mapping[str, float]) -> str:
    """`income auc 0.8912, marital auc 0.9817`, and the number of those that are not named."""
    return _in_words(metrics, lambda value: f"{value:.4f}")


def _in_words(values: Mapping[str, float], shown: Callable[[float], str]) -> str:
    named = [f"{name} {shown(value)}" for name, value in list(values.items())[:NAMED]]
    more = len(values) - len(named)
    return ", ".join([*named, *([f"{more} more"] if more else [])])


def outcome(success: float | None, returns: Mapping[str, float]) -> str:
    """What an evaluation found, in one line: `success 0.523; return Pendulum-v1 -151.3`.

    Args:
        success: mean over the tasks that define it; None where none does.
        returns: of the tasks that do not, see `without_success`.
    """
    parts = [] if success is None else [f"success {success:.3f}"]
    return "; ".join([*parts, *([f"return {returns_in_words(returns)}"] if returns else [])])
