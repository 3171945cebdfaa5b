"""The measures by which runs are compared: success where tasks define it, and returns, raw or normalised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtrl_conic.evaluation import estimates
from mtrl_conic.evaluation.estimates import Estimate
from mtrl_conic.report.reinforcement.scale import Scale
from mtrl_conic.report.reinforcement.source import Comparison, Method, Run

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Measure:
    """A number that each evaluation contains for each of the measure's tasks; higher is better."""

    words: str
    """`success`, `return` or `normalised return`."""
    field: str
    """The field of an evaluation record."""
    tasks: Sequence[str]
    """The tasks for which the measure is defined."""
    scale: Scale | None = None
    """The scale, for normalised returns."""

    @property
    def bounded(self) -> bool:
        """Whether 1 is the target value, as for success rates and normalised returns."""
        return self.field == "success" or self.scale is not None

    @property
    def combines(self) -> bool:
        """Whether a mean over tasks is meaningful. Raw returns of different tasks have different scales."""
        return self.bounded or len(self.tasks) == 1

    def name(self, of: str) -> str:
        """Return the name of a table or figure. Names for success have no prefix."""
        return of if self.field == "success" else f"{self.words.replace(' ', '_')}_{of}"

    def titled(self, title: str) -> str:
        """Return the title of a table or figure. Titles for success do not name the measure."""
        return title if self.field == "success" else f"{title}: {self.words}"

    def curve_name(self, axis: str) -> str:
        """Return the name of a learning curve."""
        return f"{self.words.replace(' ', '_')}_over_{axis}"

    def of(self, record: Mapping[str, Any]) -> Array:
        """Return the values (K,) of an evaluation record."""
        values = np.array([record[self.field][task] for task in self.tasks], dtype=np.float64)
        return values if self.scale is None else self.scale.normalised(values, self.tasks)

    def curve(self, run: Run) -> Array:
        """Return the values (E, K) of a run's evaluations."""
        return np.array([self.of(evaluation) for evaluation in run.evaluations])

    def by_step(self, run: Run) -> dict[int, Array]:
        """Return the values (K,) of a run's evaluations, by step."""
        return {int(evaluation["step"]): self.of(evaluation) for evaluation in run.evaluations}

    def final(self, method: Method) -> Array:
        """Return the final evaluations (R, K) of a method's finished runs."""
        return np.array([self.of(run.result) for run in method.finished if run.result])

    def by_task(self, method: Method) -> list[Estimate]:
        """Return an estimate per task over the seeds, with Wilson's interval for success and Student's otherwise."""
        if self.field == "success":
            return estimates.task_rates(self.final(method), int(method.config["training.episodes_per_task"]))
        return estimates.task_means(self.final(method))


SUCCESS, RETURN, NORMALISED = "success", "return", "normalised return"


def measures(comparison: Comparison, scale: Scale | None) -> list[Measure]:
    """Return the measures of a comparison, in the order of the report.

    Success comes first if any task defines it. Returns, of all tasks, follow if a task does not define success or if
    a scale for returns is given.
    """
    rated, tasks = comparison.with_success, comparison.tasks
    found = [Measure(SUCCESS, "success", rated)] if rated else []
    if scale is not None:
        found.append(Measure(NORMALISED, "returns", tasks, scale))
    elif len(rated) < len(tasks):
        found.append(returns(comparison))
    return found


def returns(comparison: Comparison) -> Measure:
    """Return the measure of undiscounted episode returns, in each task's own units."""
    return Measure(RETURN, "returns", comparison.tasks)
