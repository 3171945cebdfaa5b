"""Tests of the two steps of PMGDA, and of the Pareto point of a preference that no weighted sum reaches."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mtrl_conic import balancers
from mtrl_conic.errors import UserError
from tests.balancers import oracles

PREFERENCE = (0.1, 0.2, 0.3, 0.4)
WRITTEN = "+".join(map(str, PREFERENCE))


def imbalance(losses: Tensor, preference: Tensor) -> Tensor:
    scaled = preference * losses
    fractions = scaled / scaled.sum()
    return (fractions * (len(losses) * fractions).log()).sum()


def gradients(seed: int, *, balanced: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Return gradients, losses, and the gradient of the imbalance with respect to the parameters."""
    generator = torch.Generator().manual_seed(seed)
    preference = torch.tensor(PREFERENCE, dtype=torch.float64)
    spread = 0.005 if balanced else 0.5
    noise = torch.randn(4, generator=generator, dtype=torch.float64)
    losses = ((spread * noise).exp() / preference).requires_grad_()
    (slope,) = torch.autograd.grad(imbalance(losses, preference), losses)
    jacobian = oracles.gradients(4, seed=seed)
    return jacobian, losses.detach(), slope @ jacobian


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("sigma", [0.1, 0.5, 0.9])
def test_the_correction_is_the_best_direction_of_its_cone(seed: int, sigma: float) -> None:
    jacobian, losses, uphill = gradients(seed, balanced=False)
    direction, statistics = balancers.make("pmgda", 4, preference=WRITTEN, sigma=sigma).direct(jacobian, losses)
    assert statistics["correcting"]
    assert not statistics["fallback"]
    torch.testing.assert_close(direction.norm(), jacobian.norm(dim=-1).mean())
    axis = uphill / uphill.norm()
    assert axis @ direction / direction.norm() >= sigma - 1e-7
    worst = (jacobian @ direction).min()
    generator = torch.Generator().manual_seed(seed)
    others = direction / direction.norm() + 0.3 * torch.randn(
        2000, len(direction), generator=generator, dtype=torch.float64
    ) / len(direction) ** 0.5 * torch.rand(2000, 1, generator=generator, dtype=torch.float64)
    others = others * (direction.norm() / others.norm(dim=-1, keepdim=True))
    feasible = others[others @ axis >= sigma * direction.norm()]
    assert len(feasible) > 20
    assert (feasible @ jacobian.T).amin(-1).max() <= worst + 1e-6


@pytest.mark.parametrize("seed", range(5))
def test_the_prediction_lowers_all_losses_and_keeps_the_balance(seed: int) -> None:
    jacobian, losses, uphill = gradients(seed, balanced=True)
    direction, statistics = balancers.make("pmgda", 4, preference=WRITTEN).direct(jacobian, losses)
    assert not statistics["correcting"]
    assert statistics["imbalance"] < 1e-4
    assert (uphill @ direction / uphill.norm() / direction.norm()).abs() < 1e-7
    assert (jacobian @ direction >= direction @ direction * (1 - 1e-6)).all()
    rest = jacobian - torch.outer(jacobian @ uphill, uphill) / (uphill @ uphill)
    torch.testing.assert_close(direction, balancers.make("mgda", 4).direction(rest), rtol=1e-5, atol=1e-7)


def test_imbalance_is_that_of_the_definition() -> None:
    jacobian, losses, _ = gradients(0, balanced=False)
    found = balancers.make("pmgda", 4, preference=WRITTEN).direct(jacobian, losses).statistics["imbalance"]
    torch.testing.assert_close(found, imbalance(losses, torch.tensor(PREFERENCE, dtype=torch.float64)))


def test_equal_losses_and_no_preference_give_the_direction_of_mgda() -> None:
    jacobian = oracles.gradients(4)
    found = balancers.make("pmgda", 4).direction(jacobian, torch.ones(4))
    torch.testing.assert_close(found, balancers.make("mgda", 4).direction(jacobian))


@pytest.mark.parametrize("first", [0.3, 0.6])
def test_it_reaches_the_point_of_a_preference_on_a_concave_front(first: float) -> None:
    """On the front of Fonseca and Fleming every weighted sum of the losses ends at the optimum of one task."""
    size = 5
    centre = torch.full((size,), size**-0.5, dtype=torch.float64)

    def problem(x: Tensor) -> tuple[Tensor, Tensor]:
        apart = torch.stack([x - centre, x + centre])
        close = (-apart.square().sum(-1)).exp()
        return 1 - close, 2 * close.unsqueeze(-1) * apart

    ends = {}
    for name in ("pmgda", "ls"):
        balancer = balancers.make(name, 2, preference=[first, 1 - first])
        x = torch.linspace(-0.4, 0.5, size, dtype=torch.float64)
        for _ in range(150):
            losses, jacobian = problem(x)
            x = x - 0.2 * balancer.direction(jacobian, losses)
        ends[name] = problem(x)[0]
        assert (x - x.mean()).norm() < 1e-3  # x is on the front
    ratio = first * ends["pmgda"][0] / ((1 - first) * ends["pmgda"][1])
    assert ratio.log().abs() < 0.04
    assert ends["ls"].min() < 0.01


def test_a_preference_of_zero_is_refused() -> None:
    with pytest.raises(UserError, match="every task needs a positive preference"):
        balancers.make("pmgda", 2, preference="1+0")
