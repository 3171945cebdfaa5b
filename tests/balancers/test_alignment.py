"""Tests of IMTL-G and Aligned-MTL: equal projections, and condition number one."""

from __future__ import annotations

import pytest
import torch

from mtrl_conic import balancers
from tests.balancers import oracles


@pytest.mark.parametrize("num_tasks", [1, 2, 3, 10, 50])
def test_imtl_g_projections_are_equal(num_tasks: int) -> None:
    for seed in range(8):
        jacobian = oracles.gradients(num_tasks, dim=60, seed=seed) * 10.0 ** (seed - 4)
        weights, statistics = balancers.make("imtl_g", num_tasks)(jacobian @ jacobian.mT)
        direction = weights @ jacobian
        projections = jacobian @ direction / (jacobian.norm(dim=1) * direction.norm())
        assert (projections - projections[0]).abs().max() < 1e-10
        assert abs(weights.sum() - 1) < 1e-9 * weights.abs().sum()
        assert not statistics["fallback"]


def test_imtl_g_without_a_sum_is_the_mean_and_counted() -> None:
    # D^-1 C^-1 1 is (1, -1) / 0: unit gradients whose scales cancel the weights.
    gramian = torch.tensor([[1.0, 2.0], [2.0, 8.0]], dtype=torch.float64)
    cosines = torch.tensor([[1.0, 2 / 8**0.5], [2 / 8**0.5, 1.0]], dtype=torch.float64)
    raw = torch.linalg.solve(cosines, torch.ones(2, dtype=torch.float64)) / gramian.diagonal().sqrt()
    assert raw.sum().abs() > 0.1  # an ordinary case for comparison
    # For K = 3 the sum of D^-1 C^-1 1 changes its sign as one norm grows; this is the norm at which it is zero.
    cosines = torch.tensor([[1, 0.9, 0.9], [0.9, 1, 0.7], [0.9, 0.7, 1]], dtype=torch.float64)
    solved = torch.linalg.solve(cosines, torch.ones(3, dtype=torch.float64))
    assert solved[0] < 0 < solved[1]
    norms = torch.tensor([-float(solved[0] / (solved[1] + solved[2])), 1.0, 1.0], dtype=torch.float64)
    weights, statistics = balancers.make("imtl_g", 3)(cosines * torch.outer(norms, norms))
    assert statistics["fallback"]
    torch.testing.assert_close(weights, torch.full((3,), 1 / 3, dtype=torch.float64))


@pytest.mark.parametrize("mode", ["min", "median", "rmse"])
@pytest.mark.parametrize("num_tasks", [2, 3, 10])
def test_aligned_gradients_have_condition_one(num_tasks: int, mode: str) -> None:
    jacobian = oracles.gradients(num_tasks, seed=1)
    gramian = jacobian @ jacobian.mT
    values, vectors = torch.linalg.eigh(gramian)
    level = {"min": values[0], "median": values.median(), "rmse": values.mean()}[mode]
    weights, statistics = balancers.make("aligned_mtl", num_tasks, mode=mode)(gramian)
    transform = level.sqrt() * vectors @ torch.diag(values**-0.5) @ vectors.mT
    torch.testing.assert_close(weights, transform.mean(1))
    singular = torch.linalg.svdvals(transform @ jacobian)
    torch.testing.assert_close(singular, level.sqrt().expand_as(singular))
    torch.testing.assert_close(statistics["condition"], (values[-1] / values[0]).sqrt())
    assert statistics["rank"] == num_tasks


def test_aligned_mtl_leaves_null_directions_out() -> None:
    jacobian = oracles.rank_deficient(6, 2)
    weights, statistics = balancers.make("aligned_mtl", 6)(jacobian @ jacobian.mT)
    assert statistics["rank"] == 2
    values, vectors = torch.linalg.eigh(jacobian @ jacobian.mT)
    kept, directions = values[-2:], vectors[:, -2:]
    expected = kept[0].sqrt() * directions @ torch.diag(kept**-0.5) @ directions.mT
    torch.testing.assert_close(weights, expected.mean(1), rtol=1e-6, atol=1e-9)
