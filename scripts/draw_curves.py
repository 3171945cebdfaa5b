"""Draw the learning curves of a kept result as the report draws them: the mean over tasks, and each task.

    python scripts/draw_curves.py results/mt10/strong_50k [...]

Each folder contains curves.csv (of `scripts/export_curves.py`), one or more *evaluations.csv (of `mtrl-conic report`),
or several experiments, each with its curves in NAME.csv and its configuration in NAME.yaml. The picture is written
beside them, as curves.png.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pictures import read_rows, write_png

from mtrl_conic.report.reinforcement.learning_curves import learning_curves
from mtrl_conic.report.reinforcement.measures import measures
from mtrl_conic.report.reinforcement.source import Comparison, Method, Run

SHOWN = ("success_over_steps", "tasks_over_steps")
"""Names of the report's figures, from above."""


def read(folder: Path) -> Comparison:
    """Read the runs whose evaluations a result keeps."""
    runs: dict[str, dict[int, dict[int, dict[str, Any]]]] = {}
    for label, path in _files(folder):
        for row in read_rows(path):
            method = label or row.get("method") or row["balancer"]
            evaluations = runs.setdefault(method, {}).setdefault(int(row["seed"]), {})
            at = {"step": int(row["step"]), "time": float(row["seconds"]), "success": {}, "returns": {}}
            evaluation = evaluations.setdefault(int(row["step"]), at)
            evaluation["success"][row["task"]] = float(row["success"])
            evaluation["returns"][row["task"]] = float(row["return"])
    methods = [
        Method(label, {}, [_run(folder, seed, list(evaluations.values())) for seed, evaluations in by_seed.items()])
        for label, by_seed in runs.items()
    ]
    tasks = list(methods[0].runs[0].evaluations[0]["success"])
    return Comparison(methods, tasks, tasks)


def _files(folder: Path) -> list[tuple[str, Path]]:
    """Return the files with curves, each with the label of its experiment; empty if the rows name the method."""
    alone = [("", path) for name in ("curves.csv", "*evaluations.csv") for path in sorted(folder.glob(name))]
    return alone or [(path.stem, path.with_suffix(".csv")) for path in sorted(folder.glob("*.yaml"))]


def _run(folder: Path, seed: int, evaluations: list[dict[str, Any]]) -> Run:
    return Run(
        directory=folder,
        config={"seed": seed},
        state="finished",
        error="",
        step=evaluations[-1]["step"],
        evaluations=evaluations,
        conflicts=[],
        result=evaluations[-1],
        changes=[],
    )


def picture(comparison: Comparison) -> dict[str, Any]:
    """Return the specification of the figures `SHOWN`, one below the other."""
    (measure,) = measures(comparison, None)
    figures = {figure.name: figure.specification for figure in learning_curves(comparison, measure, seed=0)}
    parts = [figures[name] for name in SHOWN]
    if len(comparison.methods) == 1:  # a single method leaves room for the full width
        parts[1]["spec"]["width"] = parts[0]["width"]
    own = ("$schema", "config", "datasets", "params", "usermeta")
    return {
        **{key: parts[0][key] for key in ("$schema", "config", "params")},
        "datasets": {name: values for part in parts for name, values in part.get("datasets", {}).items()},
        "vconcat": [{key: value for key, value in part.items() if key not in own} for part in parts],
        "resolve": {"scale": {"color": "independent", "shape": "independent", "strokeDash": "independent"}},
    }


def draw(folders: Iterable[Path]) -> None:
    """Write the picture of each folder."""
    for folder in folders:
        write_png(picture(read(folder)), folder / "curves.png")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    draw(parser.parse_args().folders)
