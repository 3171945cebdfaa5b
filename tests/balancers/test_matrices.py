"""Tests of the properties that torchjd states for its aggregators, on matrices made as in its own tests.

They have ranks from one to full and scales from 0 to 1e15. Some are stationary: strongly, if a positive combination of
all gradients vanishes, or weakly, if one of some gradients does.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from mtrl_conic import balancers

SHAPES = ((1, 1, 1), (4, 3, 1), (4, 3, 2), (4, 3, 3), (9, 11, 5), (9, 11, 9))
"""(K, P, rank)."""
SCALES = (0.0, 1e-10, 1.0, 1e3, 1e5, 1e10, 1e15)
STATIONARY = ((20, 10, 10), (20, 100, 10), (20, 100, 19))
DRAW_AN_ORDER = ("graddrop", "gradvac", "pcgrad", "rlw")
NO_CONFLICT = ("gradops", "mgda", "upgrad")
"""They promise a direction that conflicts with no task, for any gradients and at their default options."""

SOLVED_WITH_COMMON_DESCENT = ("fairgrad", "nashmtl")
"""Their equations have a solution where some direction lowers every loss, and only there."""


def orthonormal(size: int, generator: torch.Generator) -> Tensor:
    return torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64)).Q


def of_rank(num_tasks: int, parameters: int, rank: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(rank, generator=generator, dtype=torch.float64).abs()
    left, right = orthonormal(num_tasks, generator), orthonormal(parameters, generator)
    return left[:, :rank] @ values.diag() @ right[:rank]


def stationary(num_tasks: int, parameters: int, rank: int, *, strongly: bool, seed: int = 0) -> Tensor:
    """Return gradients with u J = 0 for a u that is positive, or positive in its first half and zero in the rest."""
    generator = torch.Generator().manual_seed(seed)
    u = torch.rand(num_tasks, generator=generator, dtype=torch.float64) + 0.1
    if not strongly:
        u[num_tasks // 2 :] = 0
    others = torch.eye(num_tasks, dtype=torch.float64) - torch.outer(u, u) / (u @ u)
    return others @ of_rank(num_tasks, parameters, min(rank, num_tasks - 1), seed)


def matrices() -> Iterator[Tensor]:
    for shape in SHAPES:
        for scale in SCALES:
            yield scale * of_rank(*shape)
    for shape in STATIONARY:
        for strongly in (True, False):
            yield stationary(*shape, strongly=strongly)


def largest(jacobian: Tensor) -> float:
    return float(jacobian.norm(dim=1).max())


def common_descent(jacobian: Tensor) -> bool:
    shortest = balancers.make("mgda", len(jacobian)).direction(jacobian)
    return bool(shortest.norm() > 1e-6 * largest(jacobian))


@pytest.mark.parametrize("name", balancers.available())
def test_the_direction_is_one_of_finite_numbers(name: str) -> None:
    for jacobian in matrices():
        losses = torch.ones(len(jacobian))
        direction = balancers.make(name, len(jacobian)).direction(jacobian.float(), losses)
        assert direction.shape == jacobian[0].shape
        assert direction.dtype == torch.float32
        assert direction.isfinite().all()


@pytest.mark.parametrize("name", NO_CONFLICT)
def test_no_conflict(name: str) -> None:
    for jacobian in matrices():
        direction = balancers.make(name, len(jacobian)).direction(jacobian)
        assert (jacobian @ direction).min() >= -1e-6 * largest(jacobian) ** 2


@pytest.mark.parametrize("name", sorted({*balancers.available()} - {*DRAW_AN_ORDER}))
def test_the_order_of_the_tasks_does_not_matter(name: str) -> None:
    for jacobian in matrices():
        order = torch.randperm(len(jacobian), generator=torch.Generator().manual_seed(1))
        losses = 1 + torch.arange(len(jacobian), dtype=torch.float64) / 10
        if name in SOLVED_WITH_COMMON_DESCENT and not common_descent(jacobian):
            continue
        one = balancers.make(name, len(jacobian)).direction(jacobian, losses)
        other = balancers.make(name, len(jacobian)).direction(jacobian[order], losses[order])
        assert (one - other).norm() <= 1e-4 * max(float(one.norm()), 1e-2 * largest(jacobian))


@pytest.mark.parametrize("name", ["ls", "upgrad"])
def test_linear_in_the_scales_of_the_tasks(name: str) -> None:
    """direction(diag(a x + b y) J) = a direction(diag(x) J) + b direction(diag(y) J) for positive a, b, x, y."""
    generator = torch.Generator().manual_seed(2)
    for shape in SHAPES:
        jacobian = of_rank(*shape)
        x, y = torch.rand(2, len(jacobian), 1, generator=generator, dtype=torch.float64)
        together, of_x, of_y = (
            balancers.make(name, len(jacobian)).direction(scales * jacobian) for scales in (2 * x + 3 * y, x, y)
        )
        torch.testing.assert_close(together, 2 * of_x + 3 * of_y, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["mgda", "upgrad"])
@pytest.mark.parametrize("shape", STATIONARY)
def test_nothing_is_left_of_a_strongly_stationary_point(name: str, shape: tuple[int, int, int]) -> None:
    jacobian = stationary(*shape, strongly=True)
    assert balancers.make(name, len(jacobian)).direction(jacobian).norm() <= 1e-4 * largest(jacobian)


@pytest.mark.parametrize("shape", STATIONARY)
def test_the_shortest_of_a_weakly_stationary_point_vanishes(shape: tuple[int, int, int]) -> None:
    jacobian = stationary(*shape, strongly=False)
    assert balancers.make("mgda", len(jacobian)).direction(jacobian).norm() <= 1e-4 * largest(jacobian)
