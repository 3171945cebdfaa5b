"""Differences between two methods over seeds: intervals, p-values and power."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Sequence

import numpy as np
from scipy import optimize, stats

from mtrl_conic.evaluation.estimates import MIN_RUNS, Array, Estimate, of_values, t_limit
from mtrl_conic.evaluation.statistics import RESAMPLES, probability_of_improvement
from mtrl_conic.evaluation.ties import without_rounding

POWER = 0.8
"""The probability with which a comparison of sufficient size finds a difference."""
MOST_RUNS = 1000
"""The largest number of runs for which the power is computed."""


def paired_difference(ours: Array, theirs: Array) -> Estimate:
    """Mean over seeds of (our mean over tasks - their mean over tasks), with Student's t interval.

    Args:
        ours: (R, K).
        theirs: (R, K), with row i from the same seed as row i of ours, so that goals and initial parameters are equal
            and their common effect cancels out.
    """
    return of_values(_differences(ours, theirs))


def paired_p(ours: Array, theirs: Array) -> float:
    """Two-sided p-value of `paired_difference`, by Student's t; 1 with fewer than `MIN_RUNS` seeds."""
    differences = _differences(ours, theirs)
    if len(differences) < MIN_RUNS or not differences.any():
        return 1.0
    error = float(differences.std(ddof=1)) / math.sqrt(len(differences))
    return float(2 * stats.t.sf(abs(differences.mean()) / error, len(differences) - 1)) if error > 0 else 0.0


def _differences(ours: Array, theirs: Array) -> Array:
    """Return the difference (R,) of the means over tasks; that of equal means is zero."""
    mine, others = without_rounding(np.stack([ours.mean(1), theirs.mean(1)]), axis=0)
    return np.asarray(mine - others)


def paired_power(difference: float, deviation: float, count: int) -> float:
    """Return the probability that Student's paired test finds a difference, at a level of 95 %, two-sided.

    Args:
        difference: true mean of the differences.
        deviation: standard deviation of the differences, positive.
        count: number of pairs, at least 2.
    """
    limit = t_limit(count)
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
    return (found.high - found.value) * math.sqrt(found.runs) / t_limit(found.runs)


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
