"""Tests of the policy that acts deterministically: the actor, or one with the average of its weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from mtrl_conic.agents.mtsac.agent import MTSAC
from tests.agents.test_mtsac import SMALL, SPEC, D, K, make_batch

OBSERVATIONS = np.random.default_rng(0).normal(size=(K, D)).astype(np.float32)


def make_agent(over: int, actor_every: int = 1) -> MTSAC:
    return MTSAC(SPEC, balancer="ls", seed=3, average_over=over, actor_every=actor_every, **SMALL)


def weights(agent: MTSAC) -> Tensor:
    return torch.cat([p.detach().flatten() for p in agent.policy().parameters()])


@pytest.mark.parametrize("actor_every", [1, 2])
def test_an_exponential_average_of_the_actor_after_each_of_its_steps(actor_every: int) -> None:
    agent = make_agent(4, actor_every)
    wanted, steps = torch.zeros_like(agent.actor.block), 0
    for update in range(16):
        agent.update(make_batch(update))
        if update % actor_every == 0:
            steps += 1
            rate = 1 / min(steps, 4)
            wanted = (1 - rate) * wanted + rate * agent.actor.block.detach()
    torch.testing.assert_close(weights(agent), wanted)
    assert not torch.allclose(weights(agent), agent.actor.block)


def test_training_is_the_same_with_it() -> None:
    averaged, plain = make_agent(4), make_agent(0)
    for update in range(4):
        statistics = [agent.update(make_batch(update)) for agent in (averaged, plain)]
    for mine, other in ((averaged.actor, plain.actor), (averaged.critic, plain.critic)):
        assert torch.equal(mine.block, other.block)
    assert all(torch.equal(statistics[0][name], statistics[1][name]) for name in statistics[1])
    assert np.array_equal(averaged.act(OBSERVATIONS), plain.act(OBSERVATIONS)), "samples are the actor's"


def test_deterministic_actions_are_those_of_the_average() -> None:
    agent = make_agent(4)
    for update in range(6):
        agent.update(make_batch(update))
    actor = MTSAC(SPEC, balancer="ls", **SMALL)
    actor.actor.network.load_state_dict(agent.policy().actor.state_dict())
    acted = agent.act(OBSERVATIONS, deterministic=True)
    assert np.array_equal(acted, actor.act(OBSERVATIONS, deterministic=True))
    np.testing.assert_allclose(agent.policy().act(OBSERVATIONS), acted, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("over", [0, 4])
def test_a_saved_agent_goes_on_with_its_average(over: int, tmp_path: Path) -> None:
    agent = make_agent(over)
    agent.update(make_batch(0))
    agent.save(tmp_path / "agent.pt")
    again = MTSAC.load(tmp_path / "agent.pt", device="cpu")
    assert torch.equal(weights(again), weights(agent))
    for each in (agent, again):
        each.update(make_batch(1))
    assert torch.equal(weights(again), weights(agent))


def test_a_reset_starts_the_average_afresh() -> None:
    agent = MTSAC(SPEC, balancer="ls", average_over=1000, reset_every=2, learning_rate=1e-6, **SMALL)
    for update in range(3):
        agent.update(make_batch(update))
    torch.testing.assert_close(weights(agent), agent.actor.block.detach(), rtol=0, atol=1e-4)
