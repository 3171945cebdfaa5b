"""Success over training, in steps and in minutes, and of each task."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import altair as alt
import numpy as np

from mtrl_conic.evaluation import statistics
from mtrl_conic.evaluation.statistics import bootstrap
from mtrl_conic.report.charts import (
    RESAMPLES,
    SHOWN,
    STEPS,
    Figure,
    Record,
    colour,
    finished,
    row_of,
    rows_of,
    tooltips,
    training_map,
    wide,
)
from mtrl_conic.report.data import Comparison, Method
from mtrl_conic.report.reference import ReferencePoint, within


def learning_curves(comparison: Comparison, seed: int, reference: Sequence[ReferencePoint] = ()) -> list[Figure]:
    """Mean success over steps and over minutes, and success of each task over steps.

    Args:
        comparison: the runs.
        seed: of the bands.
        reference: published curves, laid over the one over steps.
    """
    curve = [record for method in comparison.methods for record in _curve(method, seed)]
    points = within(reference, max(record["step"] for record in curve))
    return [
        _figure(comparison, curve, "steps", STEPS, "step", points),
        _figure(comparison, curve, "minutes", "minutes of training", "minutes", []),
        _tasks(comparison),
    ]


def _evaluations(method: Method) -> list[tuple[int, list[Record]]]:
    """The steps at which more than half of the method's runs were evaluated, and one for their ends.

    A clock ends each run at a step of its own: their final evaluations make one point, at the mean of those steps.
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


def _curve(method: Method, seed: int) -> Iterable[Record]:
    for step, evaluations in _evaluations(method):
        scores = np.array([list(evaluation["success"].values()) for evaluation in evaluations])
        estimate = bootstrap(statistics.mean, scores, seed=seed, resamples=RESAMPLES)
        yield {
            "method": method.label,
            "step": step,
            "minutes": float(np.mean([evaluation["time"] for evaluation in evaluations])) / 60,
            "success": estimate.value,
            "low": estimate.low,
            "high": estimate.high,
            "seeds": len(evaluations),
        }


def _tasks(comparison: Comparison) -> Figure:
    records = [record for method in comparison.methods for record in _task_stretches(comparison, method)]
    caption = (
        "Success of each task over training, by method, mean over seeds: a stretch has the colour of the evaluation at "
        "its end."
    )
    name, scale = "tasks_over_steps", alt.Scale(scheme="viridis", domain=[0, 1])
    specification = training_map(comparison, records, "success", scale, caption, end="step")
    numbers = wide(name, records, "step", "success", STEPS, rows_of(comparison), column="row")
    return Figure(name, "Each task over steps", caption, specification, numbers)


def _task_stretches(comparison: Comparison, method: Method) -> Iterable[Record]:
    """A record for each task and each stretch from one evaluation to the next."""
    begun = 0
    for step, evaluations in _evaluations(method):
        for task in comparison.tasks:
            success = float(np.mean([evaluation["success"][task] for evaluation in evaluations]))
            common = {"method": method.label, "task": task, "row": row_of(method, task)}
            yield common | {"from": begun, "step": step, "success": success}
        begun = step


def _figure(
    comparison: Comparison, curve: list[Record], name: str, axis: str, key: str, points: Sequence[ReferencePoint]
) -> Figure:
    x = alt.X(f"{key}:Q", title=axis)
    base = alt.Chart(alt.InlineData(values=curve)).transform_filter(SHOWN)
    band = base.transform_filter("isValid(datum.low)").mark_area(opacity=0.15)
    line = base.mark_line(point=alt.OverlayMarkDef(size=30))
    layers = [
        band.encode(x=x, y=alt.Y("low:Q"), y2="high:Q", color=colour(comparison)),
        line.encode(
            x=x,
            y=alt.Y("success:Q", title="mean success", scale=alt.Scale(domain=[0, 1])),
            color=colour(comparison),
            tooltip=["method:N", *tooltips("step:Q", "minutes:Q", "success:Q", "low:Q", "high:Q"), "seeds:Q"],
        ),
    ]
    caption = (
        f"Mean success over the tasks against {axis}, mean over seeds. Bands: 95 %, where there are enough seeds. "
        "A point stands where more than half of a method's runs were evaluated; the last one is the final evaluation, "
        "at the mean of where the runs ended."
    )
    if points:
        layers.append(_published(points))
        names = ", ".join(dict.fromkeys(point.curve for point in points))
        caption += f" Grey, as published and by another protocol than ours: {names}."
    numbers = wide(f"success_over_{name}", curve, key, "success", axis, comparison.labels)
    specification = finished(alt.layer(*layers), caption)
    return Figure(f"success_over_{name}", f"Success over {name}", caption, specification, numbers)


def _published(points: Sequence[ReferencePoint]) -> alt.Chart:
    records = [{"curve": point.curve, "step": point.step, "success": point.success} for point in points]
    line = alt.Chart(alt.InlineData(values=records)).mark_line(color="gray", opacity=0.8)
    # Below the chart, where it leaves a phone the width for the curves.
    legend = alt.Legend(orient="bottom", direction="vertical", labelLimit=300)
    chart: alt.Chart = line.encode(
        x="step:Q",
        y="success:Q",
        strokeDash=alt.StrokeDash("curve:N", title="published", legend=legend),
        tooltip=["curve:N", *tooltips("step:Q", "success:Q")],
    )
    return chart
