from __future__ import annotations

import warnings

import pytest
import torch
from torch import Tensor

from mtrl_conic.balancers.methods.conicgrad import ConicGrad
from tests.balancers import oracles

CONES = [0.1, 0.25, 0.5, 0.75, 0.9]
SOLVERS = ["online", "exact"]


def cosine(left: Tensor, right: Tensor) -> Tensor:
    return left @ right / (left.norm() * right.norm())


@pytest.mark.parametrize("c", CONES)
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("num_tasks", [2, 3, 10, 50])
def test_cone_and_norm(num_tasks: int, solver: str, c: float) -> None:
    balancer = ConicGrad(num_tasks, c=c, solver=solver)
    for seed in range(4):
        jacobian = oracles.gradients(num_tasks, dim=60, seed=seed)
        direction, mean = balancer.direction(jacobian), jacobian.mean(0)
        assert cosine(direction, mean) >= c - 1e-9
        torch.testing.assert_close(direction.norm(), mean.norm(), rtol=1e-9, atol=0)


@pytest.mark.parametrize("c", CONES)
def test_online_equals_explicit_closed_form(c: float) -> None:
    balancer = ConicGrad(5, c=c)
    inside = set()
    for seed in range(40):
        jacobian = oracles.gradients(5, seed=seed, shift=seed % 4)
        tasks = balancer.state["xi"].softmax(-1)
        result = balancer.direct(jacobian)
        torch.testing.assert_close(result.direction, oracles.conicgrad(jacobian, tasks, c), rtol=1e-8, atol=1e-10)
        inside.add(bool(result.statistics["inside"]))
        balancer.state["xi"].copy_(torch.randn(5, dtype=torch.float64) * 3)
    assert True in inside


def test_both_branches_are_met() -> None:
    weights = torch.eye(5, dtype=torch.float64)[0]
    seen = []
    for c in (0.05, 0.95):
        balancer = ConicGrad(5, c=c)
        balancer.state["xi"].copy_(weights * 100)
        jacobian = oracles.gradients(5, seed=1)
        result = balancer.direct(jacobian)
        torch.testing.assert_close(result.direction, oracles.conicgrad(jacobian, weights, c))
        seen.append(bool(result.statistics["inside"]))
    assert seen == [True, False]


def test_online_step_is_adams_on_the_dual() -> None:
    """The reference is torch's Adam on F(softmax(xi)), differentiated by autograd in the space of the gradients."""
    balancer = ConicGrad(4, c=0.5, gamma=0.01, lr=0.025)
    xi = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([xi], lr=0.025, weight_decay=0.01)
    for seed in range(30):
        jacobian = oracles.gradients(4, seed=seed)
        weights = xi.softmax(-1)
        direction = oracles.conicgrad(jacobian, weights.detach(), 0.5)
        scale = jacobian.mean(0).norm() * jacobian.square().sum(1).mean().sqrt()
        adam.zero_grad()
        (weights @ jacobian @ direction / scale).backward()
        torch.testing.assert_close(balancer.direction(jacobian), direction, rtol=1e-9, atol=1e-11)
        adam.step()
        torch.testing.assert_close(balancer.state["xi"], xi.detach(), rtol=1e-9, atol=1e-11)


def test_online_approaches_the_exact_optimum() -> None:
    jacobian = oracles.gradients(5, seed=4)
    online = ConicGrad(5, c=0.5, gamma=0.0, lr=0.05)
    for _ in range(1000):
        result = online.direct(jacobian)
    assert result.statistics["dual_gap"] < 1e-3
    torch.testing.assert_close(
        (jacobian @ result.direction).min(),
        (jacobian @ ConicGrad(5, c=0.5, solver="exact").direction(jacobian)).min(),
        rtol=1e-2,
        atol=1e-2,
    )


@pytest.mark.parametrize("c", CONES)
@pytest.mark.parametrize("num_tasks", [2, 3, 10])
def test_exact_is_optimal(num_tasks: int, c: float) -> None:
    for seed in range(4):
        jacobian = oracles.gradients(num_tasks, seed=seed, shift=(seed % 3) / 2)
        result = ConicGrad(num_tasks, c=c, solver="exact").direct(jacobian)
        worst = (jacobian @ result.direction).min()
        samples = oracles.cone_samples(jacobian, c, 2000, seed=seed)
        assert worst >= (samples @ jacobian.mT).min(1).values.max() - 1e-8
        assert abs(result.statistics["dual_gap"]) < 1e-8


