"""Update vectors: what each balancer makes of the gradients of two tasks, and of three, as a table and pictures."""

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
"""Of tasks that conflict and are of different lengths: in the plane, and in space, where the mean conflicts with one of
them, and PCGrad's update too, in whatever order it visits them."""
_VIEW = torch.tensor([[-0.7, -0.4], [0.9, -0.2], [0.0, 1.0]], dtype=torch.float64)
"""Space as it is drawn, in the plane of the picture."""
_UPDATES = 200
"""At the same gradients, after which a method that adapts its weights is drawn."""
_COLUMNS = 6


def run(names: Sequence[str], out: Path, *, seed: int = 0) -> str:
    """Write `vectors_two.svg`, `vectors_three.svg` and `vectors.csv` into `out`; returns the table as text.

    An arrow in black is the update, drawn as long as the shortest gradient, for methods scale it differently; the mean
    gradient is dashed. Methods that adapt have seen the same gradients, and losses of one, for 200 updates.

    Args:
        names: of balancers, with options as `name:key=value`; `all` stands for all of them.
        out: is made where it is not there.
        seed: of the balancers.
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
    """Length over that of the mean gradient, cosines with it and with each task's."""
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
