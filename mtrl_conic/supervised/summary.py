"""From the runs of a comparison to tables: on the terminal, as CSV, as Markdown, as a page."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtrl_conic.errors import UserError
from mtrl_conic.report.tables import Cell, Table, markdown, text
from mtrl_conic.runs.directory import read_config, read_result, write_text
from mtrl_conic.schema import parse
from mtrl_conic.supervised import measures
from mtrl_conic.supervised.config import SupervisedConfig
from mtrl_conic.supervised.learners import SINGLE_TASK
from mtrl_conic.supervised.problem import Metric

_MEBIBYTE = 1 << 20
_MANY = 12
"""More metrics than this are shown as means over tasks."""


@dataclass(frozen=True)
class FinishedRun:
    """A run's configuration, result and curve."""

    config: SupervisedConfig
    result: dict[str, Any]
    curve: list[dict[str, Any]]


@dataclass(frozen=True)
class Summary:
    """All finished runs of one problem, by method in the order they came."""

    metrics: Sequence[Metric]
    methods: dict[str, list[FinishedRun]]

    @cached_property
    def means(self) -> dict[str, NDArray[np.float64]]:
        """Method -> (J,) metrics, means over seeds."""
        return {label: self._values(runs).mean(0) for label, runs in self.methods.items()}

    @property
    def baseline(self) -> NDArray[np.float64] | None:
        """(J,) of the networks trained on single tasks, where there are such runs."""
        return self.means.get(SINGLE_TASK)

    def _values(self, runs: Sequence[FinishedRun]) -> NDArray[np.float64]:
        return np.array([[run.result["metrics"][metric.name] for metric in self.metrics] for run in runs])

    def table(self) -> Table:
        """A row per method: metrics, mean rank, drop, cost."""
        groups = self._groups()
        columns = ["method", "seeds", *(f"{name} {_arrow(members[0])}" for name, members in groups.items())]
        columns += ["mean rank ↓", "delta-m % ↓", "s per epoch", "CPU s per epoch", "peak MiB"]
        compared = {label: row for label, row in self.means.items() if label != SINGLE_TASK}
        ranks = measures.mean_ranks(self.metrics, compared) if compared else {}
        rows = [
            [*self._row(label, runs, groups), *self._judged(label, runs, ranks), *_cost(runs)]
            for label, runs in self.methods.items()
        ]
        note = (
            "Mean ± standard error over seeds. Mean rank: over the metrics, among the methods of this table that share "
            f"a network. delta-m: mean over the metrics of the relative drop against {SINGLE_TASK}'s mean over seeds. "
            "Seconds and memory: medians over runs, of the machine as it was."
        )
        return Table("methods", "Methods", note, columns, rows)

    def _groups(self) -> dict[str, list[Metric]]:
        """Column -> its metrics: each by itself, or the kinds of metric (the last word) where there are many."""
        if len(self.metrics) <= _MANY:
            return {metric.name: [metric] for metric in self.metrics}
        kinds: dict[str, list[Metric]] = {}
        for metric in self.metrics:
            kinds.setdefault(f"mean {metric.name.split()[-1]}", []).append(metric)
        return kinds

    def _row(self, label: str, runs: Sequence[FinishedRun], groups: dict[str, list[Metric]]) -> list[Cell]:
        row: list[Cell] = [label, len(runs)]
        for members in groups.values():
            per_run = [float(np.mean([run.result["metrics"][metric.name] for metric in members])) for run in runs]
            row.append(measures.mean(per_run).text())
        return row

    def _judged(self, label: str, runs: Sequence[FinishedRun], ranks: dict[str, float]) -> list[Cell]:
        drop = None
        if self.baseline is not None and label != SINGLE_TASK:
            drop = measures.mean(measures.delta_m(self.metrics, self._values(runs), self.baseline)).text(2)
        return [f"{ranks[label]:.2f}" if label in ranks else None, drop]

    def text(self) -> str:
        """The table for a terminal."""
        table = self.table()
        cells = [list(table.columns), *([text(cell) for cell in row] for row in table.rows)]
        widths = [max(len(row[i]) for row in cells) for i in range(len(table.columns))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
        ]
        return "\n".join([*lines, "", table.note])

    def facts(self) -> list[str]:
        """What all runs have in common, in sentences."""
        run = next(iter(self.methods.values()))[0]
        config = run.config
        settings = {key: getattr(config, key) for key in ("epochs", "batch_size", "learning_rate", "halve_every")}
        how = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in settings.items() if value is not None)
        options = ", ".join(f"{key}={value}" for key, value in config.options.items())
        return [
            f"Problem: {config.problem}" + (f" ({options})" if options else "") + ".",
            *run.result["facts"],
            f"Training: Adam, {how}; balancers see the gradients of the {_SEEN[str(config.gradients)]}.",
            f"Test numbers are of: {_SELECTED[str(config.selection)]}.",
        ]

    def results_csv(self) -> str:
        """A row per method, seed and metric."""
        head = ("method", "seed", "task", "metric", "value", "epoch")
        return _csv(
            head,
            (
                (
                    label,
                    run.config.seed,
                    metric.task,
                    metric.name,
                    run.result["metrics"][metric.name],
                    run.result["selected_epochs"][metric.task],
                )
                for label, runs in self.methods.items()
                for run in runs
                for metric in self.metrics
            ),
        )

    def curves_csv(self) -> str:
        """A row per method, seed, epoch, split and metric."""
        head = ("method", "seed", "epoch", "seconds", "split", "metric", "value")
        return _csv(
            head,
            (
                (label, run.config.seed, record["step"], round(record["time"], 2), split, name, round(value, 6))
                for label, runs in self.methods.items()
                for run in runs
                for record in run.curve
                for split in ("validation", "test")
                if split in record
                for name, value in record[split].items()
            ),
        )

    def markdown(self) -> str:
        """Facts and table."""
        table = self.table()
        facts = "\n".join(f"- {fact}" for fact in self.facts())
        return f"{facts}\n\n{markdown(table)}\n\n{table.note}\n"

    def write(self, folder: Path) -> list[Path]:
        """`results.csv`, `curves.csv`, `table.md`, `report.html` and `trade_off_*.svg` in `folder`."""
        import vl_convert

        from mtrl_conic.supervised.page import html
        from mtrl_conic.supervised.trade_offs import trade_offs

        made = {
            "results.csv": self.results_csv(),
            "curves.csv": self.curves_csv(),
            "table.md": self.markdown(),
            "report.html": html(self),
        }
        made |= {f"{figure.name}.svg": vl_convert.vegalite_to_svg(figure.specification) for figure in trade_offs(self)}
        for name, content in made.items():
            write_text(folder / name, content)
        return [folder / name for name in made]