@pytest.mark.parametrize("solver", SOLVERS)
def test_reduces_to_the_mean(solver: str) -> None:
    jacobian = oracles.gradients(6)
    mean = jacobian.mean(0)
    torch.testing.assert_close(ConicGrad(6, c=1.0, solver=solver).direction(jacobian), mean)
    torch.testing.assert_close(ConicGrad(1, solver=solver).direction(jacobian[:1]), jacobian[0])
    same = jacobian[:1].expand(6, -1).contiguous()
    torch.testing.assert_close(ConicGrad(6, solver=solver).direction(same), jacobian[0])


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1e6, 1e12])
def test_scales_with_the_gradients(solver: str, scale: float) -> None:
    plain, scaled = ConicGrad(5, solver=solver), ConicGrad(5, solver=solver)
    for seed in range(5):
        jacobian = oracles.gradients(5, seed=seed)
        expected = plain.direction(jacobian)
        torch.testing.assert_close(scaled.direction(jacobian * scale) / scale, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("solver", SOLVERS)
def test_collinear_gradients_never_make_a_giant_step(solver: str) -> None:
    """||g_w||^2 - p^2 cancels if g_w is nearly parallel to g0, for example on a Pareto front."""
    generator = torch.Generator().manual_seed(0)
    axis = torch.randn(30, generator=generator, dtype=torch.float64)
    for size in (0.0, 1e-16, 1e-12, 1e-9, 1e-6, 1e-3):
        balancer = ConicGrad(2, c=0.5, solver=solver)
        for factor in (-0.5, 0.3, -1.0, 2.0):
            noise = size * torch.randn(2, 30, generator=generator, dtype=torch.float64)
            jacobian = torch.stack([axis, factor * axis]) + noise
            direction, mean = balancer.direction(jacobian), jacobian.mean(0)
            assert direction.norm() <= mean.norm() * (1 + 1e-3) + 1e-7 * axis.norm()
        assert all(tensor.abs().max() <= 1 for tensor in balancer.state.values())


def test_unguarded_cancellation_would_be_caught() -> None:
    """The textbook ||g_w||^2 - p^2 is negative or wrong by orders of magnitude on such gradients."""
    generator = torch.Generator().manual_seed(0)
    axis = torch.randn(30, generator=generator, dtype=torch.float64)
    errors = []
    for _ in range(50):
        noise = 1e-9 * torch.randn(2, 30, generator=generator, dtype=torch.float64)
        jacobian = torch.stack([axis, -0.5 * axis]) + noise
        gramian, weights = jacobian @ jacobian.mT, torch.tensor([0.0, 1.0], dtype=torch.float64)
        mean = gramian.mean(1)
        unguarded = weights @ gramian @ weights - (mean @ weights) ** 2 / mean.mean()
        exact = (weights @ jacobian - (mean @ weights) / mean.mean() * jacobian.mean(0)).square().sum()
        errors.append(unguarded / exact)
    assert min(errors) <= 0
    assert max(errors) > 100


def test_zero_gradients() -> None:
    for solver in SOLVERS:
        balancer = ConicGrad(3, solver=solver)
        assert balancer.weights(torch.zeros(3, 3)).isfinite().all()
        opposed = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0]])
        torch.testing.assert_close(balancer.direction(opposed), torch.zeros(2))
        assert balancer.weights(torch.eye(3)).isfinite().all()


def test_printed_form_is_equation_8_and_climbs_the_mean_loss() -> None:
    with pytest.warns(UserWarning, match="saddle"):
        balancer = ConicGrad(4, form="printed")
    jacobian = oracles.gradients(4, shift=1.0)
    weights = torch.tensor([0.5, 0.2, 0.2, 0.1], dtype=torch.float64)
    balancer.state["xi"].copy_(weights.log())
    direction = balancer.direction(jacobian)
    torch.testing.assert_close(direction, oracles.conicgrad_printed(jacobian, weights, 0.5))
    assert jacobian.mean(0) @ (weights @ jacobian) > 0
    assert jacobian.mean(0) @ direction < 0


def test_convex_form_does_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ConicGrad(4)
