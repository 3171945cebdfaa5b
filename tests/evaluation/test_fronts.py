"""Tests of fronts: which points are not dominated, and their hypervolume."""

from __future__ import annotations

import numpy as np
import pytest

from mtrl_conic.evaluation.fronts import hypervolume, nondominated


def test_nondominated_by_hand() -> None:
    points = np.array([[1.0, 4], [2, 2], [4, 1], [3, 3], [2, 2], [1, 5]])
    assert nondominated(points).tolist() == [True, True, True, False, True, False]


def test_hypervolume_by_hand() -> None:
    points = np.array([[1.0, 3], [2, 2], [3, 1], [3, 3]])
    assert hypervolume(points, np.array([4.0, 4])) == pytest.approx(3 + 2 + 1)
    assert hypervolume(points, np.array([1.0, 1])) == 0
    assert hypervolume(np.array([[2.0], [3]]), np.array([5.0])) == 3
    assert hypervolume(np.array([[1.0, 1, 1], [0, 2, 2]]), np.array([3.0, 3, 3])) == pytest.approx(8 + 1)


@pytest.mark.parametrize("axes", [2, 3, 4])
def test_hypervolume_is_the_share_of_points_that_are_beaten(axes: int) -> None:
    generator = np.random.default_rng(axes)
    points = generator.uniform(0.2, 1.1, (8, axes))
    drawn = generator.uniform(0, 1, (100_000, axes))
    beaten = (points[:, None] <= drawn[None]).all(-1).any(0).mean()
    assert hypervolume(points, np.ones(axes)) == pytest.approx(beaten, abs=0.006)
    assert hypervolume(points[::-1], np.ones(axes)) == pytest.approx(hypervolume(points, np.ones(axes)), rel=1e-12)
