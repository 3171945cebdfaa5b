"""Tests of evaluations in words."""

from __future__ import annotations

import pytest

from mtrl_conic.evaluation import words
from mtrl_conic.evaluation.estimates import Estimate


@pytest.mark.parametrize(
    ("value", "text"), [(0.5234, "0.523"), (-12.345, "-12.35"), (151.26, "151.3"), (-1234.5, "-1234"), (0.0, "0.000")]
)
def test_numbers_have_the_digits_of_their_size(value: float, text: str) -> None:
    assert words.number(value) == text


def test_an_interval_has_the_digits_of_its_largest_end() -> None:
    assert words.estimate(Estimate(0.5, 0.4, 0.6, 3)) == "0.500 [0.400, 0.600]"
    assert words.estimate(Estimate(-80.123, -120.05, -40.2, 3)) == "-80.1 [-120.0, -40.2]"
    assert words.estimate(Estimate(-80.123, None, None, 2)) == "-80.12"


def test_the_outcome_names_the_tasks_without_success() -> None:
    returns = {"a": -151.3, "b": 2.0, "c": 0.5, "d": 1.0, "e": 7.0}
    record = {"success": {"a": 0.5}, "returns": returns, "mean_success": 0.5}
    assert words.without_success(record) == {task: value for task, value in returns.items() if task != "a"}
    assert words.outcome(0.5, {}) == "success 0.500"
    assert (
        words.outcome(0.5, words.without_success(record)) == "success 0.500; return b 2.000, c 0.500, d 1.000, 1 more"
    )
    assert words.outcome(None, {"a": -151.3}) == "return a -151.3"
    assert words.outcome(None, words.without_success({"mean_loss": 1.0})) == "", "a supervised run has neither"


def test_intervals_of_returns_are_over_episodes() -> None:
    record = {"returns": {"a": 2.0, "b": -1.0}, "return_std": {"a": 1.0, "b": 0.0}, "episodes_per_task": 4}
    a, b = words.return_estimates(record).values()
    assert a.interval == pytest.approx((2 - 3.18244630 / 2, 2 + 3.18244630 / 2))  # t quantile, 3 degrees of freedom
    assert b.interval == (-1.0, -1.0)
    assert words.return_estimates({**record, "episodes_per_task": 2})["a"].interval is None
    del record["return_std"]
    assert words.return_estimates(record)["a"].interval is None, "an older record tells no deviation"
