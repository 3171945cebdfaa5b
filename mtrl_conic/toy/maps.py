"""Maps of two options of a method on a toy problem: how many starts reach the optimum, and after how many steps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mtrl_conic import balancers
from mtrl_conic.toy.curves import write
from mtrl_conic.toy.paths import Trajectory

_LEAST = 3
"""Least number of points of a map."""


def grids(trajectories: Sequence[Trajectory]) -> dict[tuple[str, str, str], list[Trajectory]]:
    """Return the trajectories by (name, option, option) for methods that ran with at least three pairs of values."""
    found: dict[tuple[str, str, str], list[Trajectory]] = {}
    for trajectory in trajectories:
        ((name, options),) = balancers.parse_methods(trajectory.label)
        if len(options) == 2 and all(isinstance(value, float | int) for value in options.values()):
            first, second = sorted(options)
            found.setdefault((name, first, second), []).append(trajectory)
    return {key: grid for key, grid in found.items() if len(grid) >= _LEAST}


def draw_map(first: str, second: str, grid: Sequence[Trajectory], path: Path) -> None:
    """Write an SVG map of two options.

    The colour is the number of starts that end at the optimum of the mean loss; the text is the step from which all
    of them stay there.
    """
    values: list[dict[str, Any]] = []
    for trajectory in grid:
        ((_, options),) = balancers.parse_methods(trajectory.label)
        arrived = trajectory.steps_to_optimum
        point = {"x": f"{options[first]:g}", "y": f"{options[second]:g}", "starts": trajectory.at_optimum}
        values.append({**point, "words": f"{trajectory.at_optimum}" if arrived is None else f"{arrived:,}"})
    order = [sorted({value[axis] for value in values}, key=float) for axis in ("x", "y")]
    axes = {
        "x": {"field": "x", "type": "nominal", "title": first, "sort": order[0]},
        "y": {"field": "y", "type": "nominal", "title": second, "sort": order[1][::-1]},
    }
    scale = {"domain": [0, len(grid[0].problem.starts)], "scheme": "blues"}
    colour = {"field": "starts", "type": "quantitative", "title": "starts at the optimum", "scale": scale}
    text = {"field": "words", "type": "nominal"}
    spec = {
        "data": {"values": values},
        "width": {"step": 70},
        "height": {"step": 40},
        "layer": [
            {"mark": "rect", "encoding": {**axes, "color": colour}},
            {"mark": {"type": "text", "color": "#333"}, "encoding": {**axes, "text": text}},
        ],
    }
    write(spec, path)
