"""Tests of GradDrop and MoCo, methods that need the gradients themselves."""

from __future__ import annotations

import torch
from torch import Tensor

from mtrl_conic import balancers
from mtrl_conic.linalg.simplex import project_on_simplex
from tests.balancers import oracles


def test_graddrop_keeps_one_sign_per_coordinate() -> None:
    jacobian = oracles.gradients(4, dim=500)
    direction = balancers.make("graddrop", 4).direction(jacobian)
    up, down = jacobian.clamp_min(0).sum(0), jacobian.clamp_max(0).sum(0)
    chose_up = (direction - up).abs() < 1e-12
    chose_down = (direction - down).abs() < 1e-12
    assert (chose_up | chose_down).all()
    assert chose_up.any()
    assert chose_down.any()


def test_graddrop_draws_by_purity() -> None:
    jacobian = oracles.gradients(3, dim=5)
    purity = (1 + jacobian.sum(0) / jacobian.abs().sum(0)) / 2
    expected = purity * jacobian.clamp_min(0).sum(0) + (1 - purity) * jacobian.clamp_max(0).sum(0)
    directions = balancers.make("graddrop", 3).direction(jacobian.expand(20000, 3, 5))
    torch.testing.assert_close(directions.mean(0), expected, rtol=0, atol=0.05)
    ups = (directions > 0).double().mean(0)
    torch.testing.assert_close(ups, purity, rtol=0, atol=0.02)


def test_graddrop_where_all_parts_vanish_or_agree() -> None:
    jacobian = torch.tensor([[0.0, 1.0, -1.0], [0.0, 2.0, -3.0]])
    result = balancers.make("graddrop", 2).direct(jacobian)
    torch.testing.assert_close(result.direction, torch.tensor([0.0, 3.0, -4.0]))
    torch.testing.assert_close(result.statistics["purity"], torch.tensor(2 / 3))


def moco_by_loop(jacobians: list[Tensor], beta: float, gamma: float, rho: float) -> list[Tensor]:
    count = len(jacobians[0])
    means, weights = torch.zeros_like(jacobians[0]), torch.full((count,), 1 / count, dtype=torch.float64)
    directions = []
    for step, jacobian in enumerate(jacobians, start=1):
        units = jacobian / jacobian.norm(dim=1, keepdim=True)
        means = means - beta / step**0.5 * (means - units)
        slope = (means @ means.mT + rho * torch.eye(count, dtype=torch.float64)) @ weights
        weights = project_on_simplex(weights - gamma / step**0.5 * slope)
        directions.append(weights @ means)
    return directions


def test_moco_equals_its_algorithm() -> None:
    jacobians = [oracles.gradients(4, seed=seed) for seed in range(10)]
    balancer = balancers.make("moco", 4, beta=0.4, gamma=0.7, rho=0.1)
    for jacobian, expected in zip(jacobians, moco_by_loop(jacobians, 0.4, 0.7, 0.1), strict=True):
        torch.testing.assert_close(balancer.direction(jacobian), expected)


def test_softmax_of_a_point_of_the_simplex_is_told_apart() -> None:
    """Public code puts lambda through a softmax, so that no weight can exceed e / (K - 1 + e)."""
    axis, other = torch.eye(2, dtype=torch.float64)
    jacobian = torch.stack([axis, 0.2 * axis + other, 2 * axis])  # MGDA's optimum gives the last two no weight alone
    balancer = balancers.make("moco", 3, beta=1.0, gamma=1.0)
    faulty = torch.full((3,), 1 / 3, dtype=torch.float64)
    units = jacobian / jacobian.norm(dim=1, keepdim=True)
    for step in range(1, 2000):
        statistics = balancer.direct(jacobian).statistics
        faulty = (faulty - units @ units.mT @ faulty / step**0.5).softmax(-1)
    optimum = balancers.make("mgda", 3).direction(units).norm()
    torch.testing.assert_close((statistics["lambda"] @ units).norm(), optimum, rtol=1e-3, atol=0)
    assert (faulty @ units).norm() > 1.02 * optimum
    assert faulty.max() < torch.e / (2 + torch.e)


def test_moco_state_grows_to_the_jacobian() -> None:
    balancer = balancers.make("moco", 3)
    assert balancer.state["means"].shape == (3, 0)
    balancer.direction(torch.randn(3, 7))
    assert balancer.state["means"].shape == (3, 7)
    assert balancer.state["means"].dtype == torch.float32
