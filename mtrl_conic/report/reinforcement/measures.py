"""What runs are compared by: success where tasks define it, and returns, raw or on one scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtrl_conic.evaluation import statistics
from mtrl_conic.evaluation.statistics import Estimate
from mtrl_conic.report.reinforcement.scale import Scale
from mtrl_conic.report.reinforcement.source import Comparison, Method, Run

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Measure:
    """A number that each evaluation has for each of its tasks; higher is better."""

    words: str
    """`success`, `return` or `normalised return`."""
    field: str
    """Of a record of an evaluation."""
    tasks: Sequence[str]
    """Those that it is defined on."""
    scale: Scale | None = None
    """Of normalised returns."""

    @property
    def bounded(self) -> bool:
        """Whether 1 is what there is to reach: of a success rate, and of a return that is normalised."""
        return self.field == "success" or self.scale is not None

    @property
    def combines(self) -> bool:
        """Whether a mean over the tasks means anything. Returns of different tasks have scales of their own."""
        return self.bounded or len(self.tasks) == 1

    def name(self, of: str) -> str:
        """The name of a table or figure; that of success has no prefix."""
        return of if self.field == "success" else f"{self.words.replace(' ', '_')}_{of}"

    def titled(self, title: str) -> str:
        """The title of a table or figure; that of success says no more."""
        return title if self.field == "success" else f"{title}: {self.words}"

    def curve_name(self, axis: str) -> str:
        """The name of a learning curve."""
        return f"{self.words.replace(' ', '_')}_over_{axis}"

    def of(self, record: Mapping[str, Any]) -> Array:
        """(K,): of a record of an evaluation."""
        values = np.array([record[self.field][task] for task in self.tasks], dtype=np.float64)
        return values if self.scale is None else self.scale.normalised(values, self.tasks)

    def curve(self, run: Run) -> Array:
        """(E, K): of a run, by evaluation."""
        return np.array([self.of(evaluation) for evaluation in run.evaluations])

    def by_step(self, run: Run) -> dict[int, Array]:
        """(K,): of a run, by the step of the evaluation."""
        return {int(evaluation["step"]): self.of(evaluation) for evaluation in run.evaluations}

    def final(self, method: Method) -> Array:
        """(R, K): of the final evaluations of a method's finished runs."""
        return np.array([self.of(run.result) for run in method.finished if run.result])

    def by_task(self, method: Method) -> list[Estimate]:
        """Of each task over the seeds: a success rate with Wilson's interval, another number with Student's."""
        if self.field == "success":
            return statistics.task_rates(self.final(method), int(method.config["training.episodes_per_task"]))
        return statistics.task_means(self.final(method))


SUCCESS, RETURN, NORMALISED = "success", "return", "normalised return"


def measures(comparison: Comparison, scale: Scale | None) -> list[Measure]:
    """What these runs are compared by, in the order of a report.

    Success comes first, where any task defines it. Returns follow where a task does not, or where a scale for them
    is given; they are of all tasks.
    """
    rated, tasks = comparison.with_success, comparison.tasks
    found = [Measure(SUCCESS, "success", rated)] if rated else []
    if scale is not None:
        found.append(Measure(NORMALISED, "returns", tasks, scale))
    elif len(rated) < len(tasks):
        found.append(returns(comparison))
    return found


def returns(comparison: Comparison) -> Measure:
    """The undiscounted return of an episode, of every task in its own units."""
    return Measure(RETURN, "returns", comparison.tasks)
