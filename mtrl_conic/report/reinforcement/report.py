"""Construction of a report on reinforcement learning runs."""

from __future__ import annotations

from collections.abc import Sequence

from mtrl_conic.errors import UserError
from mtrl_conic.report.charts import styles
from mtrl_conic.report.contrasts import baseline_of, result
from mtrl_conic.report.page import Report
from mtrl_conic.report.reinforcement import numbers, words
from mtrl_conic.report.reinforcement.conflict import conflict
from mtrl_conic.report.reinforcement.contrasts import contrasts
from mtrl_conic.report.reinforcement.costs import costs
from mtrl_conic.report.reinforcement.figures import figures
from mtrl_conic.report.reinforcement.measures import measures, returns
from mtrl_conic.report.reinforcement.reference import ReferencePoint
from mtrl_conic.report.reinforcement.scale import Scale
from mtrl_conic.report.reinforcement.source import Comparison
from mtrl_conic.report.tables import Cell, Table


def make_report(
    comparison: Comparison,
    *,
    baseline: str | None = None,
    seed: int = 0,
    reference: Sequence[ReferencePoint] = (),
    scale: Scale | None = None,
) -> Report:
    """Compute the tables and figures of a report.

    Args:
        comparison: the runs.
        baseline: the method that the others are compared with; None takes `ls`, or the first method without it.
        seed: seed of the bootstrap.
        reference: published curves to draw with success over steps.
        scale: scale of normalised returns; without it, returns are shown in the units of each task.

    Raises:
        UserError: there is no method `baseline`, the reference curves begin after the runs end, or there are reference
            curves of success but no task defines success.
    """
    if reference and not comparison.with_success:
        raise UserError("the reference curves show success, but no task of these runs defines success")
    compared = measures(comparison, scale)
    of_tasks = [numbers.per_task(comparison, measure) for measure in compared]
    base = baseline_of([method.label for method in comparison.compared], baseline)
    first, behind, results = list[Table](), list[Table](), list[str]()
    for measure, by_task in zip(compared, of_tasks, strict=True):
        headline = numbers.headline(comparison, measure, seed)
        first += [headline] if len(headline.columns) > 2 else []  # with one method and no mean, the table is empty
        held = contrasts(comparison, measure, base, seed)
        what = f"the mean {measure.words}" if measure.combines else f"the {measure.words}s"
        seeds = "paired seeds" if measure.combines else "seeds per method"
        results.append(result(held, base, what, runs=seeds))
        first.append(numbers.against(measure, base, held))
        if measure.combines:
            behind += [numbers.checkpoints(comparison, measure, seed), numbers.speed(comparison, measure)]
        else:
            first.append(by_task)
    others = [table for table in of_tasks if table not in first]
    if compared[-1] != returns(comparison):
        others.append(numbers.per_task(comparison, returns(comparison)))
    others += behind
    others += [conflict(comparison), costs(comparison), numbers.settings(comparison), numbers.missing(comparison)]
    runs = [run for method in comparison.methods for run in method.runs]
    return Report(
        title="Comparison of balancers",
        result=results[0],
        warnings=words.warnings(comparison),
        protocol=words.protocol(comparison, scale),
        first=[table for table in first if table.rows],
        figures=figures(comparison, list(zip(compared, of_tasks, strict=True)), seed=seed, reference=reference),
        others=[table for table in others if table.rows],
        styles=styles(comparison.labels),
        sources=[f"{run.directory} ({run.state})" for run in runs],
        rows=_rows(comparison),
    )


def _rows(comparison: Comparison) -> Table:
    """Return every evaluation of every run, with a row per task."""
    rows: list[list[Cell]] = []
    for method in comparison.methods:
        for run in method.runs:
            for number, evaluation in enumerate(run.evaluations, start=1):
                final = run.result is not None and number == len(run.evaluations)
                when = ("final" if final else "training", evaluation["step"], evaluation["time"])
                for task, value in evaluation["returns"].items():
                    rates = (evaluation["success"].get(task), evaluation["success_at_end"].get(task))
                    row = (method.label, run.seed, run.state, *when, task, *rates, value)
                    rows.append([*row, evaluation["episodes_per_task"], str(run.directory)])
    columns = ("method", "seed", "state", "evaluation", "step", "seconds", "task")
    measured = ("success", "success_at_end", "return", "episodes_per_task")
    return Table("evaluations", "Evaluations", "", [*columns, *measured, "run"], rows)
