"""The runs of a report, grouped into methods. The runs of a method differ only in their seed."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mtrl_conic.balancers import label
from mtrl_conic.errors import UserError
from mtrl_conic.report.grouping import differing, fields_in_words, grouped
from mtrl_conic.report.sources import in_order
from mtrl_conic.runs.config import RunConfig
from mtrl_conic.runs.configuration import keys_of
from mtrl_conic.runs.records import EVALUATIONS, METRICS, read_records, sampled_records
from mtrl_conic.runs.status import State, changes_in_words, read_error, read_progress, read_state
from mtrl_conic.runs.stored import read_config, read_result
from mtrl_conic.schema import Role, flat_items

_NOT_THE_METHOD = {"seed", "training.checkpoint_every", *keys_of(RunConfig, Role.EXECUTION)}
"""Fields in which the runs of a method may differ: the seed, where a run is executed, and how it is recorded."""
_OPTIONS, _OPTION = "balancer_options", "balancer_options."
WHOLE = 64 << 20
"""Size of the metrics, in bytes, up to which they are read in full; a run of 2,000,000 steps on ten tasks writes a
third of it."""
SAMPLE = 4000
"""Number of lines that are read from larger metrics."""


@dataclass(frozen=True)
class Run:
    """One run, read from its directory."""

    directory: Path
    config: dict[str, Any]
    """The configuration, with dotted keys."""
    state: State
    error: str
    step: int
    evaluations: list[dict[str, Any]]
    conflicts: list[dict[str, float]]
    """The lines returned by `read_conflicts`."""
    result: dict[str, Any] | None
    changes: list[str]
    """Settings that were changed when the run was resumed, in words."""

    @property
    def seed(self) -> int:
        """The seed of the run."""
        return int(self.config["seed"])


@dataclass(frozen=True)
class Method:
    """The runs of one configuration, by seed."""

    label: str
    config: dict[str, Any]
    """The configuration of the first run, with dotted keys."""
    runs: list[Run]

    @property
    def finished(self) -> list[Run]:
        """The finished runs, which have a result."""
        return [run for run in self.runs if run.result is not None]

    @property
    def seeds(self) -> list[int]:
        """The seeds of the finished runs."""
        return [run.seed for run in self.finished]


@dataclass(frozen=True)
class Comparison:
    """Several methods on the same tasks."""

    methods: list[Method]
    tasks: list[str]
    with_success: list[str]
    """The tasks that define success."""

    @property
    def labels(self) -> list[str]:
        """The labels of the methods."""
        return [method.label for method in self.methods]

    @property
    def compared(self) -> list[Method]:
        """The methods with at least one finished run."""
        return [method for method in self.methods if method.finished]

    def only(self, labels: Sequence[str]) -> Comparison:
        """Return a comparison of the methods with these labels, in this order, or of all methods if none is given.

        Raises:
            UserError: a label is unknown, or none of the methods has a finished run.
        """
        known = {method.label: method for method in self.methods}
        chosen = replace(self, methods=[known[label] for label in in_order(known, labels)])
        if not chosen.compared:
            raise UserError(f"no run of {', '.join(labels)} is finished yet; see `mtrl-conic runs`")
        return chosen

    @property
    def differing(self) -> list[str]:
        """The keys in which the methods differ."""
        return differing([method.config for method in self.methods])


def row_of(method: Method, task: str) -> str:
    """Return the row label of a method's task, for figures and tables that contain all methods and tasks."""
    return f"{method.label}: {task.removesuffix('-v3')}"


def rows_of(comparison: Comparison, tasks: Sequence[str]) -> list[str]:
    """Return the row labels of all methods and tasks."""
    return [row_of(method, task) for method in comparison.methods for task in tasks]


def load(directories: Sequence[Path]) -> Comparison:
    """Read the runs in `directories`.

    Raises:
        UserError: no run is finished, the runs have different tasks, or a seed of a method occurs twice.
    """
    runs = [_read_run(directory) for directory in directories]
    if not any(run.result for run in runs):
        raise UserError("none of these runs is finished yet; see `mtrl-conic runs`")
    groups = grouped(runs, lambda run: _method_keys(run.config))
    configs = [_method_keys(group[0].config) for group in groups]
    methods = [
        Method(label, config, group) for label, config, group in zip(_labels(configs), configs, groups, strict=True)
    ]
    return Comparison(methods, _common(runs, "returns"), _common(runs, "success"))


def read_conflicts(directory: Path) -> list[dict[str, float]]:
    """Read what a run's metrics record about conflict: `step` and, for critic and actor,

    - `<component>/cosine`: mean cosine of the gradients over task pairs,
    - `<component>/negative`: share of the task pairs whose gradients have a negative cosine,
    - `<component>/norms`: the largest gradient norm of a task divided by the smallest,
    - `<component>/largest_weight`: the largest absolute weight divided by the sum of them; 1/K if all are equal,
    - `<component>/weight/<task>`: K times the task's weight divided by the sum of the absolute weights; 1 if all are
      equal.

    From files larger than `WHOLE` bytes, `SAMPLE` evenly spaced lines are read.
    """
    return [
        _conflict(record)
        for record in sampled_records(directory, METRICS, whole=WHOLE, sample=SAMPLE)
        if "critic/loss" in record
    ]


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
        config={**_defaults(), **dict(flat_items(read_config(directory)))},
        state=state,
        error=read_error(directory) if state == "failed" else "",
        step=read_progress(directory).step,
        evaluations=list(read_records(directory, EVALUATIONS)),
        conflicts=read_conflicts(directory),
        result=read_result(directory),
        changes=changes_in_words(directory),
    )


@functools.cache
def _defaults() -> dict[str, Any]:
    """Return the defaults for fields that a configuration lacks, because it is damaged or from an earlier version."""
    return dict(flat_items(RunConfig().model_dump(mode="json")))


def _method_keys(config: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in _NOT_THE_METHOD}


def _labels(configs: Sequence[dict[str, Any]]) -> list[str]:
    """Return the labels: the balancer's name, with the differing options and settings if methods share a balancer."""
    labels = []
    for config in configs:
        same = [other for other in configs if other["balancer"] == config["balancer"]]
        keys = differing(same)
        options = {key: config[key] for key in keys if key.startswith(_OPTION) and key in config}
        parts = fields_in_words(config, [key for key in keys if not key.startswith(_OPTIONS)])
        method = label(config["balancer"], {key.removeprefix(_OPTION): value for key, value in options.items()})
        labels.append(", ".join([method, *parts]))
    return labels


def _common(runs: Sequence[Run], field: str) -> list[str]:
    """Return the tasks in a field of the evaluations, which must be the same for all runs."""
    first, *others = [run for run in runs if run.evaluations]
    tasks = list(first.evaluations[0][field])
    for run in others:
        if list(run.evaluations[0][field]) != tasks:
            other = "define success on other tasks" if field == "success" else "have other tasks"
            raise UserError(f"{first.directory} and {run.directory} {other}; report on one task set at a time")
    return tasks
