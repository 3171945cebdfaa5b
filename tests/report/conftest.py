"""Run directories with numbers made up, in the files that a real run writes."""

from __future__ import annotations

import json
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

LEVELS = {"ls": 0.3, "conicgrad": 0.6}


def load(folder: Path) -> Comparison:
    """The runs of agents at and below a folder."""
    return source.load(find([folder]).directories)


def evaluation(step: int, rates: np.ndarray, episodes: int) -> dict[str, Any]:
    success = dict(zip(TASKS, map(float, rates), strict=True))
    return {
        "step": step,
        "time": step / 10,
        "success": success,
        "mean_success": float(rates.mean()),
        "success_at_end": {task: rate / 2 for task, rate in success.items()},
        "mean_success_at_end": float(rates.mean()) / 2,
        "returns": dict.fromkeys(TASKS, 100.0),
        "episodes_per_task": episodes,
    }


def metrics(step: int, generator: np.random.Generator) -> dict[str, Any]:
    weights = dict(zip(TASKS, map(float, generator.uniform(0.1, 1, len(TASKS))), strict=True))
    vectors = generator.normal(size=(len(TASKS), 4))
    norms = np.linalg.norm(vectors, axis=1)
    vectors /= norms[:, None]
    record: dict[str, Any] = {"step": step, "time": step / 10, "steps_per_second": 10.0}
    for component in ("critic", "actor"):
        record |= {
            f"{component}/loss": dict.fromkeys(TASKS, 1.0),
            f"{component}/gradient_norm": dict(zip(TASKS, map(float, norms), strict=True)),
            f"{component}/cosine": (vectors @ vectors.T).tolist(),
            f"{component}/weight": weights,
        }
    return record


def write_run(directory: Path, balancer: str, seed: int, *, finished: bool = True, **overrides: Any) -> Path:
    config = parse(RunConfig, tiny_values(balancer=balancer, seed=seed, **overrides))
    run = RunDirectory(directory, config.model_dump(mode="json"))
    generator = np.random.default_rng([seed, len(balancer)])
    for step in (50, 100, 150) if finished else (50,):
        run.append("metrics", metrics(step, generator))
        rates = np.clip(LEVELS[balancer] * step / 100 + generator.uniform(-0.2, 0.2, len(TASKS)), 0, 1).round(1)
        run.append("evaluations", evaluation(step, rates, 2 if step == 150 else 1))
    if finished:
        seconds = {"targets": 1.0, "critic": 3.0, "actor": 2.0, "balancing": 2.0, "stepping": 3.0, "evaluation": 1.0}
        machine = {"processor": "x", "cores": 2, "threads": 1, "device": "cpu"}
        versions = {"mtrl-conic": "0.1.0", "torch": "2.13.0"}
        final = {"step": 150, "seconds": 15.0, **evaluation(150, rates, 2), "seconds_by_part": seconds}
        run.finish({**final, "peak_memory_mib": 500.0 + seed, "versions": versions, "machine": machine})
    run.close()
    return directory


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two balancers, three seeds each, and a fourth of one that failed."""
    for balancer in LEVELS:
        for seed in range(3):
            write_run(tmp_path / "runs" / balancer / f"seed_{seed}", balancer, seed)
    failed = write_run(tmp_path / "runs/ls/seed_3", "ls", 3, finished=False)
    (failed / "error.txt").write_text("FloatingPointError: training <diverged>\n")
    return tmp_path / "runs"


def results(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """What the runs wrote, by balancer, read without the report's code."""
    found: dict[str, list[dict[str, Any]]] = {}
    for file in sorted(folder.rglob("result.json")):
        balancer = yaml.safe_load((file.parent / "config.yaml").read_text())["balancer"]
        found.setdefault(balancer, []).append(json.loads(file.read_text()))
    return found
