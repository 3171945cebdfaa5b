"""Figures of the toy problems: contours of the mean loss, the Pareto front, and a panel of trajectories per method."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import torch
import vl_convert
from torch import Tensor

from mtrl_conic import files
from mtrl_conic.toy.paths import Trajectory
from mtrl_conic.toy.problems import Problem

_SIDE, _GAP, _COLUMNS, _LEVELS = 180, 34, 6, 14
_CONTOUR_POINTS, _PATH_POINTS = 81, 160


def draw(problem: Problem, trajectories: list[Trajectory], path: Path, *, scale: float = 1.5) -> None:
    """Write an SVG or PNG file, depending on the suffix of `path`, with a panel for each trajectory.

    Paths turn from pale to dark over time. A dot marks a start, a cross an end, a star the optimum of the mean loss.
    A PNG file has `scale` pixels per unit of length.
    """
    specification = json.dumps(_figure(problem, trajectories))
    if path.suffix == ".png":
        files.write(path, vl_convert.vega_to_png(specification, scale=scale))
    else:
        files.write(path, vl_convert.vega_to_svg(specification))


def _figure(problem: Problem, trajectories: list[Trajectory]) -> dict[str, Any]:
    columns = min(_COLUMNS, len(trajectories))
    panels = []
    for index, trajectory in enumerate(trajectories):
        row, column = divmod(index, columns)
        panels.append(_panel(trajectory, column * (_SIDE + _GAP), row * (_SIDE + _GAP)))
    rows = -(-len(trajectories) // columns)
    return {
        "$schema": "https://vega.github.io/schema/vega/v5.json",
        "width": columns * (_SIDE + _GAP) - _GAP,
        "height": rows * (_SIDE + _GAP) - _GAP,
        "padding": 8,
        "background": "white",
        "data": [
            {
                "name": "contours",
                "values": [_grid(problem)],
                "transform": [{"type": "isocontour", "levels": _LEVELS, "smooth": True}],
            },
            {"name": "front", "values": _front(problem)},
            {"name": "optimum", "values": _points(problem.optimum[None])},
        ],
        "projections": [{"name": "fit", "type": "identity", "scale": _SIDE / _CONTOUR_POINTS}],
        "scales": [_axis("x", problem.box[:2], "width"), _axis("y", problem.box[2:], "height"), _shade()],
        "marks": panels,
    }


def _axis(name: str, domain: tuple[float, ...], extent: str) -> dict[str, Any]:
    ends = [0, _SIDE] if extent == "width" else [_SIDE, 0]
    return {"name": name, "type": "linear", "domain": list(domain), "range": ends}


def _shade() -> dict[str, Any]:
    return {"name": "age", "type": "linear", "domain": [0, 1], "range": ["#9ecae1", "#08306b"]}


def _panel(trajectory: Trajectory, x: int, y: int) -> dict[str, Any]:
    segments = _segments(trajectory)
    place = {"x": {"value": x}, "y": {"value": y}, "width": {"value": _SIDE}, "height": {"value": _SIDE}}
    across = {"x": {"scale": "x", "field": "x1"}, "y": {"scale": "y", "field": "x2"}}
    ink = {"stroke": {"value": "#333"}, "strokeWidth": {"value": 1.2}}
    starts = {**across, **ink, "size": {"value": 30}, "fill": {"value": "white"}}
    ends = {**across, "shape": {"value": "cross"}, "size": {"value": 45}, "fill": {"value": "#e6550d"}}
    star = {
        **across,
        "size": {"value": 70},
        "fill": {"value": "#fdd835"},
        "stroke": {"value": "#333"},
        "strokeWidth": {"value": 0.6},
        "shape": {"value": "M0,-1L.22,-.31L.95,-.31L.36,.12L.59,.81L0,.38L-.59,.81L-.36,.12L-.95,-.31L-.22,-.31Z"},
    }
    contour = {"stroke": {"value": "#cfcfcf"}, "strokeWidth": {"value": 0.6}, "fill": {"value": "transparent"}}
    return {
        "type": "group",
        "clip": False,
        "encode": {"enter": {**place, "stroke": {"value": "#999"}, "clip": {"value": False}}},
        "title": {"text": trajectory.label, "fontSize": 12, "offset": 4, "fontWeight": "normal"},
        "data": [
            {"name": "paths", "values": segments},
            {"name": "starts", "values": _points(trajectory.points[0])},
            {"name": "ends", "values": _points(trajectory.points[-1])},
        ],
        "marks": [
            {
                "type": "group",
                "encode": {"enter": {"width": {"value": _SIDE}, "height": {"value": _SIDE}, "clip": {"value": True}}},
                "marks": [
                    {
                        "type": "shape",
                        "from": {"data": "contours"},
                        "encode": {"enter": contour},
                        "transform": [{"type": "geoshape", "projection": "fit", "field": "datum.contour"}],
                    },
                    _mark("line", "front", {**across, "stroke": {"value": "#555"}, "strokeWidth": {"value": 2.5}}),
                    _mark(
                        "rule",
                        "paths",
                        {
                            **across,
                            "x2": {"scale": "x", "field": "to1"},
                            "y2": {"scale": "y", "field": "to2"},
                            "stroke": {"scale": "age", "field": "age"},
                            "strokeWidth": {"value": 2},
                            "strokeCap": {"value": "round"},
                        },
                    ),
                    _mark("symbol", "optimum", star),
                    _mark("symbol", "starts", starts),
                    _mark("symbol", "ends", ends),
                ],
            }
        ],
    }


def _mark(kind: str, data: str, encoding: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "from": {"data": data}, "encode": {"enter": encoding}}


def _grid(problem: Problem) -> dict[str, Any]:
    """Return the mean loss in the layout of Vega's isocontour: rows from top to bottom."""
    _, losses = problem.grid
    stride = (losses.shape[0] - 1) // (_CONTOUR_POINTS - 1)
    values = losses.mean(-1)[::stride, ::stride].flip(0)
    return {"width": _CONTOUR_POINTS, "height": _CONTOUR_POINTS, "values": values.flatten().tolist()}


def _front(problem: Problem) -> list[dict[str, float]]:
    stride = max(1, len(problem.front) // 60)
    return _points(problem.front[::stride])


def _points(points: Tensor) -> list[dict[str, float]]:
    return [{"x1": round(x1, 4), "x2": round(x2, 4)} for x1, x2 in points.tolist()]


def _segments(trajectory: Trajectory) -> list[dict[str, float]]:
    """Split each path into pieces of equal length, each with an age from 0 to 1."""
    segments = []
    for start in range(trajectory.points.shape[1]):
        path = trajectory.points[:, start]
        travelled = (path[1:] - path[:-1]).norm(dim=-1).cumsum(0)
        wanted = travelled[-1] * (1 + torch.arange(_PATH_POINTS)) / _PATH_POINTS
        chosen = [0, *((travelled.unsqueeze(-1) < wanted).sum(0) + 1).clamp_max(len(path) - 1).unique().tolist()]
        for before, after in itertools.pairwise(chosen):
            (x1, x2), (to1, to2) = path[before].tolist(), path[after].tolist()
            piece = {"x1": x1, "x2": x2, "to1": to1, "to2": to2, "age": after / (len(path) - 1)}
            segments.append({key: round(value, 4) for key, value in piece.items()})
    return segments
