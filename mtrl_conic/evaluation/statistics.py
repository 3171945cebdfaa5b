"""Statistics of a few runs: aggregates over runs and tasks with intervals.

Scores are arrays (R, K) of success rates in [0, 1], with a row per run (seed) and a column per task. Aggregates also
accept (..., R, K) and work on the last two axes.

Intervals have a level of 95 %. With fewer than `MIN_RUNS` runs there is none, because two seeds do not show their
spread. The bootstrap is stratified (Agarwal et al., NeurIPS 2021, section 4): a resample draws R of the R scores of
each task, separately for each task and with replacement. The statistic is computed on `resamples` such arrays, and the
interval is given by its percentiles 2.5 and 97.5. Tasks are not resampled, because the task set is fixed and not a
sample of tasks. Drawing per task assumes that the tasks of a run are independent. If a run is good or bad on all its
tasks at once, `whole_runs=True` draws rows instead of single scores and gives wider intervals.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from mtrl_conic.evaluation.estimates import LEVEL, MIN_RUNS, Array, Estimate
from mtrl_conic.evaluation.ties import without_rounding

Statistic = Callable[..., Array]
"""A function of one or more score arrays (..., R, K) that returns an array (...)."""

RESAMPLES = 2000


# Aggregates.


def mean(scores: Array) -> Array:
    """Mean over runs and tasks."""
    return np.asarray(scores.mean((-2, -1)))


def iqm(scores: Array) -> Array:
    """Interquartile mean: of all R x K scores together, the middle half (Agarwal et al., section 4.2)."""
    return np.asarray(stats.trim_mean(scores.reshape(*scores.shape[:-2], -1), 0.25, axis=-1))


def optimality_gap(scores: Array, target: float = 1.0) -> Array:
    """Mean difference of the scores to `target`; scores above it do not compensate for others."""
    return np.asarray((target - np.minimum(scores, target)).mean((-2, -1)))


def worst_tasks(scores: Array, count: int) -> Array:
    """Mean over the `count` tasks whose means over runs are lowest."""
    return np.asarray(np.sort(scores.mean(-2), axis=-1)[..., :count].mean(-1))


def probability_of_improvement(ours: Array, theirs: Array) -> Array:
    """Probability that a run of ours has a higher score than one of theirs on a task; ties count half; mean over tasks.

    All pairs of runs of the task are compared (Mann-Whitney; Agarwal et al., section 4.3), so the two arrays
    (..., R, K) and (..., R', K) may have different numbers of runs.
    """
    difference = ours[..., :, None, :] - theirs[..., None, :, :]
    return np.asarray((np.sign(difference) / 2 + 0.5).mean((-3, -2, -1)))


def ranks(values: Array) -> Array:
    """Ranks of M methods on each task, 1 for the highest value; ties share ranks.

    Args:
        values: (..., M, K).
    """
    return np.asarray(stats.rankdata(-without_rounding(values, axis=-2), axis=-2))


def mean_ranks(*scores: Array) -> Array:
    """Return the mean over tasks of each method's rank by its mean over runs, (..., M).

    Args:
        scores: scores of M methods, (..., R_m, K) each; the tasks may have different scales.
    """
    return np.asarray(ranks(np.stack([of.mean(-2) for of in scores], axis=-2)).mean(-1))


# Intervals.


def bootstrap(
    statistic: Statistic, *scores: Array, seed: int, resamples: int = RESAMPLES, whole_runs: bool = False
) -> Estimate:
    """Compute a statistic of one or more score arrays with its stratified bootstrap interval (see the module).

    Args:
        statistic: function of the given number of arrays, each (..., R, K).
        scores: (R, K) each; several arrays are resampled independently.
        seed: seed of the resampling; the same seed gives the same interval.
        resamples: number of resamples.
        whole_runs: whether to draw runs with all their tasks instead of scores within each task.
    """
    (estimate,) = _bootstrap(
        lambda *of: statistic(*of)[..., None], *scores, seed=seed, resamples=resamples, whole_runs=whole_runs
    )
    return estimate


def bootstrap_ranks(*scores: Array, seed: int, resamples: int = RESAMPLES) -> list[Estimate]:
    """Compute the mean rank of each of M methods with its stratified bootstrap interval.

    Args:
        scores: scores of the methods, (R_m, K) each; they are resampled independently.
        seed: seed of the resampling.
        resamples: number of resamples.
    """
    return _bootstrap(mean_ranks, *scores, seed=seed, resamples=resamples, whole_runs=False)


def _bootstrap(statistic: Statistic, *scores: Array, seed: int, resamples: int, whole_runs: bool) -> list[Estimate]:
    """Return an estimate for each entry of a statistic with values (..., S) for score arrays (..., R, K)."""
    values, runs = statistic(*scores), min(len(array) for array in scores)
    if runs < MIN_RUNS:
        return [Estimate(float(value), None, None, runs) for value in values]
    generator = np.random.default_rng(seed)
    drawn = statistic(*(_resampled(array, resamples, generator, whole_runs) for array in scores))
    low, high = _percentiles(drawn)
    return [Estimate(float(value), float(a), float(b), runs) for value, a, b in zip(values, low, high, strict=True)]


def _resampled(scores: Array, resamples: int, generator: np.random.Generator, whole_runs: bool) -> Array:
    """Draw resampled scores, (resamples, R, K)."""
    runs, tasks = scores.shape
    rows = generator.integers(runs, size=(resamples, runs, 1 if whole_runs else tasks))
    return scores[rows, np.arange(tasks)]


def _percentiles(drawn: Array) -> Array:
    """Return the ends of the interval, (2, ...), from the statistics of the resamples, (resamples, ...)."""
    tail = (1 - LEVEL) / 2
    return np.asarray(np.quantile(drawn, [tail, 1 - tail], axis=0))


@dataclass(frozen=True)
class Profile:
    """The share of scores above each threshold, (T,), and its band; None with too few runs."""

    thresholds: Array
    share: Array
    low: Array | None
    high: Array | None


def performance_profile(scores: Array, thresholds: Array, *, seed: int, resamples: int = RESAMPLES) -> Profile:
    """Compute the share of the R x K scores strictly above each threshold (Agarwal et al., section 4.2).

    The band is a pointwise stratified bootstrap interval.
    """

    def share(of: Array) -> Array:
        return np.stack([(of > threshold).mean((-2, -1)) for threshold in thresholds], axis=-1)

    if len(scores) < MIN_RUNS:
        return Profile(thresholds, share(scores), None, None)
    low, high = _percentiles(share(_resampled(scores, resamples, np.random.default_rng(seed), whole_runs=False)))
    return Profile(thresholds, share(scores), low, high)
