from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from mtrl_conic import balancers
from mtrl_conic.balancers.methods.pcgrad import PCGrad
from mtrl_conic.balancers.random import random_orders
from tests.balancers import oracles


def next_orders(balancer: PCGrad) -> Tensor:
    """Return the orders that the balancer's next call will use."""
    twin = PCGrad(balancer.num_tasks, seed=balancer.seed)
    twin.load_state_dict(balancer.state_dict())
    return random_orders(twin._uniform((twin.num_tasks, twin.num_tasks)))


@pytest.mark.parametrize("num_tasks", [1, 2, 3, 10, 50])
def test_equals_explicit_projections(num_tasks: int) -> None:
    balancer = PCGrad(num_tasks, seed=3)
    for seed in range(5):
        jacobian = oracles.gradients(num_tasks, dim=60, seed=seed)
        expected = oracles.pcgrad(jacobian, next_orders(balancer))
        torch.testing.assert_close(balancer.direction(jacobian), expected, rtol=1e-10, atol=1e-12)


def test_batch_equals_loop() -> None:
    jacobians = torch.stack([oracles.gradients(4, seed=seed) for seed in range(6)])
    balancer = PCGrad(4)
    balancer.reset((6,))
    orders = random_orders(balancer._uniform((6, 4, 4)))
    balancer.reset()
    expected = [oracles.pcgrad(jacobian, order) for jacobian, order in zip(jacobians, orders, strict=True)]
    torch.testing.assert_close(balancer.direction(jacobians), torch.stack(expected))


def test_no_conflict_gives_the_mean() -> None:
    jacobian = oracles.gradients(5, shift=4.0)
    assert (jacobian @ jacobian.mT > 0).all()
    torch.testing.assert_close(PCGrad(5).direction(jacobian), jacobian.mean(0))


def test_two_tasks_conflict_with_neither() -> None:
    for seed in range(20):
        jacobian = oracles.gradients(2, seed=seed)
        assert (jacobian @ PCGrad(2).direction(jacobian) > -1e-12).all()


def test_orders_are_permutations_of_the_other_tasks() -> None:
    orders = random_orders(PCGrad(6)._uniform((100, 6, 6)))
    for task in range(6):
        others = torch.tensor([other for other in range(6) if other != task])
        assert torch.equal(orders[:, task].sort(-1).values, others.expand(100, 5))


def test_every_order_is_as_likely() -> None:
    orders = random_orders(PCGrad(4)._uniform((6000, 4, 4)))[:, 1]
    for order in itertools.permutations([0, 2, 3]):
        share = (orders == torch.tensor(order)).all(-1).double().mean()
        assert abs(share - 1 / 6) < 4 * (1 / 6 * 5 / 6 / 6000) ** 0.5


def test_mean_over_draws_is_the_mean_over_orders() -> None:
    jacobian = oracles.gradients(3, seed=1)
    pairs = [itertools.permutations([j for j in range(3) if j != i]) for i in range(3)]
    every = [oracles.pcgrad(jacobian, torch.tensor(rows)) for rows in itertools.product(*pairs)]
    gramian = jacobian @ jacobian.mT
    weights = PCGrad(3).weights(gramian.expand(20000, 3, 3)).mean(0)
    torch.testing.assert_close(weights @ jacobian, torch.stack(every).mean(0), rtol=0, atol=0.02)


def test_visits_in_fixed_order_are_told_apart() -> None:
    """Public code that discards its shuffle always visits the tasks in the order 0, 1, 2, ..."""
    jacobian = oracles.gradients(5, seed=2)
    fixed = torch.tensor([[j for j in range(5) if j != i] for i in range(5)])
    discarded = oracles.pcgrad(jacobian, fixed)
    drawn = torch.stack([PCGrad(5, seed=seed).direction(jacobian) for seed in range(8)])
    assert (drawn - drawn[0]).norm(dim=1).max() > 1e-3
    assert (drawn - discarded).norm(dim=1).max() > 1e-3


def test_projection_on_itself_is_told_apart() -> None:
    """If other projections turn a gradient against its original, a projection on itself changes it."""
    differing = 0
    for seed in range(300):
        jacobian = oracles.gradients(4, dim=3, seed=seed)
        balancer = PCGrad(4, seed=seed)
        order = next_orders(balancer)
        faulty = oracles.pcgrad(jacobian, torch.cat([order, torch.arange(4)[:, None]], 1))
        direction = balancer.direction(jacobian)
        torch.testing.assert_close(direction, oracles.pcgrad(jacobian, order), rtol=1e-9, atol=1e-12)
        differing += int((direction - faulty).norm() > 1e-6)
    assert differing > 3


def test_input_is_left_alone() -> None:
    """Public code shuffles the caller's list in place; the input must not change."""
    jacobian = oracles.gradients(4)
    gramian = jacobian @ jacobian.mT
    kept, kept_gramian = jacobian.clone(), gramian.clone()
    balancer = PCGrad(4)
    balancer.direction(jacobian)
    balancer.weights(gramian)
    assert torch.equal(jacobian, kept)
    assert torch.equal(gramian, kept_gramian)


def test_counts_conflicts() -> None:
    jacobian = torch.tensor([[1.0, 0.0], [-1.0, 0.1], [1.0, 0.2]])
    assert PCGrad(3)(jacobian @ jacobian.mT).statistics["conflicts"] == 2


def test_seeds_differ_and_repeat() -> None:
    jacobian = oracles.gradients(6)
    make = [balancers.make("pcgrad", 6, seed=seed).direction(jacobian) for seed in (0, 0, 1)]
    assert torch.equal(make[0], make[1])
    assert not torch.allclose(make[0], make[2])
