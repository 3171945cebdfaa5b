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

import bisect
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

Array = NDArray[np.float64]
Statistic = Callable[..., Array]
"""A function of one or more score arrays (..., R, K) that returns an array (...)."""

MIN_RUNS = 3
"""The smallest number of runs for an interval."""
FEW_RUNS = 5
"""With fewer runs than this, an interval is too narrow to be reliable."""
LEVEL = 0.95
POWER = 0.8
"""The probability with which a comparison of sufficient size finds a difference."""
MOST_RUNS = 1000
"""The largest number of runs for which the power is computed."""
RESAMPLES = 2000


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
    return np.asarray(stats.rankdata(-values, axis=-2))


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
    z = float(stats.norm.ppf((1 + LEVEL) / 2))
    shrink = 1 + z * z / trials
    centre = (rate + z * z / (2 * trials)) / shrink
    half = z / shrink * np.sqrt(rate * (1 - rate) / trials + z * z / (4 * trials * trials))
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def paired_difference(ours: Array, theirs: Array) -> Estimate:
    """Mean over seeds of (our mean over tasks - their mean over tasks), with Student's t interval.

    Args:
        ours: (R, K).
        theirs: (R, K), with row i from the same seed as row i of ours, so that goals and initial parameters are equal
            and their common effect cancels out.
    """
    return _student_of(ours.mean(1) - theirs.mean(1))


def paired_p(ours: Array, theirs: Array) -> float:
    """Two-sided p-value of `paired_difference`, by Student's t; 1 with fewer than `MIN_RUNS` seeds."""
    differences = ours.mean(1) - theirs.mean(1)
    if len(differences) < MIN_RUNS or not differences.any():
        return 1.0
    error = float(differences.std(ddof=1)) / math.sqrt(len(differences))
    return float(2 * stats.t.sf(abs(differences.mean()) / error, len(differences) - 1)) if error > 0 else 0.0


def paired_power(difference: float, deviation: float, count: int) -> float:
    """Return the probability that Student's paired test finds a difference, at a level of 95 %, two-sided.

    Args:
        difference: true mean of the differences.
        deviation: standard deviation of the differences, positive.
        count: number of pairs, at least 2.
    """
    limit = stats.t.ppf((1 + LEVEL) / 2, count - 1)
    shift = abs(difference) * math.sqrt(count) / deviation
    opposite = np.nan_to_num(stats.nct.cdf(-limit, count - 1, shift))  # SciPy returns NaN where it all but vanishes
    return float(stats.nct.sf(limit, count - 1, shift) + opposite)


def detectable_difference(found: Estimate) -> float | None:
    """Return the smallest difference that as many pairs find with a power of `POWER`; None without an interval.

    Args:
        found: a paired difference, whose deviation is taken for the true one.
    """
    deviation = _deviation(found)
    if deviation is None:
        return None

    def lacking(effect: float) -> float:
        return paired_power(effect, 1.0, found.runs) - POWER

    largest = 1.0
    while lacking(largest) < 0:
        largest *= 2
    return deviation * float(optimize.brentq(lacking, 0.0, largest))


def pairs_needed(found: Estimate) -> int | None:
    """Return how many pairs find this difference with a power of `POWER`; None without interval or difference.

    Args:
        found: a paired difference; it and its deviation are taken for the true ones.

    Returns:
        The number of pairs, or `MOST_RUNS + 1` if it is larger than `MOST_RUNS`.
    """
    deviation = _deviation(found)
    if deviation is None or found.value == 0:
        return None
    if deviation == 0:
        return MIN_RUNS
    return MIN_RUNS + bisect.bisect_left(
        range(MIN_RUNS, MOST_RUNS + 1), POWER, key=lambda count: paired_power(found.value, deviation, count)
    )


def _deviation(found: Estimate) -> float | None:
    """Return the standard deviation behind the interval of `student`."""
    if found.high is None:
        return None
    return (found.high - found.value) * math.sqrt(found.runs) / float(stats.t.ppf((1 + LEVEL) / 2, found.runs - 1))


def permutation_p(ours: Array, theirs: Array, *, seed: int, most: int = RESAMPLES) -> float:
    """Two-sided p-value of `probability_of_improvement`, by permuting which runs are ours.

    All ways to choose our runs among both are used, or `most` random ones if there are more. With three runs of each
    there are so few ways that no p-value is below 0.1.

    Args:
        ours: (R, K).
        theirs: (R', K).
        seed: seed of the random choices.
        most: largest number of ways.
    """
    both, count = np.concatenate([ours, theirs]), len(ours)
    if math.comb(len(both), count) <= most:
        chosen = np.array(list(itertools.combinations(range(len(both)), count)))
    else:
        generator = np.random.default_rng(seed)
        chosen = generator.permuted(np.tile(np.arange(len(both)), (most, 1)), axis=1)[:, :count]
        chosen[0] = np.arange(count)
    left = np.array([np.setdiff1d(np.arange(len(both)), row) for row in chosen])
    extreme = np.abs(probability_of_improvement(both[chosen], both[left]) - 0.5)
    return float((extreme >= abs(probability_of_improvement(ours, theirs) - 0.5) - 1e-12).mean())


def holm(values: Sequence[float]) -> list[float]:
    """P-values of several comparisons, corrected for their number (Holm, Scand. J. Stat. 1979)."""
    count, largest, corrected = len(values), 0.0, [0.0] * len(values)
    for rank, place in enumerate(np.argsort(values)):
        largest = max(largest, min(1.0, (count - rank) * values[place]))
        corrected[place] = largest
    return corrected


def task_means(scores: Array) -> list[Estimate]:
    """The mean of each task's scores of any scale, such as returns, over R runs, with Student's t interval."""
    return [_student_of(column) for column in scores.T]


def student(mean: float, deviation: float, count: int) -> Estimate:
    """The mean of `count` independent values with Student's t interval.

    Args:
        mean: mean of the values.
        deviation: standard deviation of the values, with count - 1 as the divisor.
        count: number of values; fewer than `MIN_RUNS` give no interval.
    """
    if count < MIN_RUNS:
        return Estimate(mean, None, None, count)
    half = float(stats.t.ppf((1 + LEVEL) / 2, count - 1)) * deviation / math.sqrt(count)
    return Estimate(mean, mean - half, mean + half, count)


def _student_of(values: Array) -> Estimate:
    deviation = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    return student(float(values.mean()), deviation, len(values))


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
