"""The finished runs of one supervised problem, grouped by method."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtrl_conic.errors import UserError
from mtrl_conic.report.grouping import differing, fields_in_words, grouped
from mtrl_conic.report.sources import in_order
from mtrl_conic.runs.configuration import keys_of
from mtrl_conic.runs.records import EVALUATIONS, METRICS, read_records
from mtrl_conic.runs.results import check_result
from mtrl_conic.runs.stored import read_config, read_result
from mtrl_conic.schema import Role, flat_items, parse
from mtrl_conic.supervised.config import SupervisedConfig
from mtrl_conic.supervised.data.identity import data_of
from mtrl_conic.supervised.learners import SINGLE_TASK
from mtrl_conic.supervised.problem import Metric

_NOT_THE_METHOD = {"seed", *keys_of(SupervisedConfig, Role.EXECUTION)}
"""Fields in which the runs of a method may differ: the seed, and where a run is executed."""


@dataclass(frozen=True)
class FinishedRun:
    """The configuration, the result and the curve of a run."""

    directory: Path
    config: SupervisedConfig
    result: dict[str, Any]
    curve: list[dict[str, Any]]
    training: list[dict[str, Any]]
    """Means over each epoch's steps: losses, weights, gradient norms and conflicts."""

    @property
    def seed(self) -> int:
        """The seed of the run."""
        return self.config.seed

    @cached_property
    def keys(self) -> dict[str, Any]:
        """The fields that the runs of a method have in common, with dotted keys."""
        values = flat_items(self.config.model_dump(mode="json"))
        return {key: value for key, value in values if key not in _NOT_THE_METHOD}


@dataclass(frozen=True)
class Summary:
    """All finished runs of one problem, by method in the order in which they were found."""

    metrics: Sequence[Metric]
    methods: dict[str, list[FinishedRun]]

    @cached_property
    def means(self) -> dict[str, NDArray[np.float64]]:
        """Metrics (J,) of each method, as means over seeds."""
        return {label: self.values(runs).mean(0) for label, runs in self.methods.items()}

    @property
    def single_task(self) -> list[str]:
        """The labels of the single-task networks, which are a reference and share no network."""
        return [label for label, runs in self.methods.items() if runs[0].config.balancer == SINGLE_TASK]

    @property
    def baseline(self) -> NDArray[np.float64] | None:
        """Metrics (J,) of the single-task networks; None if there are none, or several with different settings."""
        return self.means[self.single_task[0]] if len(self.single_task) == 1 else None

    @property
    def differing(self) -> list[str]:
        """The fields in which the methods differ, with dotted keys."""
        return differing([runs[0].keys for runs in self.methods.values()])

    def only(self, labels: Sequence[str]) -> Summary:
        """Return a summary of the methods with these labels, in this order, or of all methods if none is given.

        Raises:
            UserError: a label is unknown.
        """
        chosen = in_order(self.methods, labels)
        return Summary(self.metrics, {label: self.methods[label] for label in chosen})

    def values(self, runs: Sequence[FinishedRun]) -> NDArray[np.float64]:
        """Return the metrics (R, J) of the runs."""
        return np.array([[run.result["metrics"][metric.name] for metric in self.metrics] for run in runs])


def summarise(directories: Iterable[Path]) -> Summary:
    """Read the finished runs among `directories`.

    Raises:
        UserError: no run is finished, the runs are of different problems or data, or a seed of a method occurs twice.
    """
    runs = [found for directory in directories if (found := _read(directory)) is not None]
    if not runs:
        raise UserError("none of these supervised runs is finished; see `mtrl-conic runs`")
    first = runs[0]
    for run in runs:
        if run.config.problem != first.config.problem or run.config.options != first.config.options:
            raise UserError("these runs are of different problems, or of one with different options")
    known = {data: run for run in runs if (data := data_of(run.directory)) is not None}
    if len(known) > 1:
        one, other = (run.directory for run in list(known.values())[:2])
        raise UserError(f"{one} and {other} were trained on different data; report on one data set at a time")
    groups = grouped(runs, lambda run: run.keys)
    metrics = [Metric(**metric) for metric in first.result["measured"]]
    return Summary(metrics, dict(zip(_labels(groups), groups, strict=True)))


def _labels(groups: Sequence[Sequence[FinishedRun]]) -> list[str]:
    """Return the labels: the method with its options, and the differing fields if a method has several settings."""
    labels = []
    for first, *_ in groups:
        same = [run.keys for run, *_ in groups if run.config.method == first.config.method]
        labels.append(", ".join([first.config.method, *fields_in_words(first.keys, differing(same))]))
    return labels


def _read(directory: Path) -> FinishedRun | None:
    result = read_result(directory)
    if result is None:
        return None
    check_result(result, "supervised", directory / "result.json")
    config = parse(SupervisedConfig, read_config(directory), where=str(directory / "config.yaml"))
    return FinishedRun(
        directory, config, result, list(read_records(directory, EVALUATIONS)), list(read_records(directory, METRICS))
    )
