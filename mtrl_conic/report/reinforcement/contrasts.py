"""Comparison of every method with a baseline, by one measure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mtrl_conic.evaluation import differences, statistics
from mtrl_conic.evaluation.statistics import bootstrap
from mtrl_conic.report.contrasts import Contrast, with_holm
from mtrl_conic.report.reinforcement.measures import Measure
from mtrl_conic.report.reinforcement.source import Comparison, Method


def contrasts(comparison: Comparison, measure: Measure, base: str, seed: int) -> list[Contrast]:
    """Compare every other method with `base`, in the order of the methods.

    Args:
        comparison: the runs.
        measure: the measure by which they are compared.
        base: label of a method that has finished runs.
        seed: seed of the bootstrap.
    """
    held = next(method for method in comparison.compared if method.label == base)
    found = [_contrast(measure, method, held, seed) for method in comparison.compared if method is not held]
    return with_holm(found)


def _contrast(measure: Measure, method: Method, base: Method, seed: int) -> Contrast:
    final, of_base = measure.final(method), measure.final(base)
    chance = bootstrap(statistics.probability_of_improvement, final, of_base, seed=seed)
    pairs = len(set(method.seeds) & set(base.seeds))
    if not measure.combines:
        p = differences.permutation_p(final, of_base, seed=seed)
        return Contrast(method.label, chance, None, pairs, p, min(len(final), len(of_base)))
    ours, theirs = _paired(measure, method, base), _paired(measure, base, method)
    difference = differences.paired_difference(ours, theirs) if pairs else None
    return Contrast(method.label, chance, difference, pairs, differences.paired_p(ours, theirs), pairs)


def _paired(measure: Measure, method: Method, other: Method) -> NDArray[np.float64]:
    """Return the final evaluations (S, K) of a method on the seeds that both methods have."""
    rows = [row for seed, row in zip(method.seeds, measure.final(method), strict=True) if seed in other.seeds]
    return np.array(rows).reshape(-1, len(measure.tasks))
