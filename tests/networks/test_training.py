"""Networks that are mixed or composed by task: finite after many updates, traced, in bfloat16, saved and loaded."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from mtrl_conic import MTSAC, Policy, balancers
from mtrl_conic.agents.mtsac.losses import critic_losses
from mtrl_conic.balancers import JacobianBalancer
from mtrl_conic.gradients import task_gradients
from tests.agents.test_mtsac import SMALL, SPEC, D, K, make_batch, parameters

NETWORKS = ["care", "moore", "paco"]
GRAM = [name for name in balancers.available() if not issubclass(balancers.get(name), JacobianBalancer)]
UPDATES = int(os.environ.get("MTRL_CONIC_UPDATES", "200"))
"""Number of updates in the slow test; 2,000 take more than an hour."""
STRONG = {**SMALL, "base": "strong", "actor_width": 16, "device": "cpu"}


def train(network: str, balancer: str, updates: int, **options: object) -> None:
    agent = MTSAC(SPEC, balancer=balancer, network=network, network_options=options, **STRONG)
    batches = [make_batch(seed) for seed in range(8)]
    for update in range(updates):
        statistics = agent.update(batches[update % 8])
    assert torch.isfinite(parameters(agent)).all()
    assert all(torch.isfinite(value).all() for value in statistics.values())


@pytest.mark.parametrize("network", NETWORKS)
def test_finite_after_60_updates(network: str) -> None:
    train(network, "conicgrad", 60)


@pytest.mark.slow
@pytest.mark.parametrize("balancer", GRAM)
@pytest.mark.parametrize(
    ("network", "options"),
    [(network, {}) for network in NETWORKS] + [("shared", {"film": True}), ("shared", {"embedding": 8})],
)
def test_finite_after_many_updates_with_every_gram_balancer(
    network: str, options: dict[str, object], balancer: str
) -> None:
    train(network, balancer, UPDATES, **options)


@pytest.mark.parametrize("network", NETWORKS)
def test_operations_of_one_backward_can_be_written_down(network: str) -> None:
    """As the compiler asks for them: the same gradients, forward and backward in one graph."""
    agent, batch = MTSAC(SPEC, balancer="ls", network=network, **STRONG), make_batch()
    target = agent.target.value.target(batch.rewards)
    inputs = (batch.observations, batch.actions, target)

    def gradients(*given: torch.Tensor) -> dict[str, torch.Tensor]:
        found = task_gradients(agent.critic.layout, critic_losses, *given)
        return found.shared | found.own

    eager, traced = gradients(*inputs), make_fx(gradients)(*inputs)(*inputs)
    for name, gradient in eager.items():
        assert torch.allclose(traced[name], gradient, atol=1e-6), name


@pytest.mark.parametrize("network", NETWORKS)
def test_bfloat16_products(network: str) -> None:
    """Only the shared hidden layers round: the outputs are near those in float32, and not equal to them."""
    observations = make_batch().observations
    means = []
    for precision in ("float32", "bfloat16"):
        agent = MTSAC(SPEC, balancer="conicgrad", network=network, precision=precision, **STRONG)
        means.append(agent.actor.network(observations).mean.detach())
        agent.update(make_batch())
        assert torch.isfinite(parameters(agent)).all()
    assert means[1].dtype == torch.float32
    assert not torch.equal(*means)
    assert torch.allclose(*means, atol=0.03)


@pytest.mark.parametrize("network", NETWORKS)
def test_saved_and_loaded(network: str, tmp_path: Path) -> None:
    agent = MTSAC(SPEC, balancer="conicgrad", network=network, **STRONG)
    agent.update(make_batch())
    agent.save(tmp_path / "agent.pt")
    agent.policy().save(tmp_path / "policy")
    again, policy = MTSAC.load(tmp_path / "agent.pt", device="cpu"), Policy.load(tmp_path / "policy")
    assert torch.equal(parameters(again), parameters(agent))
    observations = np.ones((K, D), np.float32)
    assert np.array_equal(policy.act(observations), agent.policy().act(observations))
    for each in (agent, again):
        each.update(make_batch(1))
    assert torch.equal(parameters(again), parameters(agent))
