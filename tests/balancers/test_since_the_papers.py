"""Tests of later methods than the two papers, against their defining equations and, if it has them, torchjd's."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from mtrl_conic import balancers
from mtrl_conic.linalg.clusters import cluster_means
from tests.balancers import oracles


def some_losses(num_tasks: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 0.1 + torch.rand(num_tasks, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("num_tasks", [2, 5, 10])
def test_config_and_dualproj_are_those_of_torchjd(num_tasks: int) -> None:
    aggregation = pytest.importorskip("torchjd.aggregation")
    linalg = pytest.importorskip("torchjd.linalg")
    try:
        projector = linalg.QuadprogProjector(norm_eps=1e-12, reg_eps=1e-10)
    except ImportError as error:
        pytest.skip(str(error))
    pairs = {"config": aggregation.ConFIG(), "dualproj": aggregation.DualProj(projector=projector)}
    for name, oracle in pairs.items():
        for seed in range(5):
            jacobian = oracles.gradients(num_tasks, dim=60, seed=seed)
            direction = balancers.make(name, num_tasks).direction(jacobian)
            torch.testing.assert_close(direction, oracle(jacobian), rtol=1e-6, atol=1e-8)


def test_config_is_equation_2() -> None:
    for seed in range(5):
        jacobian = oracles.gradients(4, seed=seed)
        units = jacobian / jacobian.norm(dim=1, keepdim=True)
        best = torch.linalg.pinv(units).sum(1)
        best = best / best.norm()
        direction = balancers.make("config", 4).direction(jacobian)
        torch.testing.assert_close(direction, (jacobian @ best).sum() * best)
        cosines = units @ direction
        assert (cosines - cosines.mean()).abs().amax() < 1e-9 * cosines.mean()


def test_dualproj_is_the_mean_where_nothing_conflicts_with_it_and_the_nearest_direction_elsewhere() -> None:
    agreeing = oracles.gradients(4, shift=3.0)
    torch.testing.assert_close(balancers.make("dualproj", 4).direction(agreeing), agreeing.mean(0))
    for seed in range(5):
        jacobian = oracles.gradients(4, seed=seed)
        jacobian[1] -= 2 * jacobian[0]
        mean, direction = jacobian.mean(0), balancers.make("dualproj", 4).direction(jacobian)
        assert (jacobian @ direction).amin() > -1e-9
        # The residual of the projection is orthogonal to it, and no direction of the cone is nearer to the mean.
        assert abs((direction - mean) @ direction) < 1e-9
        generator = torch.Generator().manual_seed(seed)
        others = torch.randn(200, 30, generator=generator, dtype=torch.float64) + 3 * direction
        inside = others[(others @ jacobian.mT).amin(-1) >= 0]
        assert len(inside)
        assert ((inside - mean).norm(dim=1) >= (direction - mean).norm() - 1e-9).all()


def test_excessmtl_follows_equations_6_to_9() -> None:
    balancer = balancers.make("excessmtl", 3, eta=0.5, warmup=2)
    squares, weights = torch.zeros(3, 30, dtype=torch.float64), torch.full((3,), 1 / 3, dtype=torch.float64)
    first = torch.zeros(3, dtype=torch.float64)
    for update in range(5):
        jacobian = oracles.gradients(3, seed=update)
        squares += jacobian**2
        excess = (jacobian**2 / squares.sqrt()).sum(1)
        if update < 2:
            first += excess / 2
        else:
            weights = weights * (0.5 * excess / first).exp()
            weights /= weights.sum()
        direction, statistics = balancer.direct(jacobian)
        torch.testing.assert_close(statistics["weight"], weights)
        torch.testing.assert_close(direction, weights @ jacobian)


def test_excessmtl_is_that_of_torchjd() -> None:
    aggregation = pytest.importorskip("torchjd.aggregation")
    ours = balancers.make("excessmtl", 4, eta=0.3)
    theirs = aggregation.ExcessMTL(robust_step_size=0.3, n_warmup_steps=1)
    for seed in range(4):
        jacobian = oracles.gradients(4, dim=60, seed=seed)
        torch.testing.assert_close(ours.direction(jacobian), theirs(jacobian), rtol=1e-4, atol=1e-5)


def test_dbmtl_scales_running_means_of_log_gradients_to_the_longest() -> None:
    balancer = balancers.make("dbmtl", 3, beta=0.8, decay=0.5)
    means = torch.zeros(3, 30, dtype=torch.float64)
    for update in range(1, 5):
        jacobian, losses = oracles.gradients(3, seed=update), some_losses(3, update)
        kept = 0.8 / update**0.5
        means = kept * means + (1 - kept) * jacobian / losses.unsqueeze(1)
        lengths = means.norm(dim=1)
        expected = (lengths.max() / lengths) @ means
        torch.testing.assert_close(balancer.direction(jacobian, losses), expected)


def test_dbmtl_does_not_see_the_units_of_a_loss() -> None:
    units = torch.tensor([1.0, 1e-3, 1e4], dtype=torch.float64)
    plain, scaled = balancers.make("dbmtl", 3), balancers.make("dbmtl", 3)
    for update in range(3):
        jacobian, losses = oracles.gradients(3, seed=update), some_losses(3, update)
        direction = plain.direction(jacobian, losses)
        torch.testing.assert_close(scaled.direction(units.unsqueeze(1) * jacobian, units * losses), direction)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_go4align_gives_a_group_the_mean_of_its_indicators(groups: int) -> None:
    balancer = balancers.make("go4align", 4, groups=groups, eta=0.2)
    history = torch.full((4,), 0.25, dtype=torch.float64)
    for update in range(4):
        losses = some_losses(4, update)
        history = history * (-0.2 * losses).exp()
        history /= history.sum()
        indicators = history * losses.sum() / losses
        weights = balancer.weights(torch.eye(4), losses)
        torch.testing.assert_close(weights, best_clusters(indicators, groups))


def best_clusters(values: Tensor, count: int) -> Tensor:
    """Return the cluster means of least cost, by trying every way to cut the sorted values."""
    order = values.argsort()
    best, found = torch.inf, values
    for cuts in itertools.combinations(range(1, len(values)), count - 1):
        parts = values[order].tensor_split(cuts)
        cost = sum(float((part - part.mean()).square().sum()) for part in parts)
        if cost < best:
            best = cost
            found = torch.empty_like(values)
            found[order] = torch.cat([part.mean().expand(len(part)) for part in parts])
    return found


def test_clusters_are_the_best_there_are() -> None:
    for seed in range(30):
        values = torch.randn(2 + seed % 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).exp()
        for count in range(1, len(values) + 1):
            torch.testing.assert_close(cluster_means(values, count), best_clusters(values, count))
    batch = torch.randn(3, 4, 6, dtype=torch.float64)
    torch.testing.assert_close(cluster_means(batch, 3)[1, 2], cluster_means(batch[1, 2], 3))
    torch.testing.assert_close(cluster_means(torch.ones(5), 3), torch.ones(5))
