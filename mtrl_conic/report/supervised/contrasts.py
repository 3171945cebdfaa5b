"""Comparison of every method with a baseline, by the mean relative gain over the metrics."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mtrl_conic.evaluation import differences
from mtrl_conic.report.contrasts import POWER_COLUMNS, POWER_NOTE, Contrast, with_holm
from mtrl_conic.report.supervised.source import FinishedRun, Summary
from mtrl_conic.report.tables import Cell, Table
from mtrl_conic.supervised import measures


def comparable(summary: Summary) -> list[str]:
    """Return the methods that share a network. Single-task networks are a reference, not a method."""
    return [label for label in summary.methods if label not in summary.single_task] or list(summary.methods)


def contrasts(summary: Summary, base: str) -> list[Contrast]:
    """Compare every other method with `base`, in the order of the methods."""
    gains = {label: _gains(summary, summary.methods[label], base) for label in comparable(summary)}
    return with_holm([_contrast(label, of, gains[base]) for label, of in gains.items() if label != base])


def _gains(summary: Summary, runs: Sequence[FinishedRun], base: str) -> dict[int, float]:
    """Map seeds to the mean over metrics of the relative gain in per cent, relative to the means of `base`."""
    drops = measures.delta_m(summary.metrics, summary.values(runs), summary.means[base])
    return {run.config.seed: -float(drop) for run, drop in zip(runs, drops, strict=True)}


def _contrast(label: str, ours: dict[int, float], theirs: dict[int, float]) -> Contrast:
    seeds = sorted(ours.keys() & theirs.keys())
    mine, others = (np.array([[of[seed]] for seed in seeds]).reshape(-1, 1) for of in (ours, theirs))
    difference = differences.paired_difference(mine, others) if seeds else None
    return Contrast(label, None, difference, len(seeds), differences.paired_p(mine, others), len(seeds))


def against(base: str, found: Sequence[Contrast]) -> Table:
    """Return a table with a row per method that is compared with `base`."""
    rows: list[list[Cell]] = [[one.method, one.difference, one.pairs, *one.power, one.p_in_words] for one in found]
    note = (
        f"Gain: the relative gain over {base} in per cent, mean over the metrics and over the seeds that both methods "
        "have, with Student's t interval. p: the two-sided p-value of the gain, corrected with Holm's procedure for "
        f"the number of methods in this table. {POWER_NOTE}"
    )
    columns = ["method", "mean gain, %", "paired seeds", *POWER_COLUMNS, "p (Holm)"]
    return Table("against", f"Comparison with {base}", note, columns, rows)
