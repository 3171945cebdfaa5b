"""Tests of statistics of runs against enumeration of every resample, closed forms and published runs."""

from __future__ import annotations

import itertools
import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mtrl_conic.evaluation import curves, differences, estimates, statistics
from mtrl_conic.evaluation.estimates import Array
from mtrl_conic.evaluation.statistics import Statistic, bootstrap

TINY = np.array([[0.0, 0.5], [0.2, 0.9], [1.0, 0.6]])
RATES = arrays(np.float64, (4, 5), elements=st.floats(0, 1))


def every_resample(scores: Array, statistic: Statistic, *, whole_runs: bool) -> Array:
    """Return the statistic of each equally likely resample: (R^R)^K within tasks, R^R of whole runs."""
    runs, tasks = scores.shape
    draws = [list(draw) for draw in itertools.product(range(runs), repeat=runs)]
    if whole_runs:
        return np.array([float(statistic(scores[draw])) for draw in draws])
    columns = [[scores[draw, task] for draw in draws] for task in range(tasks)]
    return np.array([float(statistic(np.stack(chosen, axis=1))) for chosen in itertools.product(*columns)])


def test_aggregates_by_hand() -> None:
    assert float(statistics.mean(TINY)) == pytest.approx(3.2 / 6)
    # Of six scores int(6 / 4) = 1 is dropped at each end.
    assert float(statistics.iqm(TINY)) == pytest.approx((0.2 + 0.5 + 0.6 + 0.9) / 4)
    assert float(statistics.optimality_gap(TINY)) == pytest.approx(1 - 3.2 / 6)
    assert float(statistics.optimality_gap(TINY, target=0.6)) == pytest.approx((0.6 + 0.1 + 0.4) / 6)
    assert float(statistics.worst_tasks(TINY, 1)) == pytest.approx(0.4)
    assert float(statistics.worst_tasks(TINY, 2)) == pytest.approx(float(statistics.mean(TINY)))


@pytest.mark.parametrize("whole_runs", [False, True])
@pytest.mark.parametrize(
    "statistic",
    [statistics.mean, statistics.iqm, statistics.optimality_gap, partial(statistics.worst_tasks, count=1)],
)
def test_bootstrap_is_the_enumeration(statistic: Statistic, whole_runs: bool) -> None:
    exact = every_resample(TINY, statistic, whole_runs=whole_runs)
    estimate = bootstrap(statistic, TINY, seed=1, resamples=40_000, whole_runs=whole_runs)
    assert estimate.value == float(statistic(TINY))
    assert estimate.interval is not None
    same_interval(estimate.interval, exact)


def same_interval(interval: tuple[float, float], exact: Array) -> None:
    """Check the ends of an interval against the enumeration at nearly the same percentile: the values are discrete."""
    for end, tail in zip(interval, (0.025, 0.975), strict=True):
        below, above = np.quantile(exact, [max(tail - 0.005, 0), min(tail + 0.005, 1)], method="inverted_cdf")
        assert below - 1e-12 <= end <= above + 1e-12


def test_bootstrap_of_two_methods_is_the_enumeration() -> None:
    ours, theirs = np.array([[0.2], [0.7], [0.9]]), np.array([[0.1], [0.7], [0.8]])
    draws = [list(draw) for draw in itertools.product(range(3), repeat=3)]
    chance = statistics.probability_of_improvement
    exact = np.array([float(chance(ours[a], theirs[b])) for a in draws for b in draws])
    estimate = bootstrap(chance, ours, theirs, seed=1, resamples=40_000)
    assert estimate.interval is not None
    same_interval(estimate.interval, exact)


def share_above(threshold: float, scores: Array) -> Array:
    return np.asarray((scores > threshold).mean())


