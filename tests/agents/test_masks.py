"""Tests of tasks with actions of different sizes: the padding has no entropy, no density and no gradient."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mtrl_conic.agents.mtsac.agent import MTSAC
from mtrl_conic.agents.mtsac.config import AgentConfig
from mtrl_conic.agents.mtsac.losses import actor_losses
from mtrl_conic.agents.protocol import Batch
from mtrl_conic.envs.spec import TaskSpec
from mtrl_conic.gradients import Layout, task_gradients
from mtrl_conic.networks.actor_critic import Critic
from mtrl_conic.networks.gaussian import Gaussian, squashed_sample
from mtrl_conic.networks.values import ScalarValue

SPEC = TaskSpec(("one", "three", "two"), 4 + 3, 3, True, (2, 4, 3), (1, 3, 2))
B = 6


def make_agent(network: str = "shared", **fields: object) -> MTSAC:
    return MTSAC(SPEC, balancer="ls", device="cpu", network=network, width=8, depth=2, **fields)


def batch(seed: int = 0) -> Batch:
    draw = torch.Generator().manual_seed(seed)
    observations, following = torch.randn(2, 3, B, 7, generator=draw)
    actions = torch.rand(3, B, 3, generator=draw) * 2 - 1
    rewards, discounts = torch.rand(2, 3, B, generator=draw)
    return Batch(observations, actions, rewards, discounts, following)


@given(seed=st.integers(0, 1000), size=st.integers(1, 4))
@settings(deadline=None, max_examples=30)
def test_log_density_is_that_of_the_policy_without_padding(seed: int, size: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    mean, log_std, noise = torch.randn(3, 5, 4, generator=draw, dtype=torch.float64)
    mask = (torch.arange(4) < size).double()
    actions, density = squashed_sample(Gaussian(mean, log_std), noise, mask)
    own, expected = squashed_sample(Gaussian(mean[:, :size], log_std[:, :size]), noise[:, :size])
    assert torch.allclose(density, expected, rtol=1e-12, atol=1e-12)
    assert torch.equal(actions[:, :size], own)
    assert (actions[:, size:] == 0).all()


def test_gradients_of_padded_outputs_are_zero() -> None:
    gaussian = Gaussian(torch.randn(3, B, 3, requires_grad=True), torch.randn(3, B, 3, requires_grad=True))
    mask = SPEC.action_mask()
    assert mask is not None
    actions, density = squashed_sample(gaussian, torch.randn(3, B, 3), mask)
    (actions.sin().sum() + density.sum()).backward()
    real = mask.expand(3, B, 3).bool()
    for output in gaussian:
        assert output.grad is not None
        assert (output.grad[~real] == 0).all()
        assert (output.grad[real] != 0).all()


@pytest.mark.parametrize("network", ["multihead", "single_task"])
def test_what_a_task_does_not_do_is_not_learned(network: str) -> None:
    agent = make_agent(network)
    draw = torch.Generator().manual_seed(1)
    critic = Critic(SPEC, agent.network, agent.config.critic_layers, value=ScalarValue(), generator=draw)
    data, layout = batch(), Layout(critic)
    gradients = task_gradients(
        agent.actor.layout,
        lambda actor, *inputs: actor_losses(actor, *inputs, critic=layout),
        data.observations,
        torch.randn(3, B, 3),
        torch.ones(3),
        layout.own_values(),
        agent._masks,
    )
    name = next(name for name in agent.actor.layout.own if name.endswith("output.bias"))
    of_bias = gradients.own[name].view(3, 2, 3)  # mean and log standard deviation
    mask = SPEC.action_mask()
    assert mask is not None
    assert (of_bias != 0).equal(mask.bool().expand(3, 2, 3))


def test_target_entropy_is_minus_each_tasks_own_size_unless_given() -> None:
    for given_value, expected in ((None, torch.tensor([-1.0, -3.0, -2.0])), (-0.5, torch.full((3,), -0.5))):
        agent = make_agent(target_entropy=given_value)
        agent._temperature_step(torch.zeros(3))
        assert agent.temperatures.log.grad is not None
        assert torch.equal(agent.temperatures.log.grad, -expected)


def test_actions_are_zero_where_they_pad_and_of_the_tasks_own_size() -> None:
    agent = make_agent()
    padding = np.array([[0, 1, 1], [0, 0, 0], [0, 0, 1]], bool)
    observations = np.random.default_rng(0).normal(size=(3, 7)).astype(np.float32)
    for actions in (agent.random_actions(), agent.act(observations), agent.act(observations, deterministic=True)):
        assert ((actions == 0) == padding).all()
    own = np.array([0.3, -0.2], np.float32)
    full = np.array([0.3, -0.2, 0, 0, 1, 0, 0], np.float32)
    action = agent.act(own, task="one", deterministic=True)
    assert action.shape == (1,)
    assert np.array_equal(action, agent.act(full, task="one", deterministic=True))
    assert agent.act(full[:4], task="three").shape == (3,)


def test_an_update_leaves_padding_alone_and_saving_keeps_the_sizes(tmp_path: object) -> None:
    agent = make_agent("multihead")
    before = agent.actor.network.state_dict()["output.bias"].clone()
    for seed in range(3):
        statistics = agent.update(batch(seed))
    changed = (agent.actor.network.state_dict()["output.bias"] != before).view(3, 2, 3)
    mask = SPEC.action_mask()
    assert mask is not None
    assert changed.equal(mask.bool().expand(3, 2, 3))
    assert torch.isfinite(statistics["entropy"]).all()
    file = f"{tmp_path}/agent.pt"
    agent.save(file)
    again = MTSAC.load(file, device="cpu")
    assert again.spec == SPEC
    observations = np.ones((3, 7), np.float32)
    assert np.array_equal(agent.act(observations), again.act(observations))


def test_without_padding_there_is_no_mask() -> None:
    spec = TaskSpec(("a", "b"), 5, 2, True)
    assert spec.action_mask() is None
    assert MTSAC(spec, balancer="ls", device="cpu", config=AgentConfig(width=4))._masks == ()
