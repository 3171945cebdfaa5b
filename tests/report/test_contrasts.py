"""Tests of contrasts: p-values against SciPy, Holm's correction, and the first sentence of a report."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from mtrl_conic.evaluation import differences, statistics
from mtrl_conic.evaluation.estimates import Estimate
from mtrl_conic.report.contrasts import Contrast, result
from mtrl_conic.report.page import as_markdown, html
from mtrl_conic.report.reinforcement.report import make_report

from .conftest import load, results, write_run


def test_the_p_value_of_pairs_is_students() -> None:
    generator = np.random.default_rng(0)
    ours, theirs = generator.uniform(size=(2, 6, 4))
    expected = stats.ttest_rel(ours.mean(1), theirs.mean(1)).pvalue
    assert differences.paired_p(ours, theirs) == pytest.approx(expected)
    assert differences.paired_p(ours, ours) == 1
    assert differences.paired_p(ours + 0.25, ours) == pytest.approx(0, abs=1e-6), "the same difference on every seed"
    assert differences.paired_p(ours[:2], theirs[:2]) == 1, "two pairs say nothing"


def test_equal_means_in_another_order_are_no_difference() -> None:
    """The sums of .1, .2, .3 and of .3, .2, .1 differ in their last digit."""
    rates = np.array([0.1, 0.2, 0.3])
    assert rates.mean() != rates[::-1].mean()
    ours, theirs = np.tile(rates, (5, 1)), np.tile(rates[::-1], (5, 1))
    found = differences.paired_difference(ours, theirs)
    assert (found.value, differences.paired_p(ours, theirs), differences.pairs_needed(found)) == (0, 1, None)
    returns = differences.paired_difference(ours * 1e6, theirs * 1e6)
    assert returns.value == 0
    close = differences.paired_difference(ours + 1e-6, theirs)
    assert close.value == pytest.approx(1e-6), "a difference that is not rounding stays"


def test_the_p_value_of_permutations_counts_them_all() -> None:
    generator = np.random.default_rng(1)
    ours, theirs = generator.normal(1, 1, (4, 3)), generator.normal(0, 1, (5, 3))
    both = np.concatenate([ours, theirs])
    seen = abs(statistics.probability_of_improvement(ours, theirs) - 0.5)
    extreme = []
    for chosen in itertools.combinations(range(9), 4):
        rest = [place for place in range(9) if place not in chosen]
        other = statistics.probability_of_improvement(both[list(chosen)], both[rest])
        extreme.append(abs(other - 0.5) >= seen - 1e-12)
    assert differences.permutation_p(ours, theirs, seed=0) == pytest.approx(np.mean(extreme))
    best, worst = np.ones((3, 2)), np.zeros((3, 2))
    assert differences.permutation_p(best, worst, seed=0) == pytest.approx(2 / 20), "the least that three runs allow"
    many = np.arange(20.0)[:, None]
    assert differences.permutation_p(many + 100, many, seed=0, most=500) == pytest.approx(1 / 500)


def test_holm() -> None:
    assert differences.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert differences.holm([0.5, 0.9]) == [1.0, 1.0]
    assert differences.holm([]) == []


def contrast(method: str, difference: float, p: float, runs: int = 5) -> Contrast:
    return Contrast(method, None, Estimate(difference, None, None, runs), runs, p, runs)


def test_the_sentence_parts_what_is_supported_from_what_is_not() -> None:
    found = [contrast("a", 0.1, 0.01), contrast("b", -0.2, 0.001), contrast("c", 0.3, 0.2)]
    level = "(95 %, corrected for 3 comparisons)"
    assert result(found, "ls", "the mean success", runs="seeds") == (
        f"These runs support a difference from ls in the mean success {level}: higher for a (by +0.100) and lower for "
        "b (by -0.200). They support none for c."
    )
    few = [contrast("a", 0.5, 0.001, runs=4), contrast("b", 0.1, 0.9, runs=2)]
    assert result(few, "ls", "the mean success", runs="paired seeds") == (
        "These runs are too few to support a difference between methods: at least 5 paired seeds are needed, and there "
        "are 4."
    )
    mixed = result([contrast("a", 0.5, 0.001, runs=4), contrast("b", 0.5, 0.001)], "ls", "the return", runs="seeds")
    assert "higher for b (by +0.500). They support none for a." in mixed
    assert result([contrast("a", 0.5, 0.5)], "ls", "the return", runs="seeds") == (
        "These runs support no difference from ls in the return (95 %)."
    )
    assert "nothing to compare" in result([], "ls", "the return", runs="seeds")


def test_the_page_begins_with_the_result(folder: Path, tmp_path: Path) -> None:
    report = make_report(load(folder))
    assert report.result.startswith(
        "These runs are too few to support a difference between methods: at least 5 paired seeds"
    )
    page = html(report)
    order = [page.index(words) for words in ("</h1>", report.result, 'class="warning"', "<nav")]
    assert order == sorted(order)
    assert as_markdown(report).splitlines()[2] == report.result

    for balancer in ("ls", "conicgrad"):
        for seed in range(5):
            write_run(tmp_path / "five" / balancer / f"seed_{seed}", balancer, seed)
    report = make_report(load(tmp_path / "five"))
    found = results(tmp_path / "five")
    gain = np.subtract(*([run["mean_success"] for run in found[name]] for name in ("conicgrad", "ls")))
    p = stats.ttest_1samp(gain, 0).pvalue
    assert p < 0.05
    assert report.result == (
        "These runs support a difference from ls in the mean success (95 %): "
        f"higher for conicgrad (by {gain.mean():+.3f})."
    )
    against = next(table for table in report.first if table.name == "against")
    assert against.rows[0][-1] == (f"{p:.3f}" if p >= 0.001 else "< 0.001")
