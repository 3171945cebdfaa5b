"""A value with its 95 % interval, from the scores of a few runs.

Scores are arrays (R, K) with a row per run (seed) and a column per task. With fewer than `MIN_RUNS` runs there is no
interval, because two seeds do not show their spread.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special  # not scipy.stats, whose import takes a second of the start of every training run

Array = NDArray[np.float64]

MIN_RUNS = 3
"""The smallest number of runs for an interval."""
FEW_RUNS = 5
"""With fewer runs than this, an interval is too narrow to be reliable."""
LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A value, its 95 % interval, and the number of runs behind it."""

    value: float
    low: float | None
    high: float | None
    runs: int

    @property
    def interval(self) -> tuple[float, float] | None:
        """The ends of the interval; None with too few runs."""
        return None if self.low is None or self.high is None else (self.low, self.high)

    def __str__(self) -> str:
        if self.interval is None:
            return f"{self.value:.3f} (no interval: {count_seeds(self.runs)})"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def count_seeds(runs: int) -> str:
    """Describe the number of runs, and the number needed for an interval."""
    words = "1 seed" if runs == 1 else f"{runs} seeds"
    return words if runs >= MIN_RUNS else f"{words}, an interval needs {MIN_RUNS}"


def task_rates(scores: Array, episodes: int) -> list[Estimate]:
    """The success rate of each task over R runs of `episodes` episodes, with Wilson's interval.

    Episodes of one run are not independent because they share a policy. Wilson's score interval is therefore computed
    for the effective number of episodes, R * episodes / d, where the design effect d >= 1 is the variance of the runs'
    rates relative to that of independent episodes (Rao and Scott, Biometrics 1992). Unlike a bootstrap of the runs, it
    has a nonzero width if all episodes succeed or all fail.
    """
    return [_task_rate(column, episodes) for column in scores.T]


def _task_rate(rates: Array, episodes: int) -> Estimate:
    runs, rate = len(rates), float(rates.mean())
    if runs < MIN_RUNS:
        return Estimate(rate, None, None, runs)
    independent = rate * (1 - rate) / episodes
    effect = max(1.0, float(rates.var(ddof=1)) / independent) if independent > 0 else 1.0
    low, high = wilson(rate, runs * episodes / effect)
    return Estimate(rate, low, high, runs)


def wilson(rate: float, trials: float) -> tuple[float, float]:
    """Wilson's score interval (JASA 1927) of a success rate over `trials` independent trials."""
    z = float(special.ndtri((1 + LEVEL) / 2))
    shrink = 1 + z * z / trials
    centre = (rate + z * z / (2 * trials)) / shrink
    half = z / shrink * np.sqrt(rate * (1 - rate) / trials + z * z / (4 * trials * trials))
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def task_means(scores: Array) -> list[Estimate]:
    """The mean of each task's scores of any scale, such as returns, over R runs, with Student's t interval."""
    return [of_values(column) for column in scores.T]


def of_values(values: Array) -> Estimate:
    """The mean of R values, (R,), with Student's t interval."""
    deviation = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    return student(float(values.mean()), deviation, len(values))


def student(mean: float, deviation: float, count: int) -> Estimate:
    """The mean of `count` independent values with Student's t interval.

    Args:
        mean: mean of the values.
        deviation: standard deviation of the values, with count - 1 as the divisor.
        count: number of values; fewer than `MIN_RUNS` give no interval.
    """
    if count < MIN_RUNS:
        return Estimate(mean, None, None, count)
    half = t_limit(count) * deviation / math.sqrt(count)
    return Estimate(mean, mean - half, mean + half, count)


def t_limit(count: int) -> float:
    """Return the end of Student's t interval for `count` values, in standard errors."""
    return float(special.stdtrit(count - 1, (1 + LEVEL) / 2))
