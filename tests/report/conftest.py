"""Fixtures of run directories with made-up numbers, in the files that a real run writes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from mtrl_conic.report.reinforcement import source
from mtrl_conic.report.reinforcement.source import Comparison
from mtrl_conic.report.sources import find
from mtrl_conic.runs.config import RunConfig
from mtrl_conic.runs.directory import RunDirectory
from mtrl_conic.schema import parse
from tests.training.conftest import TASKS, tiny_values
from tests.training.conftest import tiny as tiny

LAB = ("Pendulum-v1", "Reacher-v5", "Hopper-v5", "InvertedPendulum-v5")
LEVELS = {"ls": 0.3, "conicgrad": 0.6}


def load(folder: Path) -> Comparison:
    """Return the comparison of the runs of agents at and below a folder."""
    return source.load(find([folder]).directories)


def evaluation(
    step: int, rates: np.ndarray, episodes: int, *, tasks: Sequence[str] = TASKS, rated: Sequence[str] = TASKS
) -> dict[str, Any]:
    """Return the record of an evaluation with success `rates`.

    A task's return is 1000 times its rate minus 500 times its index, so that each task has a different scale.
    """
    success = {task: float(rate) for task, rate in zip(tasks, rates, strict=True) if task in rated}
    mean = float(np.mean(list(success.values()))) if success else None
    returns = {
        task: float(1000 * rate - 500 * place) for place, (task, rate) in enumerate(zip(tasks, rates, strict=True))
    }
    return {
        "step": step,
        "time": step / 10,
        "success": success,
        "mean_success": mean,
        "success_at_end": {task: rate / 2 for task, rate in success.items()},
        "mean_success_at_end": None if mean is None else mean / 2,
        "returns": returns,
        "mean_return": float(np.mean(list(returns.values()))),
        "return_std": dict.fromkeys(tasks, 10.0),
        "episodes_per_task": episodes,
    }


def metrics(step: int, generator: np.random.Generator, tasks: Sequence[str] = TASKS) -> dict[str, Any]:
    weights = dict(zip(tasks, map(float, generator.uniform(0.1, 1, len(tasks))), strict=True))
    vectors = generator.normal(size=(len(tasks), 4))
    norms = np.linalg.norm(vectors, axis=1)
    vectors /= norms[:, None]
    record: dict[str, Any] = {"step": step, "time": step / 10, "steps_per_second": 10.0}
    for component in ("critic", "actor"):
        record |= {
            f"{component}/loss": dict.fromkeys(tasks, 1.0),
            f"{component}/gradient_norm": dict(zip(tasks, map(float, norms), strict=True)),
            f"{component}/cosine": (vectors @ vectors.T).tolist(),
            f"{component}/weight": weights,
        }
    return record


def write_run(
    directory: Path,
    balancer: str,
    seed: int,
    *,
    finished: bool = True,
    tasks: Sequence[str] = TASKS,
    rated: Sequence[str] = TASKS,
    **overrides: Any,
) -> Path:
    """Write a run on `tasks`, of which those in `rated` define success, and return its directory."""
    config = parse(RunConfig, tiny_values(**{"balancer": balancer, "seed": seed, "steps": 150, **overrides}))
    run = RunDirectory(directory, config.model_dump(mode="json"))
    generator = np.random.default_rng([seed, len(balancer)])
    for step in (50, 100, 150) if finished else (50,):
        run.append("metrics", metrics(step, generator, tasks))
        rates = np.clip(LEVELS[balancer] * step / 100 + generator.uniform(-0.2, 0.2, len(tasks)), 0, 1).round(1)
        record = evaluation(step, rates, 2 if step == 150 else 1, tasks=tasks, rated=rated)
        run.append("evaluations", record)
    if finished:
        seconds = {"targets": 1.0, "critic": 3.0, "actor": 2.0, "balancing": 2.0, "stepping": 3.0, "evaluation": 1.0}
        machine = {"processor": "x", "cores": 2, "threads": 1, "device": "cpu"}
        versions = {"mtrl-conic": "0.2.0", "torch": "2.13.0"}
        final = {"step": 150, "seconds": 15.0, **record, "seconds_by_part": seconds}
        run.finish({**final, "peak_memory_mib": 500.0 + seed, "versions": versions, "machine": machine})
    run.close()
    return directory


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with runs of two balancers by three seeds, and a fourth seed of `ls` that failed."""
    for balancer in LEVELS:
        for seed in range(3):
            write_run(tmp_path / "runs" / balancer / f"seed_{seed}", balancer, seed)
    failed = write_run(tmp_path / "runs/ls/seed_3", "ls", 3, finished=False)
    (failed / "error.txt").write_text("FloatingPointError: training <diverged>\n")
    return tmp_path / "runs"


def write_lab(folder: Path, rated: Sequence[str], tasks: Sequence[str] = LAB) -> Path:
    """Write runs of two balancers by three seeds on Gymnasium tasks, and return their folder."""
    task_set = [f"gymnasium:{task}" for task in tasks]
    for balancer in LEVELS:
        for seed in range(3):
            write_run(folder / balancer / f"seed_{seed}", balancer, seed, tasks=tasks, rated=rated, task_set=task_set)
    return folder


def results(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the results of the runs by balancer, read without the report's code."""
    found: dict[str, list[dict[str, Any]]] = {}
    for file in sorted(folder.rglob("result.json")):
        balancer = yaml.safe_load((file.parent / "config.yaml").read_text())["balancer"]
        found.setdefault(balancer, []).append(json.loads(file.read_text()))
    return found
