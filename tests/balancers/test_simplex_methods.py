"""Tests that MGDA, CAGrad and SDMGrad meet the optimality conditions of their problems over the simplex."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from mtrl_conic import balancers
from tests.balancers import oracles

SIZES = [2, 3, 10, 50]


def examples(num_tasks: int) -> list[Tensor]:
    shifted = [oracles.gradients(num_tasks, dim=60, seed=seed, shift=seed / 3) for seed in range(6)]
    return [*shifted, oracles.rank_deficient(num_tasks, max(1, num_tasks // 3), seed=num_tasks)]


def kkt_gap(weights: Tensor, slope: Tensor) -> Tensor:
    """Return how much the objective could still fall over the simplex, to first order."""
    return weights @ slope - slope.min()


def frank_wolfe(gramian: Tensor, steps: int) -> Tensor:
    """Solve MGDA as public code does, with exact line search."""
    weights = torch.full((len(gramian),), 1 / len(gramian), dtype=gramian.dtype)
    for _ in range(steps):
        slope = gramian @ weights
        corner = torch.eye(len(gramian), dtype=gramian.dtype)[slope.argmin()]
        towards = corner - weights
        length = (-(towards @ slope) / (towards @ gramian @ towards).clamp_min(1e-30)).clamp(0, 1)
        weights = weights + length * towards
    return weights


@pytest.mark.parametrize("num_tasks", SIZES)
def test_mgda_is_optimal(num_tasks: int) -> None:
    for jacobian in examples(num_tasks):
        gramian = jacobian @ jacobian.mT
        weights, statistics = balancers.make("mgda", num_tasks)(gramian)
        assert (weights >= 0).all()
        assert abs(weights.sum() - 1) < 1e-12
        scale = gramian.diagonal().mean()
        gap = kkt_gap(weights, gramian @ weights) / scale
        assert abs(gap) < 1e-10
        assert statistics["dual_gap"] < 1e-10
        assert ((gramian @ weights - weights @ gramian @ weights)[weights > 1e-6].abs() < 1e-8 * scale).all()


def test_mgda_on_known_answers() -> None:
    orthogonal = torch.diag(torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64))
    expected = (1 / orthogonal.diagonal()) / (1 / orthogonal.diagonal()).sum()
    torch.testing.assert_close(balancers.make("mgda", 3).weights(orthogonal), expected)
    for size in (1, 2, 10):
        weights = balancers.make("mgda", size).weights(torch.ones(size, size))
        torch.testing.assert_close(weights.sum(), torch.ones((), dtype=torch.float64))
        assert (weights >= 0).all()
    zero_row = oracles.gradients(4)
    zero_row[1] = 0
    assert balancers.make("mgda", 4).direction(zero_row).norm() < 1e-9


def test_frank_wolfe_that_stops_early_is_told_apart() -> None:
    """Public code stops at up to 2.5 times the least norm; the optimality conditions detect that."""
    worst = 0.0
    for seed in range(10):
        # With ten tasks in twelve dimensions Frank-Wolfe zigzags.
        jacobian = oracles.gradients(10, dim=12, seed=seed)
        gramian = jacobian @ jacobian.mT
        exact, faulty = balancers.make("mgda", 10).weights(gramian), frank_wolfe(gramian, 20)
        assert kkt_gap(faulty, gramian @ faulty) > 1e-4 * gramian.diagonal().mean()
        assert kkt_gap(exact, gramian @ exact) < 1e-10 * gramian.diagonal().mean()
        worst = max(worst, float((faulty @ jacobian).norm() / (exact @ jacobian).norm()))
    assert worst > 1.1


@pytest.mark.parametrize("c", [0.1, 0.4, 0.9])
@pytest.mark.parametrize("num_tasks", SIZES)
def test_cagrad_is_optimal(num_tasks: int, c: float) -> None:
    for jacobian in examples(num_tasks):
        mean = jacobian.mean(0)
        result = balancers.make("cagrad", num_tasks, c=c).direct(jacobian)
        assert (result.direction - mean).norm() <= c * mean.norm() * (1 + 1e-9)
        assert abs(result.statistics["dual_gap"]) < 1e-8
        # By weak duality no feasible direction is better; here random ones are compared.
        worst = (jacobian @ result.direction).min()
        generator = torch.Generator().manual_seed(0)
        rays = torch.randn(500, num_tasks, generator=generator, dtype=torch.float64) @ jacobian
        others = mean + c * mean.norm() * rays / rays.norm(dim=1, keepdim=True)
        assert (others @ jacobian.mT).min(1).values.max() <= worst + 1e-8 * mean.norm() ** 2


def test_cagrad_rescale_and_limits() -> None:
    jacobian = oracles.gradients(4)
    plain = balancers.make("cagrad", 4, c=0.5).direction(jacobian)
    torch.testing.assert_close(balancers.make("cagrad", 4, c=0.5, rescale="square").direction(jacobian), plain / 1.25)
    torch.testing.assert_close(balancers.make("cagrad", 4, c=0.5, rescale="linear").direction(jacobian), plain / 1.5)
    torch.testing.assert_close(balancers.make("cagrad", 4, c=0).direction(jacobian), jacobian.mean(0))


def cagrad_by_slsqp(gramian: Tensor, c: float) -> Tensor:
    """Solve for the weights on the simplex as public code does: SLSQP on an unscaled M with default tolerances."""
    optimize = pytest.importorskip("scipy.optimize")
    matrix, count = gramian.numpy(), len(gramian)
    uniform = torch.full((count,), 1 / count, dtype=torch.float64).numpy()
    radius = c * float((uniform @ matrix @ uniform) ** 0.5)
    found = optimize.minimize(
        lambda w: w @ matrix @ uniform + radius * (w @ matrix @ w + 1e-8) ** 0.5,
        uniform,
        bounds=[(0, 1)] * count,
        constraints={"type": "eq", "fun": lambda w: 1 - w.sum()},
        method="SLSQP",
    )
    return torch.as_tensor(found.x)


@pytest.mark.parametrize("scale", [1e-6, 1e-4, 1e4])
def test_solver_on_an_unscaled_gramian_is_told_apart(scale: float) -> None:
    """Public code's SLSQP silently returns uniform weights for gradients of norm 1e-4 and less."""
    jacobian = oracles.gradients(6) * scale
    mean = jacobian.mean(0)
    uniform = torch.full((6,), 1 / 6, dtype=torch.float64)

    def gap(direction: Tensor, worst: Tensor) -> float:
        bound = worst @ jacobian @ mean + 0.4 * mean.norm() * (worst @ jacobian).norm()
        return float((bound - (jacobian @ direction).min()) / mean.norm() ** 2)

    faulty = cagrad_by_slsqp(jacobian @ jacobian.mT, 0.4)
    if scale < 1:
        torch.testing.assert_close(faulty, uniform, rtol=0, atol=1e-3)
        combined = faulty @ jacobian
        assert gap(mean + 0.4 * mean.norm() * combined / combined.norm(), faulty) > 1e-3
    result = balancers.make("cagrad", 6, c=0.4).direct(jacobian)
    assert abs(result.statistics["dual_gap"]) < 1e-10
    expected = balancers.make("cagrad", 6, c=0.4).direction(jacobian / scale)
    torch.testing.assert_close(result.direction / scale, expected)


