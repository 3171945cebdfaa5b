"""Tests of the methods that weight losses, against autograd of the objectives that they descend."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from mtrl_conic import balancers
from mtrl_conic.errors import UserError

LOSSES = torch.tensor([0.3, 2.0, 7.0], dtype=torch.float64)
GRAMIAN = torch.eye(3, dtype=torch.float64)


def gradient(function: Callable[[Tensor], Tensor], losses: Tensor = LOSSES) -> Tensor:
    return torch.func.grad(function)(losses)


def test_si_is_the_gradient_of_the_sum_of_logarithms() -> None:
    torch.testing.assert_close(
        balancers.make("si", 3).weights(GRAMIAN, LOSSES), gradient(lambda losses: losses.log().sum())
    )


def test_gls_is_the_gradient_of_the_geometric_mean() -> None:
    torch.testing.assert_close(
        balancers.make("gls", 3).weights(GRAMIAN, LOSSES), gradient(lambda losses: losses.prod() ** (1 / 3))
    )
    many = torch.full((50,), 1e-7, dtype=torch.float64)  # the product of these losses underflows
    torch.testing.assert_close(balancers.make("gls", 50).weights(torch.eye(50), many), torch.full_like(many, 1 / 50))


@pytest.mark.parametrize("name", ["si", "gls", "stch"])
def test_a_loss_that_vanishes_asks_for_nothing(name: str) -> None:
    """1 / L would be infinite, and a floor of 1e-8 under L would make the direction 1e8 times as long."""
    weights, statistics = balancers.make(name, 3)(GRAMIAN, torch.tensor([0.0, 1e-9, 1.0], dtype=torch.float64))
    assert statistics["small"] == 2
    assert weights[0] == 0
    assert weights.isfinite().all()
    for least in (2e-8, 1e-6):  # above the floor nothing changes
        weights = balancers.make("si", 2).weights(torch.eye(2), torch.tensor([least, 1.0], dtype=torch.float64))
        torch.testing.assert_close(weights[0], torch.tensor(1 / least, dtype=torch.float64))


@pytest.mark.parametrize("name", ["si", "gls", "stch", "uw", "imtl_l", "dwa", "gradnorm"])
def test_a_negative_loss_is_an_error_that_names_the_task(name: str) -> None:
    losses = torch.tensor([0.3, -1.0, 1.0], dtype=torch.float64)
    with pytest.raises(UserError, match=f"^{name} takes logarithms or ratios .* task 1 is negative: add a constant"):
        balancers.make(name, 3).weights(GRAMIAN, losses)
    skipping, untouched = balancers.make(name, 3, on_nonfinite="skip"), balancers.make(name, 3)
    weights, statistics = skipping(GRAMIAN, losses)
    torch.testing.assert_close(weights, torch.full((3,), 1 / 3, dtype=torch.float64))
    assert statistics["fallback"]
    assert not statistics["skipped"]
    for key, value in untouched.state.items():
        assert torch.equal(skipping.state[key], value)


def test_rlw_draws_softmax_of_normal_numbers() -> None:
    balancer = balancers.make("rlw", 3)
    weights = balancer.weights(GRAMIAN.expand(20000, 3, 3), LOSSES.expand(20000, 3))
    torch.testing.assert_close(weights.sum(-1), torch.ones(20000, dtype=torch.float64))
    torch.testing.assert_close(weights.mean(0), torch.full((3,), 1 / 3, dtype=torch.float64), rtol=0, atol=6e-3)
    # The difference of two logits is normal with variance 2.
    differences = (weights[:, 0] / weights[:, 1]).log()
    assert abs(differences.mean()) < 0.05
    assert abs(differences.var() - 2) < 0.1
    assert abs((differences.abs() < math.sqrt(2)).double().mean() - 0.6827) < 0.015


def test_dwa_compares_the_last_two_windows() -> None:
    balancer = balancers.make("dwa", 2, window=2, temperature=2.0)
    history = torch.tensor([[1.0, 1], [3, 1], [1, 2], [1, 2], [9, 9], [9, 9]], dtype=torch.float64)
    weights = [balancer.weights(torch.eye(2), losses) for losses in history]
    for early in weights[:4]:
        torch.testing.assert_close(early, torch.ones(2, dtype=torch.float64))
    rates = torch.tensor([1 / 2, 2 / 1], dtype=torch.float64)
    torch.testing.assert_close(weights[4], 2 * (rates / 2).softmax(-1))
    torch.testing.assert_close(weights[5], weights[4])
    torch.testing.assert_close(
        balancer.weights(torch.eye(2), history[0]),
        2 * (torch.tensor([9 / 1, 9 / 2], dtype=torch.float64) / 2).softmax(-1),
    )


@pytest.mark.parametrize(
    ("name", "settled"), [("uw", lambda losses: 1 / (2 * losses)), ("imtl_l", lambda losses: 1 / losses)]
)
def test_learned_scales_settle_where_they_should(name: str, settled: Callable[[Tensor], Tensor]) -> None:
    balancer = balancers.make(name, 3, lr=0.05)
    for _ in range(3000):
        weights = balancer.weights(GRAMIAN, LOSSES)
    torch.testing.assert_close(weights, settled(LOSSES), rtol=1e-4, atol=0)


@pytest.mark.parametrize(("likelihood", "factor"), [("regression", 0.5), ("classification", 1.0)])
def test_uw_step_is_torchs_adam(likelihood: str, factor: float) -> None:
    balancer = balancers.make("uw", 3, lr=0.01, likelihood=likelihood)
    variance = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([variance], lr=0.01)
    for step in range(20):
        losses = LOSSES * (1 + step % 3)
        adam.zero_grad()
        (factor * (-variance).exp() * losses + variance / 2).sum().backward()
        torch.testing.assert_close(balancer.weights(GRAMIAN, losses), factor * (-variance.detach()).exp())
        adam.step()


def test_stch_is_the_gradient_after_its_warm_up() -> None:
    balancer = balancers.make("stch", 3, mu=0.5, warmup=2)
    for losses in (LOSSES, 3 * LOSSES):
        torch.testing.assert_close(balancer.weights(GRAMIAN, losses), 1 / losses)
    nadir, now = 2 * LOSSES, torch.tensor([0.5, 1.0, 9.0], dtype=torch.float64)
    expected = gradient(lambda losses: 3 * 0.5 * torch.logsumexp((losses / nadir).log() / 0.5, 0), now)
    torch.testing.assert_close(balancer.weights(GRAMIAN, now), expected)
    torch.testing.assert_close(balancer.state["nadir"], nadir)


def famo_by_autograd(steps: list[tuple[Tensor, Tensor]], lr: float, gamma: float) -> list[Tensor]:
    """Return the weights of the paper's algorithm: the gradient of sum_i z_i log L_i / c in the losses."""
    xi = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([xi], lr=lr, weight_decay=gamma)
    weights = []
    for before, after in steps:
        z = xi.detach().softmax(-1)
        constant = (z / (before + 1e-8)).sum()
        weights.append(gradient(lambda losses, z=z, c=constant: ((losses + 1e-8).log() * z / c).sum(), before))
        adam.zero_grad()
        xi.softmax(-1).backward((before + 1e-8).log() - (after + 1e-8).log())
        adam.step()
    return weights


