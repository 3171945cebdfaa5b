"""Tests of Nash-MTL and FairGrad, which solve M w = w^(-1/alpha)."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mtrl_conic import balancers
from tests.balancers import oracles

SIZES = [1, 2, 3, 10, 50]


def residual(gramian: Tensor, weights: Tensor, alpha: float) -> float:
    return float((gramian @ weights * weights ** (1 / alpha) - 1).abs().max())


@pytest.mark.parametrize("num_tasks", SIZES)
def test_nash_solves_its_equation(num_tasks: int) -> None:
    for seed in range(0, 10, 3):
        jacobian = oracles.gradients(num_tasks, dim=60, seed=seed) * 10.0 ** (seed - 5)
        gramian = jacobian @ jacobian.mT
        weights, statistics = balancers.make("nashmtl", num_tasks)(gramian)
        assert (weights > 0).all()
        assert residual(gramian, weights, 1) < 1e-10
        assert statistics["residual"] < 1e-10
        assert not statistics["fallback"]
        torch.testing.assert_close((weights @ jacobian).norm(), torch.tensor(num_tasks**0.5, dtype=torch.float64))


@pytest.mark.parametrize("alpha", [0.2, 0.5, 1.0, 2.0, 5.0, 10.0])
@pytest.mark.parametrize("num_tasks", SIZES)
def test_fairgrad_solves_its_equation(num_tasks: int, alpha: float) -> None:
    for seed in (0, 2):
        jacobian = oracles.gradients(num_tasks, dim=80, seed=seed) * 10.0 ** (seed - 2)
        gramian = jacobian @ jacobian.mT
        weights, statistics = balancers.make("fairgrad", num_tasks, alpha=alpha)(gramian)
        assert (weights > 0).all()
        assert residual(gramian, weights, alpha) < 1e-8
        assert statistics["residual"] < 1e-10


def test_singular_gramian_with_a_solution() -> None:
    """With two equal gradients only the sum of their weights is determined, not each weight."""
    jacobian = oracles.gradients(3)[[0, 0, 1, 2]]
    gramian = jacobian @ jacobian.mT
    weights, statistics = balancers.make("nashmtl", 4)(gramian)
    assert residual(gramian, weights, 1) < 1e-10
    assert not statistics["fallback"]


@pytest.mark.parametrize("name", ["nashmtl", "fairgrad"])
def test_on_the_pareto_front_the_fallback_is_counted(name: str) -> None:
    jacobian = oracles.gradients(2)
    opposed = torch.cat([jacobian, -jacobian])
    weights, statistics = balancers.make(name, 4)(opposed @ opposed.mT)
    assert statistics["fallback"]
    assert weights.isfinite().all()
    assert (weights > 0).all()
    assert (weights @ opposed).norm() < 1e-6 * weights.max()


def test_linear_scalarisation_in_place_of_a_missing_solver_is_told_apart() -> None:
    """Public code catches every exception, even that of a solver that is not installed, and keeps equal weights."""

    def faulty(gramian: Tensor) -> Tensor:
        weights = torch.ones(len(gramian), dtype=gramian.dtype)
        try:
            raise ModuleNotFoundError("no solver")
        except Exception:
            pass
        return weights

    gramian = oracles.gradients(5) @ oracles.gradients(5).mT
    assert residual(gramian, faulty(gramian), 1) > 1
    assert residual(gramian, balancers.make("nashmtl", 5).weights(gramian), 1) < 1e-10


def test_no_clipping_happens_here() -> None:
    """Public code clips the direction to a norm that it never reaches; the scale is left to the optimiser."""
    jacobian = oracles.gradients(4) * 1e6
    direction = balancers.make("nashmtl", 4).direction(jacobian)
    torch.testing.assert_close(direction.norm(), torch.tensor(2.0, dtype=torch.float64))


def test_weights_are_held_between_updates() -> None:
    balancer, fresh = balancers.make("nashmtl", 3, update_every=3), balancers.make("nashmtl", 3)
    gramians = [oracles.gradients(3, seed=seed) @ oracles.gradients(3, seed=seed).mT for seed in range(7)]
    weights = [balancer.weights(gramian) for gramian in gramians]
    for step in range(7):
        torch.testing.assert_close(weights[step], fresh.weights(gramians[step // 3 * 3]))


def test_fairgrad_at_one_is_nash() -> None:
    gramian = oracles.gradients(6) @ oracles.gradients(6).mT
    torch.testing.assert_close(
        balancers.make("fairgrad", 6, alpha=1.0).weights(gramian), balancers.make("nashmtl", 6).weights(gramian)
    )