_SEEN = {"parameters": "shared parameters", "representation": "shared representation"}
_SELECTED = {
    "last": "the last epoch",
    "best_validation": f"the epoch best on validation, the mean over tasks ({SINGLE_TASK}: task by task)",
    "mean_of_last_10": "the mean of the last 10 epochs, of all where there are fewer",
}


def summarise(directories: Iterable[Path]) -> Summary:
    """The finished runs among `directories`.

    Raises:
        UserError: none is finished, or they are not of one problem.
    """
    runs = [found for directory in directories if (found := _read(directory)) is not None]
    if not runs:
        raise UserError("no supervised run there is finished")
    first = runs[0]
    for run in runs:
        if run.config.problem != first.config.problem or run.config.options != first.config.options:
            raise UserError("these runs are of different problems, or of one with different options")
    methods: dict[str, list[FinishedRun]] = {}
    for run in runs:
        methods.setdefault(run.config.method, []).append(run)
    metrics = [Metric(**metric) for metric in first.result["measured"]]
    return Summary(metrics, {label: sorted(group, key=lambda run: run.config.seed) for label, group in methods.items()})


def _read(directory: Path) -> FinishedRun | None:
    result = read_result(directory)
    if result is None:
        return None
    config = parse(SupervisedConfig, read_config(directory), where=str(directory / "config.yaml"))
    lines = (directory / "evaluations.jsonl").read_text().splitlines()
    return FinishedRun(config, result, [json.loads(line) for line in lines])


def _cost(runs: Sequence[FinishedRun]) -> list[Cell]:
    median = {
        key: float(np.median([run.result[key] for run in runs]))
        for key in ("seconds_per_epoch", "cpu_seconds_per_epoch", "peak_memory_bytes")
    }
    return [
        f"{median['seconds_per_epoch']:.2f}",
        f"{median['cpu_seconds_per_epoch']:.2f}",
        round(median["peak_memory_bytes"] / _MEBIBYTE),
    ]


def _arrow(metric: Metric) -> str:
    return "↑" if metric.higher_is_better else "↓"


def _csv(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return out.getvalue()