def test_the_band_of_a_profile_is_the_enumeration() -> None:
    thresholds = np.array([0.1, 0.55, 0.95])
    profile = statistics.performance_profile(TINY, thresholds, seed=1, resamples=40_000)
    assert profile.low is not None
    assert profile.high is not None
    for place, threshold in enumerate(thresholds):
        exact = every_resample(TINY, partial(share_above, threshold), whole_runs=False)
        same_interval((float(profile.low[place]), float(profile.high[place])), exact)


def test_bootstrap_of_the_mean_has_its_closed_form() -> None:
    """The variance of the mean of a stratified resample is the sum of the tasks' (1/n) variances over R K^2."""
    scores = np.random.default_rng(0).uniform(size=(8, 6))
    drawn = statistics._resampled(scores, 60_000, np.random.default_rng(1), whole_runs=False)
    expected = scores.var(0).sum() / (8 * 6**2)
    assert float(statistics.mean(drawn).var()) == pytest.approx(expected, rel=0.03)
    assert drawn[:, :, 2].min() >= scores[:, 2].min(), "a task's scores stay with their task"


def test_the_seed_decides() -> None:
    first, again, other = (bootstrap(statistics.mean, TINY, seed=seed, resamples=50) for seed in (3, 3, 4))
    assert first == again
    assert first.interval != other.interval


def test_runs_that_rise_and_fall_together_are_wider_as_whole_runs() -> None:
    scores = np.repeat([[0.1], [0.5], [0.9], [0.4]], 10, axis=1)
    within = bootstrap(statistics.mean, scores, seed=0)
    whole = bootstrap(statistics.mean, scores, seed=0, whole_runs=True)
    assert within.low is not None
    assert whole.low is not None
    assert within.high is not None
    assert whole.high is not None
    assert whole.high - whole.low > 2 * (within.high - within.low)


@pytest.mark.parametrize("runs", [1, 2])
def test_too_few_runs_have_no_interval_and_the_words_say_so(runs: int) -> None:
    few = TINY[:runs]
    found = [
        bootstrap(statistics.mean, few, seed=0),
        bootstrap(statistics.probability_of_improvement, TINY, few, seed=0),
        differences.paired_difference(few, few[::-1]),
        *estimates.task_rates(few, 10),
    ]
    for estimate in found:
        assert estimate.interval is None
        assert "an interval needs 3" in str(estimate)
    profile = statistics.performance_profile(few, np.array([0.5]), seed=0)
    assert profile.low is None
    assert profile.high is None
    assert "[" in str(bootstrap(statistics.mean, TINY, seed=0))


def test_probability_of_improvement_is_the_count_of_pairs() -> None:
    theirs = np.array([[0.0, 0.6], [0.3, 0.6], [0.2, 0.1], [1.0, 0.7]])
    wins = [
        1.0 if a > b else 0.5 if a == b else 0.0 for task in range(2) for a in TINY[:, task] for b in theirs[:, task]
    ]
    assert float(statistics.probability_of_improvement(TINY, theirs)) == pytest.approx(np.mean(wins))


def resampled_means(scores: Array) -> Array:
    """Return (resamples, K): the means of the tasks in every resample of three runs of two tasks."""
    draws = [scores[list(draw)].mean(0) for draw in itertools.product(range(3), repeat=3)]
    return np.array([[one[0], other[1]] for one in draws for other in draws])


def test_mean_ranks_are_counted_and_their_intervals_enumerated() -> None:
    better = np.array([[0.3, 0.4], [0.9, 0.5], [0.4, 0.9]])
    counted = counted_ranks([better, TINY, TINY])
    assert statistics.mean_ranks(better, TINY, TINY).tolist() == pytest.approx(counted.tolist())
    ours, theirs = statistics.bootstrap_ranks(better, TINY, seed=1, resamples=40_000)
    assert [ours.value, theirs.value] == pytest.approx(counted_ranks([better, TINY]).tolist())
    sign = np.sign(resampled_means(TINY)[None].round(9) - resampled_means(better)[:, None].round(9))
    assert ours.interval is not None
    same_interval(ours.interval, (1.5 + sign / 2).mean(-1).ravel())
    assert [estimate.interval for estimate in statistics.bootstrap_ranks(better, TINY[:2], seed=1)] == [None, None]


