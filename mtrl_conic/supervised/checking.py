"""Checks of a problem and of what a run asks of it, before the run trains."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import torch
from torch import Tensor

from mtrl_conic.errors import UserError
from mtrl_conic.gradients.mode import in_evaluation
from mtrl_conic.supervised.config import SupervisedConfig
from mtrl_conic.supervised.learners import Learner
from mtrl_conic.supervised.problem import Batch, Problem

_ROWS = 2


def check_names(problem: Problem) -> None:
    """Check that tasks and metrics have names of their own.

    Raises:
        UserError: a name occurs twice, or a metric belongs to no task.
    """
    where = f"problem {problem.name}"
    _check_distinct(f"{where}: task", problem.tasks)
    _check_distinct(f"{where}: metric", [metric.name for metric in problem.metrics])
    for metric in problem.metrics:
        if metric.task not in problem.tasks:
            raise UserError(
                f"{where}: metric {metric.name!r} belongs to {metric.task!r}, which is not one of its tasks"
            )


def check_run(config: SupervisedConfig, problem: Problem, learner: Learner) -> None:
    """Check that the problem has the rows that a run needs.

    Raises:
        UserError: there are no validation rows to select an epoch by, or too few training rows for a step.
    """
    assert config.batch_size is not None
    if config.selection == "best_validation" and problem.validation is None:
        raise UserError(
            f"selection=best_validation: {config.problem} has no validation rows; use last or mean_of_last_10"
        )
    full, rows = len(problem.training) // config.batch_size, len(problem.training)
    if learner.batches > max(1, full):
        raise UserError(
            f"{config.method} needs {learner.batches} batches of {config.batch_size} rows for a step, and there are "
            f"{rows} training rows: use a smaller batch_size"
        )


def check_interface(problem: Problem, learner: Learner, device: torch.device) -> None:
    """Check what a problem returns, on two rows: the losses of all tasks and a number for each metric.

    Args:
        problem: the problem.
        learner: learner with a network for all tasks.
        device: device of the network.

    Raises:
        UserError: the losses have another shape, or the meter returns other metrics or no numbers.
    """
    batch = next(iter(problem.test.batches(_ROWS)), None)
    if batch is None:
        raise UserError(f"problem {problem.name} has no test rows")
    there = Batch(*(tuple(part.to(device) for part in parts) for parts in batch))
    with torch.no_grad(), in_evaluation(learner.network):
        outputs = learner.predict(there)
        losses = problem.losses(outputs, there.targets)
    where, count = f"problem {problem.name}", len(problem.tasks)
    if not isinstance(losses, Tensor) or losses.shape != (count,):
        given = f"a tensor {tuple(losses.shape)}" if isinstance(losses, Tensor) else f"a {type(losses).__name__}"
        raise UserError(f"{where}: losses() must return a tensor ({count},), one loss per task, not {given}")
    meter = problem.meter()
    meter.add(outputs, batch.targets)
    names, values = {metric.name for metric in problem.metrics}, meter.values()
    for name in sorted(names ^ set(values)):
        lacks = "does not return" if name in names else "returns"
        declared = "which is declared" if name in names else "which is not declared"
        raise UserError(f"{where}: its meter {lacks} the metric {name!r}, {declared} in `metrics`")
    for name, value in values.items():
        if not isinstance(value, float | int):
            raise UserError(f"{where}: its meter returns a {type(value).__name__} for {name!r}, not a float")


def _check_distinct(what: str, names: Iterable[str]) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise UserError(f"{what} {name!r} occurs {count} times")
