"""Measures over methods: the drop against single tasks, the mean rank, means and standard errors over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mtrl_conic.evaluation import statistics
from mtrl_conic.supervised.problem import Metric

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Mean:
    """Over seeds."""

    value: float
    error: float | None
    """The standard error, s / sqrt(R) with R - 1 in s; none with a single seed."""
    seeds: int

    def text(self, digits: int = 4) -> str:
        """`0.9454 ± 0.0003`."""
        return f"{self.value:.{digits}f}" + ("" if self.error is None else f" ± {self.error:.{digits}f}")


def mean(values: Sequence[float] | Array) -> Mean:
    """Mean and standard error of a number over seeds."""
    array = np.asarray(values, dtype=np.float64)
    error = float(array.std(ddof=1) / np.sqrt(len(array))) if len(array) > 1 else None
    return Mean(float(array.mean()), error, len(array))


def delta_m(metrics: Sequence[Metric], values: Array, baseline: Array) -> Array:
    """The drop against the baseline in per cent, lower is better (Maninis et al., CVPR 2019; Liu et al., 2021).

    delta_m = mean over metrics j of (-1)^{l_j} (M_j - B_j) / B_j, with l_j = 1 where higher is better.

    Args:
        metrics: J of them.
        values: (..., J).
        baseline: (J,), of the networks trained on single tasks.
    """
    signs = np.array([-1.0 if metric.higher_is_better else 1.0 for metric in metrics])
    return np.asarray(100 * (signs * (values - baseline) / baseline).mean(-1))


def mean_ranks(metrics: Sequence[Metric], table: Mapping[str, Array]) -> dict[str, float]:
    """The mean over metrics of a method's rank among the methods in `table`, 1 is best, ties share.

    Args:
        metrics: J of them.
        table: method -> (J,) means over seeds.
    """
    signs = np.array([1.0 if metric.higher_is_better else -1.0 for metric in metrics])
    ranks = statistics.ranks(np.stack([signs * row for row in table.values()]))
    return dict(zip(table, ranks.mean(1).tolist(), strict=True))