def counted_ranks(scores: list[Array]) -> Array:
    """Return mean ranks: one plus the number of methods better on a task, and a half for each other equal one."""
    means = np.stack([of.mean(0) for of in scores])
    ranks = [[1 + (column > v).sum() + ((column == v).sum() - 1) / 2 for v in column] for column in means.T]
    return np.array(ranks).mean(0)


@given(RATES, RATES)
def test_improvement_one_way_is_no_improvement_the_other(ours: Array, theirs: Array) -> None:
    there, back = (
        statistics.probability_of_improvement(ours, theirs),
        statistics.probability_of_improvement(theirs, ours),
    )
    assert float(there + back) == pytest.approx(1)


@given(RATES)
def test_aggregates_lie_among_the_scores(scores: Array) -> None:
    assert scores.min() - 1e-12 <= float(statistics.iqm(scores)) <= scores.max() + 1e-12
    assert float(statistics.worst_tasks(scores, 2)) <= float(statistics.mean(scores)) + 1e-12
    assert float(statistics.optimality_gap(scores)) == pytest.approx(1 - float(statistics.mean(scores)))


def test_wilson_against_scipy() -> None:
    from scipy.stats import binomtest

    for successes, trials in ((0, 50), (7, 50), (25, 50), (50, 50)):
        expected = binomtest(successes, trials).proportion_ci(method="wilson")
        assert estimates.wilson(successes / trials, trials) == pytest.approx((expected.low, expected.high))


def test_runs_that_disagree_widen_a_tasks_interval() -> None:
    # Four runs of 50 episodes have rate 0.5 in both columns, but the runs agree only in the first.
    agreeing, disagreeing = estimates.task_rates(np.array([[0.5, 0.0], [0.5, 1.0], [0.5, 1.0], [0.5, 0.0]]), 50)
    assert agreeing.interval == pytest.approx(estimates.wilson(0.5, 200))
    # The variance between runs is 1/3; that of independent episodes is 0.25 / 50.
    assert disagreeing.interval == pytest.approx(estimates.wilson(0.5, 200 / (1 / 3 / 0.005)))
    (never,) = estimates.task_rates(np.zeros((3, 1)), 50)
    assert never.interval == pytest.approx(estimates.wilson(0, 150))
    assert never.high is not None
    assert never.high > 0


def test_paired_difference_against_scipy() -> None:
    from scipy.stats import ttest_rel

    generator = np.random.default_rng(0)
    shared = generator.uniform(0, 0.5, size=(5, 1))
    ours, theirs = shared + generator.uniform(0.1, 0.2, (5, 4)), shared + generator.uniform(0, 0.1, (5, 4))
    expected = ttest_rel(ours.mean(1), theirs.mean(1)).confidence_interval(0.95)
    estimate = differences.paired_difference(ours, theirs)
    assert estimate.interval == pytest.approx((expected.low, expected.high))
    assert estimate.value == pytest.approx((ours - theirs).mean())


@pytest.mark.parametrize(("effect", "pairs"), [(0.5, 34), (0.8, 15), (1.0, 10)])
def test_pairs_needed_are_those_of_the_textbook(effect: float, pairs: int) -> None:
    """Tables of the paired t test give these sizes for a power of 80 % at 5 %, two-sided (Cohen, 1988)."""
    for runs in (3, 20):
        found = estimates.student(effect * 2.5, 2.5, runs)
        assert differences.pairs_needed(found) == pairs
        assert differences.pairs_needed(estimates.student(-effect * 2.5, 2.5, runs)) == pairs
    detectable = differences.detectable_difference(estimates.student(0.1, 2.5, pairs))
    assert detectable is not None
    assert differences.paired_power(detectable, 2.5, pairs) == pytest.approx(differences.POWER, abs=1e-4)
    assert detectable / 2.5 == pytest.approx(effect, rel=0.03), "the next smaller number of pairs would need more"