@pytest.mark.parametrize("lam", [0.0, 0.3, 0.6, 10.0])
@pytest.mark.parametrize("num_tasks", SIZES)
def test_sdmgrad_is_optimal(num_tasks: int, lam: float) -> None:
    for jacobian in examples(num_tasks):
        gramian = jacobian @ jacobian.mT
        balance = balancers.make("sdmgrad", num_tasks, lam=lam)(gramian)
        tasks = balance.weights * (1 + lam) - lam / num_tasks
        assert (tasks > -1e-12).all()
        assert abs(tasks.sum() - 1) < 1e-9
        slope = gramian @ (tasks + lam / num_tasks)
        assert abs(kkt_gap(tasks, slope)) < 1e-8 * gramian.diagonal().mean()


def test_sdmgrad_limits() -> None:
    jacobian = oracles.gradients(5)
    torch.testing.assert_close(
        balancers.make("sdmgrad", 5, lam=0.0).direction(jacobian), balancers.make("mgda", 5).direction(jacobian)
    )
    torch.testing.assert_close(
        balancers.make("sdmgrad", 5, lam=1e8).direction(jacobian), jacobian.mean(0), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("name", balancers.available())
def test_state_tensors_are_not_names_of_one(name: str) -> None:
    """SDMGrad's public code keeps `[tensor] * 3`, which is three references to one tensor."""
    assert distinct(balancers.make(name, 3).state)
    first, second = balancers.make(name, 3), balancers.make(name, 3)
    both: dict[str, Any] = {f"{key}{i}": value for i, b in enumerate((first, second)) for key, value in b.state.items()}
    assert distinct(both)


def distinct(state: dict[str, Tensor]) -> bool:
    places = [tensor.data_ptr() for tensor in state.values() if tensor.numel()]
    return len(set(places)) == len(places)


def test_three_names_for_one_tensor_are_told_apart() -> None:
    assert not distinct(dict(enumerate([torch.zeros(3)] * 3)))  # type: ignore[arg-type]
