"""Update vectors of each balancer for the gradients of two and of three tasks, as a table and figures."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import vl_convert
from torch import Tensor

from mtrl_conic import balancers, files

GRADIENTS = {
    "two": torch.tensor([[1.6, 0.4], [-0.6, 0.8]], dtype=torch.float64),
    "three": torch.tensor([[1.4, 0.2, -1.2], [-0.4, 1.0, 0.0], [0.0, -1.4, 0.6]], dtype=torch.float64),
}
"""Gradients of tasks that conflict and differ in length: two in the plane and three in space. Of the three, the mean
gradient conflicts with one, and so does PCGrad's update, in whatever order PCGrad visits the tasks."""
_VIEW = torch.tensor([[-0.7, -0.4], [0.9, -0.2], [0.0, 1.0]], dtype=torch.float64)
"""Projection of space onto the plane of the figure."""
_UPDATES = 200
"""Number of updates at the same gradients after which a method that adapts its weights is drawn."""
_COLUMNS = 6


def run(names: Sequence[str], out: Path, *, seed: int = 0) -> str:
    """Write `vectors_two.svg`, `vectors_three.svg` and `vectors.csv` to `out`, and return the table as text.

    The black arrow is the update, scaled to the length of the shortest gradient because methods scale their updates
    differently. The mean gradient is dashed. Adaptive methods have run 200 updates at the same gradients, with all
    losses equal to one.

    Args:
        names: balancers, optionally with options as `name:key=value`; `all` stands for every balancer.
        out: directory, which is created if it does not exist.
        seed: seed of the balancers.
    """
    methods = balancers.parse_methods(",".join(names))
    with files.told_of(out):
        out.mkdir(parents=True, exist_ok=True)
    rows = []
    for name, gradients in GRADIENTS.items():
        directions = {balancers.label(*method): _direction(*method, gradients, seed) for method in methods}
        files.write(out / f"vectors_{name}.svg", _picture(gradients, directions))
        rows += [_row(name, method, gradients, direction) for method, direction in directions.items()]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([_HEAD, *rows])
    files.write(out / "vectors.csv", text.getvalue())
    return "\n".join(_FORMAT.format(*row) for row in [_HEAD, *rows])


_HEAD = ["tasks", "balancer", "length", "with_mean", "with_tasks", "direction"]
_FORMAT = "{:<6} {:<24} {:>7} {:>10} {:<24} {}"


def _direction(name: str, options: Mapping[str, Any], gradients: Tensor, seed: int) -> Tensor:
    balancer = balancers.make(name, len(gradients), seed=seed, **options)
    losses = torch.ones(len(gradients), dtype=torch.float64)
    direction = balancer.direction(gradients, losses)
    for _ in range(_UPDATES - 1 if balancer.state and not balancer.draws else 0):
        balancer.observe(losses)
        direction = balancer.direction(gradients, losses)
    return direction


def _row(name: str, method: str, gradients: Tensor, direction: Tensor) -> list[str]:
    """Return a row: length relative to the mean gradient, cosines with it and with each task's gradient."""
    mean = gradients.mean(0)
    cosines = [torch.cosine_similarity(direction, each, dim=0) for each in (mean, *gradients)]
    with_mean, *with_tasks = (f"{cosine:.3f}" for cosine in cosines)
    where = " ".join(f"{part:.3f}" for part in direction.tolist())
    return [name, method, f"{direction.norm() / mean.norm():.3f}", with_mean, " ".join(with_tasks), where]


def _picture(gradients: Tensor, directions: Mapping[str, Tensor]) -> str:
    mean = gradients.mean(0)
    fixed = {f"task {place + 1}": row for place, row in enumerate(gradients)} | {"mean": mean}
    values = []
    for method, direction in directions.items():
        update = direction * (gradients.norm(dim=1).min() / direction.norm().clamp_min(1e-12))
        values += [_arrow(method, name, vector) for name, vector in (fixed | {"update": update}).items()]
    reach = 1.15 * max(max(abs(value["x"]), abs(value["y"])) for value in values)
    spec = {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "background": "white",
        "data": {"values": values},
        "facet": {"field": "balancer", "sort": list(directions), "header": {"title": None}},
        "columns": min(_COLUMNS, len(directions)),
        "spec": {"width": 150, "height": 150, "layer": _layers(reach, list(fixed))},
    }
    return str(vl_convert.vegalite_to_svg(json.dumps(spec)))


def _arrow(method: str, name: str, vector: Tensor) -> dict[str, Any]:
    x, y = (vector if len(vector) == 2 else vector @ _VIEW).tolist()
    return {"balancer": method, "vector": name, "x": x, "y": y, "from": 0, "angle": math.degrees(math.atan2(x, y))}


def _layers(reach: float, fixed: Sequence[str]) -> list[dict[str, Any]]:
    scale = {"domain": [-reach, reach], "nice": False}
    axes = {channel: {"field": channel, "type": "quantitative", "scale": scale, "axis": None} for channel in ("x", "y")}
    colours = ["#1f77b4", "#d62728", "#2ca02c"][: len(fixed) - 1]
    ink = {
        "field": "vector",
        "type": "nominal",
        "title": None,
        "scale": {"domain": [*fixed, "update"], "range": [*colours, "#999", "#000"]},
    }
    dash = {"condition": {"test": "datum.vector === 'mean'", "value": [4, 3]}, "value": [1, 0]}
    angle = {"field": "angle", "type": "quantitative", "scale": None}
    return [
        {
            "mark": {"type": "rule", "strokeWidth": 1.8},
            "encoding": {
                **{channel: {**axis, "field": "from"} for channel, axis in axes.items()},
                "x2": {"field": "x"},
                "y2": {"field": "y"},
                "color": ink,
                "strokeDash": dash,
            },
        },
        {
            "mark": {"type": "point", "shape": "triangle", "filled": True, "size": 50, "opacity": 1},
            "encoding": {**axes, "color": ink, "angle": angle},
        },
    ]