def test_power_is_the_share_of_tests_that_find_the_difference() -> None:
    from scipy.stats import ttest_1samp

    drawn = np.random.default_rng(0).normal(0.12, 0.1, (20_000, 5))
    share = (ttest_1samp(drawn, 0, axis=1).pvalue < 0.05).mean()
    assert differences.paired_power(0.12, 0.1, 5) == pytest.approx(share, abs=0.01)


def test_power_at_its_limits() -> None:
    assert differences.detectable_difference(estimates.student(0.1, 0.2, 2)) is None
    assert differences.pairs_needed(estimates.student(0.1, 0.2, 2)) is None
    assert differences.pairs_needed(estimates.student(0.0, 0.2, 5)) is None
    assert differences.pairs_needed(estimates.student(0.1, 0.0, 5)) == estimates.MIN_RUNS
    assert differences.detectable_difference(estimates.student(0.1, 0.0, 5)) == 0
    assert differences.pairs_needed(estimates.student(1e-4, 1.0, 5)) == differences.MOST_RUNS + 1
    assert differences.pairs_needed(estimates.student(1.0, 1e-9, 5)) == estimates.MIN_RUNS
    for runs in (3, 10, 100, 1000):
        found = differences.detectable_difference(estimates.student(0.1, 0.2, runs))
        assert found is not None
        assert 0.01 < found < 0.7


def test_task_means_against_scipy() -> None:
    from scipy.stats import ttest_1samp

    returns = np.random.default_rng(0).normal([-200, 3000], [30, 400], (5, 2))
    for column, estimate in zip(returns.T, estimates.task_means(returns), strict=True):
        expected = ttest_1samp(column, 0).confidence_interval(0.95)
        assert estimate.value == pytest.approx(column.mean())
        assert estimate.interval == pytest.approx((expected.low, expected.high))
    assert [estimate.interval for estimate in estimates.task_means(returns[:2])] == [None, None]
    assert estimates.task_means(returns[:1])[0].value == returns[0, 0]


def test_profile_counts_what_is_above() -> None:
    profile = statistics.performance_profile(TINY, np.array([0.0, 0.2, 0.55, 1.0]), seed=0)
    assert profile.share.tolist() == pytest.approx([5 / 6, 4 / 6, 3 / 6, 0])
    assert profile.low is not None
    assert profile.high is not None
    assert (profile.low <= profile.share).all()
    assert (profile.share <= profile.high).all()


def test_which_checkpoint() -> None:
    curve = np.array([[0.0, 0.0], [0.9, 0.7], [0.5, 1.0], [0.4, 0.6]])
    assert curves.final(curve).tolist() == [0.4, 0.6]
    assert curves.mean_of_last(curve, 2).tolist() == pytest.approx([0.45, 0.8])
    assert curves.mean_of_last(curve, 9).tolist() == pytest.approx(curve.mean(0).tolist())
    assert curves.best(curve).tolist() == [0.9, 0.7], "the earlier of two equal means"
    records = [{"step": step, "mean_success": mean} for step, mean in ((1, 0.1), (2, 0.8), (3, 0.8), (4, None))]
    chosen = {"step": 2, "mean_success": 0.8, "chosen_by": "mean_success", "evaluations": 3}
    assert curves.best_evaluation(records) == chosen
    assert curves.best_evaluation(records[3:]) is None
    returns = [{"step": step, "mean_success": None, "mean_return": -step} for step in (5, 4)]
    assert curves.best_evaluation(returns) == {**returns[1], "chosen_by": "mean_return", "evaluations": 2}
    assert list(curves.CHECKPOINTS) == [
        "final",
        "mean of the last 5 evaluations",
        "best over training, each run's own",
    ]


