"""Tests of GradOPS, UPGrad and GradVac against explicit loops over the gradients, and of their guarantees."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mtrl_conic import balancers
from mtrl_conic.balancers.methods.gradvac import GradVac
from mtrl_conic.balancers.random import random_orders
from tests.balancers import oracles


def examples(num_tasks: int) -> list[Tensor]:
    return [oracles.gradients(num_tasks, dim=60, seed=seed, shift=seed / 4) for seed in range(0, 8, 2)]


def worst_cosine(jacobian: Tensor, direction: Tensor) -> float:
    return float((jacobian @ direction / (jacobian.norm(dim=1) * direction.norm())).min())


@pytest.mark.parametrize("alpha", [-5.0, -1.0, 0.0, 2.0])
@pytest.mark.parametrize("num_tasks", [2, 3, 10, 30])
def test_gradops_equals_its_algorithm(num_tasks: int, alpha: float) -> None:
    balancer = balancers.make("gradops", num_tasks, alpha=alpha)
    for jacobian in examples(num_tasks):
        result = balancer.direct(jacobian)
        torch.testing.assert_close(result.direction, oracles.gradops(jacobian, alpha), rtol=1e-7, atol=1e-8)
        assert worst_cosine(jacobian, result.direction) > -1e-9
        assert not result.statistics["fallback"]


@pytest.mark.parametrize("num_tasks", [2, 3, 10, 50])
def test_gradops_is_strongly_free_of_conflict_on_bad_conditions(num_tasks: int) -> None:
    for seed in range(5):
        jacobian = oracles.gradients(num_tasks, dim=60, seed=seed)
        jacobian = jacobian[:1] * (-1) ** torch.arange(num_tasks)[:, None] + 1e-3 * jacobian
        direction = balancers.make("gradops", num_tasks).direction(jacobian)
        assert worst_cosine(jacobian, direction) > -1e-8


@pytest.mark.parametrize("options", [{}, {"reweight": "uniform"}, {"preference": "1+2+3"}])
def test_gradops_chooses_the_alpha_of_the_largest_worst_cosine(options: dict[str, str]) -> None:
    alphas = [step / 2 for step in range(-10, 5)]
    chosen = balancers.make("gradops", 3, alpha="auto", **options)
    seen = set()
    for seed in range(8):
        jacobian = oracles.gradients(3, dim=5, seed=seed) * torch.tensor([[1.0], [3.0], [0.2]], dtype=torch.float64)
        directions = [balancers.make("gradops", 3, alpha=alpha, **options).direction(jacobian) for alpha in alphas]
        best = max(range(len(alphas)), key=lambda each: worst_cosine(jacobian, directions[each]))
        result = chosen.direct(jacobian)
        torch.testing.assert_close(result.direction, directions[best])
        assert result.statistics["alpha"] == alphas[best]
        seen.add(alphas[best])
    assert len(seen) > 1


def test_gradops_of_two_tasks_is_pcgrad() -> None:
    for seed in range(20):
        jacobian = oracles.gradients(2, seed=seed)
        torch.testing.assert_close(
            balancers.make("gradops", 2).direction(jacobian), 2 * balancers.make("pcgrad", 2).direction(jacobian)
        )


def test_gradops_without_conflict_is_the_sum() -> None:
    jacobian = oracles.gradients(5, shift=4.0)
    torch.testing.assert_close(balancers.make("gradops", 5).direction(jacobian), jacobian.sum(0))


def test_gradops_weights_sum_to_the_number_of_tasks() -> None:
    jacobian = oracles.gradients(4, shift=4.0)
    for alpha in (-3.0, 1.0):
        weights = balancers.make("gradops", 4, alpha=alpha).weights(jacobian @ jacobian.mT)
        torch.testing.assert_close(weights.sum(), torch.tensor(4.0, dtype=torch.float64))


def test_gradops_falls_back_where_nothing_is_left() -> None:
    jacobian = oracles.rank_deficient(6, 3)
    result = balancers.make("gradops", 6).direct(jacobian)
    assert result.statistics["fallback"]
    torch.testing.assert_close(result.direction, 6 * balancers.make("mgda", 6).direction(jacobian))
    assert worst_cosine(jacobian, result.direction) > -1e-9


@pytest.mark.parametrize("num_tasks", [1, 2, 3, 5])
def test_upgrad_equals_explicit_projections(num_tasks: int) -> None:
    balancer = balancers.make("upgrad", num_tasks)
    for jacobian in examples(num_tasks):
        torch.testing.assert_close(balancer.direction(jacobian), oracles.upgrad(jacobian), rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("num_tasks", [2, 10, 50])
def test_upgrad_conflicts_with_no_task(num_tasks: int) -> None:
    for jacobian in examples(num_tasks):
        assert worst_cosine(jacobian, balancers.make("upgrad", num_tasks).direction(jacobian)) > -1e-8


@pytest.mark.parametrize(("num_tasks", "rank"), [(4, 1), (10, 5), (50, 25)])
def test_upgrad_on_rank_deficient_gradients(num_tasks: int, rank: int) -> None:
    """The direction conflicts with no task, and is zero if only zero does so."""
    for seed in range(3):
        jacobian = oracles.rank_deficient(num_tasks, rank, seed=seed)
        direction = balancers.make("upgrad", num_tasks).direction(jacobian)
        assert (jacobian @ direction > -1e-8 * jacobian.square().sum(1).mean()).all()


def test_upgrad_without_conflict_is_the_mean() -> None:
    jacobian = oracles.gradients(5, shift=4.0)
    torch.testing.assert_close(balancers.make("upgrad", 5).direction(jacobian), jacobian.mean(0))


@pytest.mark.parametrize(("beta", "target"), [(0.01, 0.0), (0.3, 0.2), (0.5, -0.1)])
@pytest.mark.parametrize("num_tasks", [2, 3, 10])
def test_gradvac_equals_explicit_loop(num_tasks: int, beta: float, target: float) -> None:
    balancer = GradVac(num_tasks, seed=5, beta=beta, target=target)
    targets = torch.full((num_tasks, num_tasks), target, dtype=torch.float64)
    for jacobian in examples(num_tasks):
        twin = GradVac(num_tasks, seed=5)
        twin.load_state_dict(balancer.state_dict())
        order = random_orders(twin._uniform((num_tasks, num_tasks)))
        expected, targets = oracles.gradvac(jacobian, order, targets, beta)
        torch.testing.assert_close(balancer.direction(jacobian), expected, rtol=1e-8, atol=1e-9)
        torch.testing.assert_close(balancer.state["targets"], targets, rtol=1e-8, atol=1e-9)


def test_gradvac_with_frozen_zero_targets_is_pcgrad() -> None:
    jacobian = oracles.gradients(6)
    torch.testing.assert_close(
        GradVac(6, seed=1, beta=0.0).direction(jacobian), balancers.make("pcgrad", 6, seed=1).direction(jacobian)
    )


@pytest.mark.parametrize("alpha", [0.0, -1.5, 1.0])
@pytest.mark.parametrize("reweight", ["pcgrad", "uniform"])
def test_gradops_weighs_other_gradients_too(reweight: str, alpha: float) -> None:
    """Its dynamic weights follow the formulas on PCGrad's gradients of two tasks, and on the original gradients."""
    generator = torch.Generator().manual_seed(5)
    rows = torch.randn(2 if reweight == "pcgrad" else 4, 7, generator=generator, dtype=torch.float64)
    if reweight == "pcgrad":
        rows[1] -= 2 * rows[0]  # the two gradients conflict
    changed = rows.clone()
    if reweight == "pcgrad":
        for own, other in ((0, 1), (1, 0)):
            changed[own] -= (rows[own] @ rows[other]) / rows[other].square().sum() * rows[other]
    projections = (changed.sum(0) @ rows.T) / rows.norm(dim=1)
    wanted = (projections / projections.mean()).clamp_min(1e-6) ** alpha
    balancer = balancers.make("gradops", len(rows), alpha=alpha, reweight=reweight)
    direction = balancer.direction(rows)
    assert torch.allclose(direction, (wanted / wanted.mean()) @ changed, rtol=1e-8, atol=1e-10)


def test_gradops_on_pcgrads_gradients_draws_orders_of_its_own() -> None:
    generator = torch.Generator().manual_seed(2)
    rows = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    balancer = balancers.make("gradops", 5, reweight="pcgrad", seed=3)
    first, second = balancer.direction(rows), balancer.direction(rows)
    assert not torch.allclose(first, second), "another order"
    again = balancers.make("gradops", 5, reweight="pcgrad", seed=3)
    assert torch.equal(again.direction(rows), first)
    again.load_state_dict(balancer.state_dict())
    assert torch.equal(again.direction(rows), balancer.direction(rows))
    assert not balancers.make("gradops", 5).state
    plain = balancers.make("pcgrad", 5, seed=3).direction(rows)
    assert torch.allclose(first, 5 * plain, rtol=1e-9), "with alpha = 0 it is PCGrad's sum"
