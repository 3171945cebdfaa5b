"""Figures of the losses on a toy problem: over the steps, and at the end points of a method's variants."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import vl_convert

from mtrl_conic import files
from mtrl_conic.toy.fronts import Traced
from mtrl_conic.toy.paths import Trajectory
from mtrl_conic.toy.problems import Problem

_COLUMNS, _POINTS, _FRONT_POINTS = 6, 120, 200
_MARGIN = 0.15
"""Margin shown around the front, as a fraction of its extent."""


def draw_losses(trajectories: Sequence[Trajectory], path: Path) -> None:
    """Write an SVG of the mean loss over the steps, with a panel for each trajectory and a line for each start."""
    values = [record for trajectory in trajectories for record in _losses(trajectory)]
    spec = {
        "data": {"values": values},
        "facet": {"field": "balancer", "sort": [t.label for t in trajectories], "header": {"title": None}},
        "columns": min(_COLUMNS, len(trajectories)),
        "spec": {
            "width": 150,
            "height": 120,
            "mark": {"type": "line", "strokeWidth": 1.2},
            "encoding": {
                "x": {"field": "step", "type": "quantitative", "axis": {"tickCount": 3, "format": "~s"}},
                "y": {"field": "loss", "type": "quantitative", "title": "mean loss", "scale": {"zero": False}},
                "color": {"field": "start", "type": "nominal", "title": "from"},
            },
        },
    }
    write(spec, path)


def _losses(trajectory: Trajectory) -> list[dict[str, Any]]:
    stride = max(1, len(trajectory.steps) // _POINTS)
    losses = trajectory.problem.losses(trajectory.points[::stride]).mean(-1)
    starts = [f"({x1:g}, {x2:g})" for x1, x2 in trajectory.problem.starts]
    return [
        {"balancer": trajectory.label, "step": step, "start": start, "loss": round(loss, 4)}
        for step, row in zip(trajectory.steps[::stride].tolist(), losses.tolist(), strict=True)
        for start, loss in zip(starts, row, strict=True)
    ]


def draw_fronts(problem: Problem, traced: Sequence[Traced], path: Path) -> None:
    """Write an SVG of the two losses at the end points of each method's variants, with the front of the problem."""
    stride = max(1, len(problem.front) // _FRONT_POINTS)
    front = problem.losses(problem.front[::stride])
    points = [
        {"balancer": each.name, "loss1": a, "loss2": b, "variant": variant}
        for each in traced
        for variant, losses in each.ends.items()
        for a, b in losses.tolist()
    ]
    low, high = front.amin(0), front.amax(0)
    margin = _MARGIN * (high - low)
    axes = {
        channel: {
            "field": f"loss{number + 1}",
            "type": "quantitative",
            "scale": {"domain": [float((low - margin)[number]), float((high + margin)[number])], "nice": False},
        }
        for number, channel in enumerate(("x", "y"))
    }
    colour = {"field": "balancer", "type": "nominal", "title": None}
    line = {"type": "line", "color": "#999", "strokeWidth": 2, "clip": True}
    spec = {
        "width": 320,
        "height": 320,
        "layer": [
            {"data": {"values": [{"loss1": a, "loss2": b} for a, b in front.tolist()]}, "mark": line, "encoding": axes},
            {
                "data": {"values": points},
                "mark": {"type": "point", "filled": True, "size": 40, "clip": True},
                "encoding": {**axes, "color": colour, "shape": colour},
            },
        ],
    }
    write(spec, path)


def write(spec: dict[str, Any], path: Path) -> None:
    """Render a Vega-Lite specification and write it as an SVG."""
    whole = {"$schema": "https://vega.github.io/schema/vega-lite/v5.json", "background": "white", **spec}
    files.write(path, vl_convert.vegalite_to_svg(json.dumps(whole)))
