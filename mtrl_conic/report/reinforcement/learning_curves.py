"""Learning curves over steps and over minutes: the mean over tasks, and each task."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import altair as alt
import numpy as np

from mtrl_conic.evaluation import estimates, statistics
from mtrl_conic.evaluation.estimates import Estimate
from mtrl_conic.evaluation.statistics import bootstrap
from mtrl_conic.report.charts import (
    RESAMPLES,
    STEPS,
    Axis,
    Figure,
    Record,
    finished,
    lines,
    over,
    small_multiples,
    tooltips,
    training_maps,
    wide,
)
from mtrl_conic.report.reinforcement.measures import Measure
from mtrl_conic.report.reinforcement.reference import ReferencePoint, within
from mtrl_conic.report.reinforcement.source import Comparison, Method, row_of, rows_of

_AXES: dict[Axis, tuple[str, str]] = {"steps": ("step", STEPS), "minutes": ("minutes", "minutes of training")}
"""Maps an axis to the field of a record and to the axis title."""
_WHERE = (
    "The level is 95 %; methods with too few seeds have a thin line per seed instead. A curve starts at the first "
    "evaluation. A point is drawn where more than half of a method's runs were evaluated; the last one is the final "
    "evaluation, at the mean of the runs' last steps."
)


def learning_curves(
    comparison: Comparison, measure: Measure, seed: int, reference: Sequence[ReferencePoint] = ()
) -> list[Figure]:
    """Return the curves of a measure over steps and minutes: of each task and, where it is meaningful, of the mean.

    Args:
        comparison: the runs.
        measure: the measure that is drawn.
        seed: seed of the bands.
        reference: published curves, drawn with the mean over steps.
    """
    if not measure.combines:
        curve = [record for method in comparison.methods for record in _task_curves(method, measure)]
        runs = [record for method in comparison.methods for record in _run_curves(method, measure, by_task=True)]
        return [_small_charts(comparison, measure, curve, runs, axis) for axis in _AXES]
    curve = [record for method in comparison.methods for record in _curve(method, measure, seed)]
    points = within(reference, max(record["step"] for record in curve))
    runs = [record for method in comparison.methods for record in _run_curves(method, measure, by_task=False)]
    means = [_mean(comparison, measure, curve, runs, axis, points if axis == "steps" else []) for axis in _AXES]
    return [*means, *([_map(comparison, measure)] if measure.bounded else [])]


# Records.


def _evaluations(method: Method) -> list[tuple[int, list[Record]]]:
    """Return the steps at which more than half of the method's runs were evaluated, and a last entry for their ends.

    With a time budget, runs end at different steps. Their final evaluations form one point, at the mean of the steps.
    """
    by_step: dict[int, list[Record]] = {}
    started = [run for run in method.runs if run.evaluations]
    for run in started:
        for evaluation in run.evaluations[:-1] if run.result else run.evaluations:
            by_step.setdefault(evaluation["step"], []).append(evaluation)
    shared = {step: evaluations for step, evaluations in by_step.items() if 2 * len(evaluations) > len(started)}
    finals = [run.evaluations[-1] for run in method.finished]
    if finals:
        shared[round(np.mean([evaluation["step"] for evaluation in finals]))] = finals
    return sorted(shared.items())


def _curve(method: Method, measure: Measure, seed: int) -> Iterable[Record]:
    for step, evaluations in _evaluations(method):
        scores = np.array([measure.of(evaluation) for evaluation in evaluations])
        yield _point(method, step, evaluations, bootstrap(statistics.mean, scores, seed=seed, resamples=RESAMPLES))


def _task_curves(method: Method, measure: Measure) -> Iterable[Record]:
    for step, evaluations in _evaluations(method):
        scores = np.array([measure.of(evaluation) for evaluation in evaluations])
        for task, estimate in zip(measure.tasks, estimates.task_means(scores), strict=True):
            yield _point(method, step, evaluations, estimate) | {"task": task, "row": row_of(method, task)}


def _run_curves(method: Method, measure: Measure, *, by_task: bool) -> Iterable[Record]:
    """Return the points of single runs for a method that has several runs, but too few for an interval."""
    started = [run for run in method.runs if run.evaluations]
    if not 1 < len(started) < estimates.MIN_RUNS:
        return
    for run in started:
        for evaluation in run.evaluations:
            scores = measure.of(evaluation)
            values = dict(zip(measure.tasks, scores.tolist(), strict=True)) if by_task else {None: float(scores.mean())}
            at = {"method": method.label, "seed": run.seed, "step": evaluation["step"]}
            for task, value in values.items():
                yield {**at, "minutes": evaluation["time"] / 60, "task": task, "value": value}


def _point(method: Method, step: int, evaluations: Sequence[Record], estimate: Estimate) -> Record:
    return {
        "method": method.label,
        "step": step,
        "minutes": float(np.mean([evaluation["time"] for evaluation in evaluations])) / 60,
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "seeds": len(evaluations),
    }


# Figures.


def _mean(
    comparison: Comparison,
    measure: Measure,
    curve: list[Record],
    runs: list[Record],
    axis: Axis,
    points: Sequence[ReferencePoint],
) -> Figure:
    key, words = _AXES[axis]
    scale = alt.Scale(domain=[0, 1]) if measure.field == "success" else alt.Scale(zero=measure.bounded)
    y = alt.Y("value:Q", title=f"mean {measure.words}", scale=scale)
    chart = lines(comparison.labels, curve, over(key, words), y, hover=_hover(), runs=runs)
    tasks = "the tasks" if len(measure.tasks) > 1 else measure.tasks[0]
    caption = (
        f"Mean {measure.words} over {tasks} against {words}, mean over seeds. Bands: stratified bootstrap. {_WHERE}"
    )
    if points:
        chart = alt.LayerChart(layer=[*chart.layer, _published(points)], data=chart.data)
        names = ", ".join(dict.fromkeys(point.curve for point in points))
        caption += f" Grey: published results, measured with another protocol: {names}."
    name = measure.curve_name(axis)
    title = f"{measure.words.capitalize()} over {axis}"
    numbers = wide(name, curve, key, words, comparison.labels)
    return Figure(name, title, caption, finished(chart, caption), numbers, axis)


def _small_charts(
    comparison: Comparison, measure: Measure, curve: list[Record], runs: list[Record], axis: Axis
) -> Figure:
    """Draw one chart per task, each with its own axis."""
    key, words = _AXES[axis]
    y = alt.Y("value:Q", title=measure.words, scale=alt.Scale(zero=False))
    chart = lines(comparison.labels, curve, over(key, words), y, hover=["task:N", *_hover()], runs=runs)
    chart = chart.properties(width=260, height=150)
    caption = (
        f"Mean {measure.words} of each task against {words}, mean over seeds. Each task has its own units. "
        f"Bands: Student's interval over seeds. {_WHERE}"
    )
    name, title = measure.curve_name(axis), f"{measure.words.capitalize()} of each task over {axis}"
    numbers = wide(name, curve, key, words, rows_of(comparison, measure.tasks), column="row")
    specification = small_multiples(chart, "task", measure.tasks, caption, beside=90)
    return Figure(name, title, caption, specification, numbers, axis)


def _hover() -> list[str | alt.Tooltip]:
    return ["method:N", *tooltips("step:Q", "minutes:Q", "value:Q", "low:Q", "high:Q"), "seeds:Q"]


def _map(comparison: Comparison, measure: Measure) -> Figure:
    records = [record for method in comparison.methods for record in _task_stretches(method, measure)]
    caption = (
        f"{measure.words.capitalize()} of each task over training, by method, mean over seeds. The colour between two "
        "evaluations is that of the later one."
    )
    name, scale = measure.name("tasks_over_steps"), alt.Scale(scheme="viridis", domain=[0, 1], clamp=True)
    rows = rows_of(comparison, measure.tasks)
    specification = training_maps(records, comparison.labels, measure.tasks, measure.words, scale, caption)
    title = measure.titled("Each task over steps")
    return Figure(name, title, caption, specification, wide(name, records, "to", STEPS, rows, column="row"))


def _task_stretches(method: Method, measure: Measure) -> Iterable[Record]:
    """Return a record for each task and each interval between two evaluations."""
    begun = 0
    for step, evaluations in _evaluations(method):
        means = np.mean([measure.of(evaluation) for evaluation in evaluations], axis=0)
        for task, value in zip(measure.tasks, means.tolist(), strict=True):
            common = {"method": method.label, "task": task, "row": row_of(method, task)}
            yield common | {"from": begun, "to": step, "value": value}
        begun = step


def _published(points: Sequence[ReferencePoint]) -> alt.Chart:
    records = [{"curve": point.curve, "step": point.step, "value": point.success} for point in points]
    line = alt.Chart(alt.InlineData(values=records)).mark_line(color="gray", opacity=0.8)
    # The legend is below the chart, so that the curves keep the full width on a phone.
    legend = alt.Legend(orient="bottom", direction="vertical", labelLimit=300)
    chart: alt.Chart = line.encode(
        x="step:Q",
        y="value:Q",
        strokeDash=alt.StrokeDash("curve:N", title="published", legend=legend),
        tooltip=["curve:N", *tooltips("step:Q", "value:Q")],
    )
    return chart
