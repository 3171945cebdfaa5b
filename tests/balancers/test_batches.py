"""Tests of methods that take several independent batches in an update: single, double and triple sampling."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from mtrl_conic import balancers
from mtrl_conic.errors import UserError
from mtrl_conic.linalg.simplex import project_on_simplex
from tests.balancers import oracles

SAMPLED: list[tuple[str, dict[str, Any], int]] = [
    ("modo", {"sampling": "single"}, 1),
    ("modo", {}, 2),
    ("modo", {"sampling": "triple"}, 3),
    ("sdmgrad", {}, 1),
    ("sdmgrad", {"sampling": "triple"}, 3),
    ("moco", {}, 1),
    ("moco", {"sampling": "double"}, 2),
]
sampled = pytest.mark.parametrize(("name", "options", "count"), SAMPLED, ids=lambda each: str(each))


def batches(count: int, seed: int, num_tasks: int = 3) -> Tensor:
    """Return (count, K, P): the same gradients with independent noise, scaled to a mean square norm of one."""
    noise = torch.stack([oracles.gradients(num_tasks, seed=100 + 10 * seed + each) for each in range(count)])
    made = oracles.gradients(num_tasks, seed=seed) + 0.5 * noise
    return made / made.square().sum(-1).mean().sqrt()


@sampled
def test_how_many_batches_are_asked_for(name: str, options: dict[str, Any], count: int) -> None:
    balancer = balancers.make(name, 3, **options)
    assert balancer.batches == count
    direction = balancer.direction(batches(count, 0).flatten(0, 1))
    assert direction.shape == (30,)
    assert direction.isfinite().all()
    if count > 1:
        with pytest.raises(UserError, match=r"must have shape \(..., 3, 30\), not \(7, 30\)"):
            balancer.direction(torch.zeros(7, 30))


@sampled
def test_gradients_without_noise_are_those_of_every_batch(name: str, options: dict[str, Any], count: int) -> None:
    one, several = balancers.make(name, 3, **options), balancers.make(name, 3, **options)
    for seed in range(3):
        jacobian = oracles.gradients(3, seed=seed)
        torch.testing.assert_close(one.direction(jacobian), several.direction(jacobian.repeat(count, 1)))


@sampled
def test_weights_are_of_every_batch_and_told_by_task(name: str, options: dict[str, Any], count: int) -> None:
    balancer = balancers.make(name, 3, **options)
    if not balancer.has_weights:
        return
    rows = batches(count, 0).flatten(0, 1)
    weights = balancers.make(name, 3, **options).weights(rows @ rows.mT)
    assert weights.shape == (3 * count,)
    torch.testing.assert_close(weights @ rows, balancer.direction(rows))


@sampled
def test_a_poisoned_batch_is_named_and_leaves_no_trace(name: str, options: dict[str, Any], count: int) -> None:
    balancer = balancers.make(name, 3, **options)
    balancer.direction(batches(count, 0).flatten(0, 1))
    before = balancer.state_dict()
    rows = batches(count, 1).flatten(0, 1)
    rows[-1, 0] = torch.nan  # the last task in the last batch
    with pytest.raises(FloatingPointError, match="gradient of task 2 is not finite"):
        balancer.direction(rows)
    balancer.on_nonfinite = "skip"
    assert not balancer.direction(rows).any()
    assert all(torch.equal(value, before[key]) for key, value in balancer.state_dict().items())


@pytest.mark.parametrize(("sampling", "count"), [("double", 2), ("triple", 3)])
def test_modo_is_equations_2_9(sampling: str, count: int) -> None:
    balancer = balancers.make("modo", 3, gamma=0.3, rho=0.1, sampling=sampling)
    weights = torch.full((3,), 1 / 3, dtype=torch.float64)
    for seed in range(5):
        made = batches(count, seed)
        slope = made[0] @ made[1].mT @ weights + 0.1 * weights
        weights = project_on_simplex(weights - 0.3 * slope)
        used = made[2] if count == 3 else made.mean(0)
        torch.testing.assert_close(balancer.direction(made.flatten(0, 1)), weights @ used)


def test_modo_is_that_of_torchjd() -> None:
    theirs = pytest.importorskip("torchjd.aggregation").MoDoWeighting(gamma=0.3, rho=0.1)
    ours = balancers.make("modo", 3, gamma=0.3, rho=0.1)
    for seed in range(5):
        made = batches(2, seed)
        rows = made.flatten(0, 1)
        weights = ours.weights(rows @ rows.mT).view(2, 3).sum(0)
        torch.testing.assert_close(weights, theirs(made[0] @ made[1].mT), rtol=1e-6, atol=1e-8)


def test_sdmgrad_by_three_batches_is_algorithm_1() -> None:
    balancer = balancers.make("sdmgrad", 3, lam=0.4, gamma=0.3, sampling="triple")
    tasks = torch.full((3,), 1 / 3, dtype=torch.float64)
    for seed in range(5):
        one, other, third = made = batches(3, seed)
        slope = one @ (tasks @ other + 0.4 * other.mean(0))
        tasks = project_on_simplex(tasks - 0.3 * slope)
        expected = (tasks @ third + 0.4 * third.mean(0)) / 1.4
        torch.testing.assert_close(balancer.direction(made.flatten(0, 1)), expected)


def test_sdmgrad_by_three_batches_is_that_of_torchjd() -> None:
    theirs = pytest.importorskip("torchjd.aggregation").SDMGradWeighting(lr=0.3, momentum=0.0, n_iter=1, lambda_=0.4)
    made = batches(3, 0)
    across = made[0] @ made[1].mT
    # torchjd's step is relative to this product's diagonal, ours to the mean square of all gradients, here one.
    ours = balancers.make(
        "sdmgrad", 3, lam=0.4, gamma=0.3 / across.diagonal().sqrt().mean().item() ** 2, sampling="triple"
    )
    rows = made.flatten(0, 1)
    weights = ours.weights(rows @ rows.mT)[-3:]
    found = theirs(across)
    torch.testing.assert_close(weights, found / found.sum(), rtol=1e-6, atol=1e-8)


def test_sdmgrad_without_pull_is_modo() -> None:
    modo = balancers.make("modo", 3, gamma=0.2, sampling="triple")
    sdmgrad = balancers.make("sdmgrad", 3, lam=0.0, gamma=0.2, sampling="triple")
    for seed in range(4):
        rows = batches(3, seed).flatten(0, 1)
        torch.testing.assert_close(modo.direction(rows), sdmgrad.direction(rows))


def test_moco_by_two_batches_takes_the_second_for_the_slope() -> None:
    balancer = balancers.make("moco", 3, beta=0.5, gamma=0.3, sampling="double")
    means, weights = torch.zeros(3, 30, dtype=torch.float64), torch.full((3,), 1 / 3, dtype=torch.float64)
    for step in range(1, 5):
        made = batches(2, step)
        first, second = made / made.norm(dim=-1, keepdim=True)
        means += 0.5 / step**0.5 * (first - means)
        weights = project_on_simplex(weights - 0.3 / step**0.5 * second @ (weights @ means))
        torch.testing.assert_close(balancer.direction(made.flatten(0, 1)), weights @ means)


def test_two_batches_take_the_noise_out_of_the_slope() -> None:
    """A gradient that is short but noisy looks long in one batch, and short in the product of two."""
    count, dim = 20_000, 8
    generator = torch.Generator().manual_seed(0)
    true = torch.tensor([[0.1] + [0.0] * 7, [0.0, 1.0] + [0.0] * 6], dtype=torch.float64)
    noise = torch.randn(count, 2, 2, dim, generator=generator, dtype=torch.float64) * torch.tensor([[0.5], [0.0]])
    rows = (true + noise).flatten(1, 2)
    moved = {}
    for sampling in ("single", "double"):
        balancer = balancers.make("modo", 2, gamma=0.01, sampling=sampling)
        balancer.reset((count,))
        seen = rows if sampling == "double" else rows[:, :2]
        size = seen.square().sum(-1).mean(-1)
        balancer.direction(seen)
        step = (balancer.state["lambda"] - 0.5) * size[:, None] / 0.01
        moved[sampling] = step.mean(0)
    exact = -(true @ true.mT).sum(1) / 2
    exact = exact - exact.mean()  # projected on the simplex
    assert (moved["double"] - exact).abs().amax() < 0.02
    assert (moved["single"] - exact).abs().amax() > 0.4