def famo_steps() -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    pairs = torch.rand(20, 2, 3, generator=generator, dtype=torch.float64) + 0.1
    return [(before, before * after) for before, after in pairs]


def test_famo_equals_its_algorithm() -> None:
    balancer = balancers.make("famo", 3, lr=0.025, gamma=0.01)
    for (before, after), expected in zip(famo_steps(), famo_by_autograd(famo_steps(), 0.025, 0.01), strict=True):
        weights = balancer.weights(GRAMIAN, before)
        torch.testing.assert_close(weights, expected)
        torch.testing.assert_close(weights.sum(), torch.ones((), dtype=torch.float64))
        balancer.observe(after)


def test_famo_multiplied_by_its_constant_is_told_apart() -> None:
    """Public code multiplies by c instead of dividing, so that the weights sum to c^2 and not to one."""
    before, _ = famo_steps()[0]
    shares = torch.full((3,), 1 / 3, dtype=torch.float64)
    constant = (shares / before).sum()
    faulty = shares / before * constant
    assert abs(faulty.sum() - 1) > 0.1
    assert abs(balancers.make("famo", 3).weights(GRAMIAN, before).sum() - 1) < 1e-12


def test_famo_takes_negative_losses() -> None:
    """Public code takes the logarithm of a loss minus a constant zero, which is NaN for the losses of an actor."""
    losses = torch.tensor([-3.0, 0.5, 2.0], dtype=torch.float64)
    assert (losses - 0.0 + 1e-8).log().isnan().any()
    balancer = balancers.make("famo", 3, components="both")
    for step in range(50):
        weights = balancer.weights(GRAMIAN, losses - 0.1 * step)
        assert weights.isfinite().all()
        assert (weights > 0).all()
        balancer.observe(losses - 0.1 * step - 0.05)
        assert balancer.state["xi"].isfinite().all()


