"""Every network: what it shares, that it trains with every balancer, and its gradients against plain autograd."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mtrl_conic import balancers, networks
from mtrl_conic.agents.mtsac.agent import MTSAC
from mtrl_conic.agents.mtsac.losses import critic_losses
from mtrl_conic.envs.spec import TaskSpec
from mtrl_conic.errors import UserError
from mtrl_conic.gradients import task_gradients
from tests.agents.test_mtsac import SMALL, SPEC, B, D, K, make_batch, parameters

NETWORKS = networks.available()
HEAD = {"output.weight", "output.bias"}
OWN = {
    "multihead": HEAD,
    "moore": HEAD | {"trunk.mixture.weight"},
    "paco": {"trunk.vectors.weight"},
    "care": {"trunk.vectors.weight"},
}
"""What is each task's own, where not all or nothing is."""


@pytest.mark.parametrize("norm", ["none", "both"])
@pytest.mark.parametrize("network", NETWORKS)
def test_gradients_equal_separate_backwards(network: str, norm: str) -> None:
    agent = MTSAC(SPEC, balancer="ls", network=network, **{**SMALL, "depth": 3, "layer_norm": norm})
    assert_gradients_equal_separate_backwards(agent)


def assert_gradients_equal_separate_backwards(agent: MTSAC) -> None:
    assert agent.critic.layout.native  # one backward is enough
    critic, batch = agent.critic.network, make_batch()
    inputs = (batch.observations, batch.actions, batch.rewards)
    gradients = task_gradients(agent.critic.layout, critic_losses, *inputs)
    named = dict(critic.named_parameters())
    losses = critic_losses(critic, *inputs)[0]
    for task in range(K):
        rows = torch.autograd.grad(losses[task], list(named.values()), retain_graph=True)
        for name, row in zip(named, rows, strict=True):
            mine = gradients.shared[name] if name in gradients.shared else gradients.own[name]
            wanted = row if name in gradients.shared else row[task]
            assert torch.allclose(mine[task], wanted, atol=1e-5, rtol=1e-4), name


@pytest.mark.parametrize("balancer", balancers.available())
@pytest.mark.parametrize("network", ["care", "moore", "paco", "soft_modularization", "single_task"])
def test_every_balancer_trains_it(network: str, balancer: str) -> None:
    agent = MTSAC(SPEC, balancer=balancer, network=network, **SMALL)
    for seed in range(3):
        statistics = agent.update(make_batch(seed))
    assert torch.isfinite(parameters(agent)).all()
    assert all(torch.isfinite(value).all() for value in statistics.values())


def test_single_task_agents_do_not_touch_each_other() -> None:
    """Another task's rewards change nothing, and one of K agents is the agent of a set of one."""
    blocks = []
    for reward in (5.0, -5.0):
        agent = MTSAC(SPEC, balancer="conicgrad", network="single_task", **SMALL)
        batch = make_batch()
        rewards = batch.rewards.clone()
        rewards[2] = reward
        for _ in range(3):
            agent.update(batch._replace(rewards=rewards))
        blocks.append([p.detach().clone() for p in agent.actor.network.parameters()])
    for first, second in zip(*blocks, strict=True):
        assert torch.equal(first[:2], second[:2])
        assert not torch.equal(first[2], second[2])
    assert not agent.actor.layout.shared


@pytest.mark.parametrize("network", NETWORKS)
def test_what_is_shared(network: str) -> None:
    agent = MTSAC(SPEC, balancer="ls", network=network, **SMALL)
    own, shared = set(agent.actor.layout.own), set(agent.actor.layout.shared)
    if network == "single_task":
        assert not shared
    else:
        assert own == OWN.get(network, set())


def test_routes_depend_on_the_task() -> None:
    agent = MTSAC(SPEC, balancer="ls", network="soft_modularization", **SMALL)
    observations = torch.randn(K, B, D)
    observations[..., -K:] = torch.eye(K).unsqueeze(1)
    other = observations.clone()
    other[..., -K:] = torch.eye(K).roll(1, 0).unsqueeze(1)
    assert not torch.allclose(agent.actor.network(observations).mean, agent.actor.network(other).mean)


def test_soft_modules_by_their_definition() -> None:
    """Two modules, three layers, one row, by loops."""
    agent = MTSAC(
        SPEC, balancer="ls", network="soft_modularization", network_options={"modules": 2}, **{**SMALL, "depth": 3}
    )
    trunk = agent.actor.network.trunk
    row = torch.randn(D)
    row[-K:] = torch.eye(K)[1]
    state, task = row[:-K], row[-K:]
    code = trunk.state(state) * trunk.task(task)
    x = [module(state).relu() for module in trunk.first]
    logits = trunk.down[0](code.relu())
    for layer in range(2):
        if layer:
            logits = trunk.down[1]((trunk.up[0](logits) * code).relu())
        weights = logits.view(2, 2).exp()
        weights = weights / weights.sum(1, keepdim=True)
        x = [trunk.layers[layer][i](sum(weights[i, j] * x[j] for j in range(2))).relu() for i in range(2)]
    got = trunk(row.expand(K, 1, D))[0, 0]
    assert torch.allclose(got, x[0] + x[1], atol=1e-5)


def test_trunk_alone_leaves_the_last_layer_to_the_mean() -> None:
    batch = make_batch()
    agents = {
        name: MTSAC(SPEC, balancer=balancer, shared_parameters=parameters, **SMALL)
        for name, balancer, parameters in (("all", "mgda", "all"), ("trunk", "mgda", "trunk"), ("ls", "ls", "all"))
    }
    gradients: dict[str, dict[str, torch.Tensor]] = {}
    for name, agent in agents.items():
        agent._critic_step(batch, batch.rewards, compare=True)
        gradients[name] = {key: p.grad.clone() for key, p in agent.critic.network.named_parameters()}
    for key in gradients["ls"]:
        if "output" in key:
            assert torch.allclose(gradients["trunk"][key], gradients["ls"][key], atol=1e-6)
        else:
            assert not torch.allclose(gradients["trunk"][key], gradients["ls"][key], atol=1e-6)
    trunk = agents["trunk"].critic.layout
    assert trunk.balanced == {name for name in trunk.shared if "output" not in name}


@pytest.mark.parametrize(
    ("spec", "fields", "words"),
    [
        (SPEC, {"actor_depth": 1}, "depth must be at least 2, not 1"),
        (SPEC, {"network": "soft_modularisation"}, "did you mean 'soft_modularization'"),
    ],
)
def test_what_does_not_fit_in_one_line(spec: TaskSpec, fields: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError) as caught:
        MTSAC(spec, **{**SMALL, "network": "soft_modularization", **fields})
    assert words in str(caught.value)
