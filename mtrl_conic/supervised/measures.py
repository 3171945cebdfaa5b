"""Measures over methods: the drop relative to single-task networks, the mean rank, and means over seeds."""

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
    """A mean over seeds with its standard error."""

    value: float
    error: float | None
    """Standard error s / sqrt(R), with R - 1 in the denominator of s; None for a single seed."""
    seeds: int

    def text(self, digits: int = 4) -> str:
        """Format as `0.9454 ± 0.0003`, without the error if there is none."""
        return f"{self.value:.{digits}f}" + ("" if self.error is None else f" ± {self.error:.{digits}f}")


def mean(values: Sequence[float] | Array) -> Mean:
    """Return the mean and the standard error of a number over seeds."""
    array = np.asarray(values, dtype=np.float64)
    error = float(array.std(ddof=1) / np.sqrt(len(array))) if len(array) > 1 else None
    return Mean(float(array.mean()), error, len(array))


def delta_m(metrics: Sequence[Metric], values: Array, baseline: Array) -> Array:
    """Compute the mean relative drop against a baseline in per cent; lower is better.

    delta_m = mean over metrics j of (-1)^{l_j} (M_j - B_j) / |B_j|, with l_j = 1 where higher is better (Maninis et
    al., CVPR 2019; Liu et al., 2021). The absolute value is for metrics that can be negative, such as R2. One whose
    B_j is zero or not a number has no relative drop and is left out; if there is no other, the drops are not a number.

    Args:
        metrics: J metrics.
        values: values of the metrics (..., J).
        baseline: values (J,) of the single-task networks.

    Returns:
        The drops (...).
    """
    signs = np.array([-1.0 if metric.higher_is_better else 1.0 for metric in metrics])
    has = np.isfinite(baseline) & (baseline != 0)
    drops = (signs * (values - baseline))[..., has] / np.abs(baseline[has])
    return np.asarray(100 * drops.mean(-1)) if has.any() else np.full(values.shape[:-1], np.nan)


def mean_ranks(metrics: Sequence[Metric], table: Mapping[str, Array]) -> dict[str, float]:
    """Compute the mean over metrics of each method's rank among the methods of `table`. Rank 1 is best; ties share.

    A metric that is not a number for one of the methods is left out.

    Args:
        metrics: J metrics.
        table: maps a method to its metrics (J,), as means over seeds.
    """
    signs = np.array([1.0 if metric.higher_is_better else -1.0 for metric in metrics])
    values = np.stack([signs * row for row in table.values()])
    ranked = statistics.ranks(values[:, np.isfinite(values).all(0)])
    means = ranked.mean(1) if ranked.size else np.full(len(values), np.nan)
    return dict(zip(table, means.tolist(), strict=True))