def test_famo_leaves_negative_losses_to_the_mean_unless_told() -> None:
    assert balancers.make("famo", 3).positive_losses
    assert not balancers.make("famo", 3, components="both").positive_losses


def test_famo_without_a_step_before_learns_nothing() -> None:
    balancer = balancers.make("famo", 3)
    balancer.observe(LOSSES)
    torch.testing.assert_close(balancer.state["xi"], torch.zeros(3, dtype=torch.float64))


def gradnorm_target(weights: Tensor, lengths: Tensor, losses: Tensor, first: Tensor, alpha: float) -> Tensor:
    norms = weights * lengths
    progress = losses / first
    return norms.mean() * (progress / progress.mean()) ** alpha


def test_gradnorm_steps_along_its_gradient() -> None:
    gramian = torch.diag(torch.tensor([1.0, 9.0, 4.0], dtype=torch.float64))
    balancer = balancers.make("gradnorm", 3, alpha=1.5, lr=0.01)
    balancer.weights(gramian, LOSSES)
    for losses in (LOSSES * 0.9, LOSSES * torch.tensor([0.5, 0.9, 0.1], dtype=torch.float64)):
        weights = balancer.state["weights"].clone().requires_grad_()
        lengths = gramian.diagonal().sqrt()
        target = gradnorm_target(weights.detach(), lengths, losses, LOSSES, 1.5)
        (slope,) = torch.autograd.grad((weights * lengths - target).abs().sum(), weights)
        mean = balancer.state["weights.mean"].clone()
        balancer.weights(gramian, losses)
        step = (balancer.state["weights.mean"] - 0.9 * mean) / 0.1
        torch.testing.assert_close(step, slope / (weights.detach() * lengths).mean())
        torch.testing.assert_close(balancer.state["weights"].sum(), torch.tensor(3.0, dtype=torch.float64))


def test_gradnorm_evens_the_norms_out() -> None:
    gramian = torch.diag(torch.tensor([1.0, 9.0, 4.0], dtype=torch.float64))
    balancer = balancers.make("gradnorm", 3, alpha=0.0, lr=0.01)
    for _ in range(1000):
        weights, statistics = balancer(gramian, LOSSES)
    assert statistics["imbalance"] < 0.05
    norms = weights * gramian.diagonal().sqrt()
    torch.testing.assert_close(norms / norms.mean(), torch.ones_like(norms), rtol=0, atol=0.1)


def test_gradnorm_keeps_its_first_losses() -> None:
    """Public code replaces L(0) at every step, so that all rates are one and slow tasks get no larger weight."""
    balancer = balancers.make("gradnorm", 3, alpha=1.5)
    slow = LOSSES * torch.tensor([1.0, 0.1, 0.1], dtype=torch.float64)
    balancer.weights(GRAMIAN, LOSSES)
    for _ in range(50):
        weights = balancer.weights(GRAMIAN, slow)
    torch.testing.assert_close(balancer.state["first"], LOSSES)
    assert weights[0] > 1.5

    faulty = balancers.make("gradnorm", 3, alpha=1.5)
    for losses in (LOSSES, *[slow] * 50):
        faulty.state["started"].fill_(False)
        weights = faulty.weights(GRAMIAN, losses)
    assert weights[0] < 1.1


def test_the_nadir_may_be_of_the_end_of_the_warm_up() -> None:
    balancer = balancers.make("stch", 2, warmup=3, nadir=2)
    for losses in ([100.0, 900.0], [1.0, 2.0], [3.0, 6.0]):
        weights = balancer.weights(torch.eye(2), torch.tensor(losses, dtype=torch.float64))
        assert torch.allclose(weights, 1 / torch.tensor(losses, dtype=torch.float64))
    assert torch.allclose(balancer.state["nadir"], torch.tensor([2.0, 4.0], dtype=torch.float64))
    with pytest.raises(UserError, match="nadir=4 updates are more than the warm-up has, warmup=3"):
        balancers.make("stch", 2, warmup=3, nadir=4)
