"""The runs of a report, grouped into methods: runs that differ in nothing but the seed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtrl_conic.errors import UserError
from mtrl_conic.runs.config import SITTING
from mtrl_conic.runs.directory import flat_items, read_config, read_result
from mtrl_conic.runs.status import State, find_runs, read_error, read_progress, read_state

_NOT_THE_METHOD = {"seed", *SITTING, "training.replay", "training.log_every", "training.checkpoint_every"}
"""Fields in which the runs of a method may differ: which sample it is, where it runs, how it is written."""


@dataclass(frozen=True)
class Run:
    """One run as its directory tells it."""

    directory: Path
    config: dict[str, Any]
    """Dotted keys."""
    state: State
    error: str
    step: int
    evaluations: list[dict[str, Any]]
    conflicts: list[dict[str, float]]
    """See `read_conflicts`."""
    result: dict[str, Any] | None

    @property
    def seed(self) -> int:
        """Of the run."""
        return int(self.config["seed"])

    @property
    def curve(self) -> NDArray[np.float64]:
        """(E, K): success by evaluation and task."""
        return np.array([list(evaluation["success"].values()) for evaluation in self.evaluations])


@dataclass(frozen=True)
class Method:
    """Runs of one configuration, by seed."""

    label: str
    config: dict[str, Any]
    """Of its first run, dotted keys."""
    runs: list[Run]

    @property
    def finished(self) -> list[Run]:
        """The runs that count: those with a result."""
        return [run for run in self.runs if run.result is not None]

    @property
    def seeds(self) -> list[int]:
        """Of the finished runs."""
        return [run.seed for run in self.finished]

    def final(self, name: str = "success") -> NDArray[np.float64]:
        """(R, K): `success` or `success_at_end` of the finished runs' final evaluations."""
        return np.array([list(run.result[name].values()) for run in self.finished if run.result])


@dataclass(frozen=True)
class Comparison:
    """Methods on the same tasks."""

    methods: list[Method]
    tasks: list[str]

    @property
    def labels(self) -> list[str]:
        """Of the methods."""
        return [method.label for method in self.methods]

    @property
    def compared(self) -> list[Method]:
        """The methods with at least one finished run."""
        return [method for method in self.methods if method.finished]

    @property
    def differing(self) -> list[str]:
        """The keys in which methods differ."""
        return _differing([method.config for method in self.methods])


def load(folders: Sequence[Path]) -> Comparison:
    """The runs at and below `folders`.

    Raises:
        UserError: no runs, no finished run, no success, other tasks in some, or the same seed of a method twice.
    """
    runs = [_read_run(directory) for directory in find_runs(folders)]
    for run in runs:
        if "task_set" not in run.config:
            raise UserError(f"{run.directory} is no run of an agent; `mtrl-conic supervised` writes a page of its own")
    if not any(run.result for run in runs):
        raise UserError(f"no run in {', '.join(map(str, folders))} is finished yet; see `mtrl-conic runs`")
    if not any(run.result["success"] for run in runs if run.result):
        raise UserError("no task of these runs says what success is, and success is what the report compares")
    by_config: dict[str, list[Run]] = {}
    for run in runs:
        by_config.setdefault(json.dumps(_method_keys(run.config), sort_keys=True), []).append(run)
    groups = [sorted(group, key=lambda run: run.seed) for group in by_config.values()]
    for group in groups:
        seed, count = Counter(run.seed for run in group).most_common(1)[0]
        if count > 1:
            first, second, *_ = (run.directory for run in group if run.seed == seed)
            raise UserError(f"{first} and {second} are the same run twice; leave one out")
    configs = [_method_keys(group[0].config) for group in groups]
    methods = [
        Method(label, config, group) for label, config, group in zip(_labels(configs), configs, groups, strict=True)
    ]
    return Comparison(methods, _common_tasks(runs))


def read_conflicts(directory: Path) -> list[dict[str, float]]:
    """What each line of a run's metrics says about conflict: `step`, and for critic and actor

    - `<component>/cosine`: mean cosine of the task pairs' gradients,
    - `<component>/negative`: share of the task pairs whose gradients have a negative cosine,
    - `<component>/norms`: the largest of the tasks' gradient norms over the smallest,
    - `<component>/largest_weight`: the largest of the balancer's |weights| over their sum; 1/K when all are equal,
    - `<component>/weight/<task>`: K times the task's weight over the sum of all |weights|; 1 when all are equal.
    """
    return [_conflict(record) for record in _records(directory, "metrics") if "critic/loss" in record]


def _conflict(record: dict[str, Any]) -> dict[str, float]:
    found: dict[str, float] = {"step": record["step"]}
    for component in ("critic", "actor"):
        cosines, weights = record.get(f"{component}/cosine"), record.get(f"{component}/weight", {})
        if cosines and len(cosines) > 1:
            pairs = np.array(cosines)[np.tril_indices(len(cosines), -1)]
            found[f"{component}/cosine"] = float(pairs.mean())
            found[f"{component}/negative"] = float((pairs < 0).mean())
        norms = record.get(f"{component}/gradient_norm", {}).values()
        if norms and min(norms) > 0:
            found[f"{component}/norms"] = max(norms) / min(norms)
        total = sum(map(abs, weights.values()))
        if total > 0:
            found[f"{component}/largest_weight"] = max(map(abs, weights.values())) / total
            for task, weight in weights.items():
                found[f"{component}/weight/{task}"] = len(weights) * weight / total
    return found


def _read_run(directory: Path) -> Run:
    state = read_state(directory)
    return Run(
        directory=directory,
        config=dict(flat_items(read_config(directory))),
        state=state,
        error=read_error(directory) if state == "failed" else "",
        step=read_progress(directory).step,
        evaluations=list(_records(directory, "evaluations")),
        conflicts=read_conflicts(directory),
        result=read_result(directory),
    )


def _records(directory: Path, name: str) -> Iterator[dict[str, Any]]:
    file = directory / f"{name}.jsonl"
    if file.exists():
        with file.open() as lines:
            for line in lines:
                if line.endswith("\n"):  # a run that is going on may be writing the last one
                    yield json.loads(line)


def _method_keys(config: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in _NOT_THE_METHOD}


def _differing(configs: Sequence[dict[str, Any]]) -> list[str]:
    keys = list(dict.fromkeys(key for config in configs for key in config))
    return [key for key in keys if any(config.get(key) != configs[0].get(key) for config in configs)]


def _labels(configs: Sequence[dict[str, Any]]) -> list[str]:
    """The balancer's name; where methods share a balancer, with the settings in which they differ."""
    labels = []
    for config in configs:
        same = [other for other in configs if other["balancer"] == config["balancer"]]
        parts = [f"{key.rpartition('.')[2]}={config.get(key)}" for key in _differing(same)]
        labels.append(", ".join([config["balancer"], *parts]))
    return labels


def _common_tasks(runs: Sequence[Run]) -> list[str]:
    first, *others = [run for run in runs if run.evaluations]
    tasks = list(first.evaluations[0]["success"])
    for run in others:
        if list(run.evaluations[0]["success"]) != tasks:
            raise UserError(f"{first.directory} and {run.directory} have other tasks; report on one task set at a time")
    return tasks