def test_best_of_the_mean_curve_is_one_step_for_all_runs() -> None:
    first = {10: np.array([0.2, 0.4]), 20: np.array([0.9, 0.7]), 30: np.array([0.5, 0.5])}
    second = {10: np.array([0.2, 0.4]), 20: np.array([0.1, 0.1]), 30: np.array([0.6, 0.8]), 40: np.array([1.0, 1.0])}
    found = curves.best_of_mean([first, second])
    assert found is not None
    step, scores = found
    assert step == 30
    assert scores.tolist() == [[0.5, 0.5], [0.6, 0.8]]
    each = [curves.best(np.stack(list(run.values()))) for run in (first, second)]
    assert np.mean(each) > scores.mean(), "each run's own best is another number"
    assert curves.best_of_mean([{10: np.zeros(2)}, {20: np.zeros(2)}]) is None
    assert curves.best_of_mean([{10: np.ones(1), 20: np.ones(1)}]) == (10, np.ones((1, 1)))


def test_area_and_threshold() -> None:
    steps, values = [100, 200, 400], [0.0, 0.4, 0.8]
    assert curves.area_under_curve(steps, values) == pytest.approx((0.2 * 100 + 0.6 * 200) / 300)
    assert curves.area_under_curve([100], [0.3]) == 0.3
    assert curves.first_reaching(steps, values, 0.4) == 200
    assert curves.first_reaching(steps, values, 0.41) == 400
    assert curves.first_reaching(steps, values, 0.9) is None


@pytest.fixture(scope="module")
def published() -> Array:
    """Load (seeds, checkpoints, tasks) of published MT50 runs: 20 checkpoints to 1M steps, 10 episodes each."""
    folder = os.environ.get("MTRL_CONIC_DATA")
    if not folder:
        pytest.skip("MTRL_CONIC_DATA does not say where the published arrays are")
    files = sorted((Path(folder) / "reference_curves/brc_metaworld/BRC_multitask").glob("*.npy"))
    if not files:
        pytest.skip("no reference_curves/brc_metaworld in MTRL_CONIC_DATA")
    return np.stack([np.load(file) for file in files], axis=-1)


def test_published_runs(published: Array) -> None:
    assert published.shape == (5, 20, 50)
    means = published.mean((0, 2))
    # The authors state these values at 100k, 200k, 500k and 1M steps.
    assert means[[1, 3, 9, 19]] == pytest.approx([0.55, 0.74, 0.85, 0.88], abs=0.01)
    scores = np.stack([curves.final(run) for run in published])
    estimate = bootstrap(statistics.mean, scores, seed=0)
    assert estimate.low is not None
    assert estimate.high is not None
    assert estimate.low < estimate.value < estimate.high
    middle = np.sort(scores.ravel())[62:-62]
    assert float(statistics.iqm(scores)) == pytest.approx(middle.mean())
    best = np.stack([curves.best(run) for run in published])
    assert best.mean() > scores.mean(), "best over training flatters"
    steps = [50_000 * (i + 1) for i in range(20)]
    assert curves.first_reaching(steps, means.tolist(), 0.7) == 200_000
    assert curves.area_under_curve(steps, means.tolist()) < estimate.value


def test_published_bootstrap_against_scipy(published: Array) -> None:
    """The reference is SciPy's percentile bootstrap of one task's mean over seeds, which is a single stratum."""
    from scipy import stats

    task = int(published[:, -1].var(0).argmax())
    column = published[:, -1, task]
    theirs = stats.bootstrap(
        (column,), np.mean, method="percentile", n_resamples=20_000, rng=np.random.default_rng(0)
    ).confidence_interval
    ours = bootstrap(statistics.mean, column[:, None], seed=0, resamples=20_000)
    assert ours.interval == pytest.approx((theirs.low, theirs.high), abs=0.021)
