"""Tests of the options for the older MT10 tables, each compared with its formula on both bases."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mtrl_conic import MTSAC, Policy, balancers
from mtrl_conic.agents.normalisation.rewards import RewardScale
from mtrl_conic.agents.protocol import Batch
from mtrl_conic.envs.spec import TaskSpec
from mtrl_conic.errors import UserError
from mtrl_conic.execution import Compiled
from mtrl_conic.networks import available
from mtrl_conic.networks.gaussian import squashed_sample
from mtrl_conic.training.replay import Replay
from tests.agents.test_mtsac import SMALL, SPEC, A, B, D, K, make_batch

BASES = ("classic", "strong")
CLASSIC: dict[str, Any] = {**SMALL, "base": "classic"}

OF_ONE_BATCH = [name for name in balancers.available() if balancers.make(name, 3).batches == 1]
"""Methods of several batches refuse `batch=uniform`, see tests/agents/test_batches.py."""


def uneven(batch: Batch, counts: tuple[int, ...]) -> Batch:
    """Return a batch in which only the first rows of each task, as many as `counts` says, have a weight."""
    weights = torch.zeros(K, B)
    for task, count in enumerate(counts):
        weights[task, :count] = 1 / max(count, 1)
    return batch._replace(weights=(weights,))


# Rewards divided by their standard deviation.


def test_rewards_are_divided_by_the_root_of_a_running_variance() -> None:
    scale, rewards = RewardScale(2, 0.001), np.random.default_rng(0).normal(3, 50, (400, 2, 3))
    mean, variance = np.zeros(2), np.ones(2)
    for step in rewards:
        expected = np.empty((2, 3))
        for task in range(2):
            for place in range(3):
                reward = step[task, place]
                mean[task] = 0.999 * mean[task] + 0.001 * reward
                variance[task] = 0.999 * variance[task] + 0.001 * (reward - mean[task]) ** 2
                expected[task, place] = reward / (math.sqrt(variance[task]) + 1e-8)
        assert np.allclose(scale.observe(step.reshape(-1)), expected.reshape(-1), rtol=1e-12)
    other = RewardScale(2, 0.001)
    other.load_state_dict(copy.deepcopy(scale.state_dict()))
    assert np.array_equal(other.observe(rewards[0].reshape(-1)), scale.observe(rewards[0].reshape(-1)))


@pytest.mark.parametrize("base", BASES)
def test_the_replay_keeps_rewards_as_they_were_scaled(base: str) -> None:
    from mtrl_conic.training import Trainer, TrainingConfig
    from tests.agents.test_own_agent import make_envs

    kept = {}
    for choice in ("none", "deviation"):
        envs = make_envs()
        agent = MTSAC(envs, balancer="ls", base=base, width=8, random_steps=100, reward_scale=choice, device="cpu")
        trainer = Trainer(envs, agent, config=TrainingConfig(replay_capacity=100))
        trainer.train(30)
        kept[choice] = trainer.replay._block[:, :30, -3 - D - A :]
        rewards = trainer.replay._block[:, :30, agent.spec.observation_dim + agent.spec.action_dim]
        kept[choice] = rewards.numpy().copy()
        envs.close()
    scale = RewardScale(2, 0.001)
    expected = np.array([scale.observe(step.astype(np.float64)) for step in kept["none"].T]).T
    assert np.allclose(kept["deviation"], expected, rtol=1e-6)
    assert not np.allclose(kept["deviation"], kept["none"], rtol=1e-4)


def test_an_agent_with_scaled_rewards_goes_on_with_its_scale(tmp_path: Path) -> None:
    agent = MTSAC(SPEC, balancer="ls", reward_scale="deviation", **CLASSIC)
    rows, ended = np.zeros((K, D), np.float32), np.zeros(K, np.bool_)
    for reward in (5.0, -3.0, 40.0):
        agent.observe(rows, np.full(K, reward), ended)
    agent.save(tmp_path / "agent.pt")
    again = MTSAC.load(tmp_path / "agent.pt", device="cpu")
    scaled, other = (each.observe(rows, np.full(K, 7.0), ended) for each in (agent, again))
    assert scaled is not None
    assert other is not None
    assert np.array_equal(scaled, other)
    assert scaled[0] != 7.0


# Temperatures.


@pytest.mark.parametrize("base", BASES)
def test_one_temperature_learns_from_the_rows_of_all_tasks(base: str) -> None:
    agent = MTSAC(SPEC, balancer="ls", base=base, temperatures="shared", **SMALL)
    told = agent.update(make_batch())
    assert agent.temperatures.log.shape == (1,)
    assert told["temperature"].shape == (K,)
    assert agent.temperatures.log.grad is not None
    target = agent.temperatures.target_entropy
    assert torch.allclose(agent.temperatures.log.grad, (told["entropy"] - target).mean(), atol=1e-6)
    counts = torch.tensor([1.0, 6.0, 2.0])
    told = agent.update(uneven(make_batch(1), (1, 6, 2)))
    expected = ((told["entropy"] - target) * counts).sum() / counts.sum()
    assert torch.allclose(agent.temperatures.log.grad, expected, atol=1e-6)


def test_a_shared_temperature_is_saved(tmp_path: Path) -> None:
    agent = MTSAC(SPEC, balancer="ls", temperatures="shared", **CLASSIC)
    agent.update(make_batch())
    agent.save(tmp_path / "agent.pt")
    again = MTSAC.load(tmp_path / "agent.pt", device="cpu")
    assert torch.equal(agent.temperatures.log, again.temperatures.log)


# Batches that are drawn uniformly over all tasks.


def filled(tasks: int = 3, n_step: int = 1) -> Replay:
    replay = Replay(tasks, 50, 1, 1, seed=0, n_step=n_step)
    rows = np.arange(tasks, dtype=np.float32)[:, None]
    never = np.zeros(tasks, np.bool_)
    for _ in range(20):
        replay.add(rows, rows, rows[:, 0].astype(np.float64), never, never, rows)
    return replay


@pytest.mark.parametrize("n_step", [1, 3])
def test_rows_are_drawn_uniformly_over_tasks(n_step: int) -> None:
    replay, batch_size, drawn = filled(n_step=n_step), 16, []
    for _ in range(400):
        batch = replay.sample(batch_size, balanced=False)
        (weights,) = batch.weights
        counts = weights.count_nonzero(1)
        assert counts.sum() == 3 * batch_size
        assert torch.allclose(weights, (weights > 0) / counts.clamp_min(1).unsqueeze(1))
        assert batch.observations.shape == (3, weights.shape[1], 1)
        assert (batch.observations == torch.arange(3.0).view(3, 1, 1)).all()
        drawn.append(counts)
    counts = torch.stack(drawn).double()
    # The counts are binomial: 48 draws with a probability of one third.
    assert torch.allclose(counts.mean(0), torch.tensor(16.0).double(), atol=0.7)
    assert torch.allclose(counts.var(0), torch.tensor(48 * 2 / 9).double(), rtol=0.25)


def test_few_rows_may_miss_a_task() -> None:
    replay = filled()
    lacking = [replay.sample(1, balanced=False).present() for _ in range(100)]
    assert any(present is not None for present in lacking)
    assert any(present is None for present in lacking)
    assert replay.sample(1).present() is None


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("network", ["shared", "multihead"])
def test_losses_are_means_over_the_rows_there_are(base: str, network: str) -> None:
    """With unequal numbers of rows each task gets the loss and gradient of a batch of its own rows only."""
    fields = {"base": base, "network": network, **SMALL}
    counts = (1, 5, 8)
    agent = MTSAC(SPEC, balancer="ls", **fields)
    told = agent.update(uneven(make_batch(), counts))
    for task, count in enumerate(counts):
        alone = MTSAC(SPEC, balancer="ls", **fields)
        few = Batch(*(rows[:, :count] for rows in make_batch()[:5]))
        noises = torch.randn((2, K, B, A), generator=copy.deepcopy(alone._generator))[:, :, :count]
        expected = alone._update(few, noises, compare=True, act=True)
        for name in ("critic/loss", "critic/value", "entropy", "critic/gradient_norm"):
            assert torch.allclose(told[name][task], expected[name][task], rtol=1e-4, atol=1e-5), name


@pytest.mark.parametrize("name", [name for name in OF_ONE_BATCH if not balancers.get(name).every_task])
def test_a_task_without_rows_is_left_out_of_the_update(name: str) -> None:
    """The others are combined as by a balancer for them alone, and no parameter of the absent task changes."""
    agent = MTSAC(SPEC, balancer=name, network="multihead", seed=2, **CLASSIC)
    batch = uneven(make_batch(), (4, 0, 8))
    few = balancers.make(name, 2, seed=2 * agent.seed)
    found = agent.execution.task_gradients(
        "critic", agent.critic.layout, _losses(agent), batch.observations, batch.actions, batch.rewards, batch.weights
    )
    expected = few.direction(found.jacobian()[[0, 2]], found.losses[[0, 2]])
    direction, told = found.among([0, 2]).balance(agent.critic.balancer)
    for parameter, part in found.unflatten(expected).items():
        assert torch.allclose(direction[parameter], part, rtol=1e-4, atol=1e-6), parameter
    if "weight" in told:
        assert told["weight"][1] == 0
    heads = agent.critic.layout.own_values()
    before = {name: value.clone() for name, value in heads.items()}, agent.temperatures.log.detach().clone()
    statistics = agent.update(batch)
    assert all(value.isfinite().all() for value in statistics.values())
    for part, value in agent.critic.layout.own_values().items():
        assert torch.equal(value[1], before[0][part][1])
        assert not torch.equal(value[0], before[0][part][0])
    assert (agent.temperatures.log.detach() != before[1]).tolist() == [True, False, True]


def _losses(agent: MTSAC) -> Any:
    from mtrl_conic.agents.mtsac.losses import critic_losses

    return critic_losses


def test_what_is_left_to_the_mean_is_the_mean_of_the_tasks_there() -> None:
    agent = MTSAC(SPEC, balancer="mgda", shared_parameters="trunk", **CLASSIC)
    batch = uneven(make_batch(), (4, 0, 8))
    given = batch.observations, batch.actions, batch.rewards, batch.weights
    found = agent.execution.task_gradients("critic", agent.critic.layout, _losses(agent), *given).among([0, 2])
    found.fill(agent.critic.network, found.balance(agent.critic.balancer)[0])
    name = next(iter(found.averaged))
    part = found.averaged[name]
    of_tasks = part if isinstance(part, Tensor) else part.product()
    assert torch.allclose(dict(agent.critic.network.named_parameters())[name].grad, of_tasks.sum(0) / 2, atol=1e-6)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [name for name in balancers.available() if balancers.get(name).every_task])
def test_methods_that_follow_every_task_refuse_small_uniform_batches(name: str) -> None:
    fields = {**CLASSIC, "batch": "uniform"}
    with pytest.raises(UserError, match=f"{name} needs every task.*choose batch_size=32 or more"):
        MTSAC(SPEC, balancer=name, **fields)
    MTSAC(SPEC, balancer=name, **{**fields, "batch_size": 32})


@pytest.mark.slow
@pytest.mark.parametrize("base", BASES)
def test_compiled_updates_are_those_of_eager_ones(base: str) -> None:
    fields = {**SMALL, "base": base, "temperatures": "shared", "batch": "uniform", "log_std": "tanh"}
    agents = [MTSAC(SPEC, balancer="pcgrad", seed=1, **fields), MTSAC(SPEC, balancer="pcgrad", seed=1, **fields)]
    agents[1].execution = Compiled()
    for seed, counts in enumerate([(3, 8, 2), (1, 1, 8), (4, 0, 8)]):
        batch = uneven(make_batch(seed), counts)
        told, other = (agent.update(batch) for agent in agents)
        for name in ("critic/loss", "actor/loss"):
            assert torch.allclose(told[name], other[name], rtol=1e-4, atol=1e-5)


# The standard deviation.


def test_the_log_deviation_may_be_bounded_by_tanh(tmp_path: Path) -> None:
    agents = {choice: MTSAC(SPEC, balancer="ls", log_std=choice, seed=1, **CLASSIC) for choice in ("clamp", "tanh")}
    observations = 3 * make_batch().observations
    clamped, bounded = (agents[choice].actor.network(observations) for choice in ("clamp", "tanh"))
    assert torch.equal(clamped.mean, bounded.mean)
    assert torch.allclose(bounded.log_std, -20 + 11 * (1 + torch.tanh(clamped.log_std)), atol=1e-5)
    agents["tanh"].policy().save(tmp_path / "policy")
    actor = Policy.load(tmp_path / "policy").actor
    assert torch.equal(actor(observations).log_std, bounded.log_std)
    described = agents["clamp"].actor.network.description()
    del described["log_std"]
    assert type(actor).described(SPEC, described).log_std == "clamp", "what was described before"


# Soft modularisation without the one-hot.


def test_soft_modularisation_routes_by_place_where_observations_tell_no_task() -> None:
    """A network that sees the one-hots computes the same function."""
    bare = TaskSpec(SPEC.task_names, D - K, A, False)
    fields = {**CLASSIC, "network": "soft_modularization", "seed": 4}
    told, untold = MTSAC(SPEC, balancer="ls", **fields), MTSAC(bare, balancer="ls", **fields)
    one_hots = torch.eye(K).unsqueeze(1).expand(K, B, K)
    rows = torch.randn(K, B, D - K)
    with_task = told.actor.network(torch.cat([rows, one_hots], -1))
    without = untold.actor.network(rows)
    assert torch.allclose(with_task.mean, without.mean, atol=1e-6)
    assert not torch.allclose(without.mean, untold.actor.network(rows.flip(0)).mean.flip(0), atol=1e-3)


def test_every_network_runs_without_a_one_hot_or_says_what_it_misses() -> None:
    bare = TaskSpec(SPEC.task_names, D - K, A, False)
    refused = []
    for network in available():
        try:
            MTSAC(bare, balancer="ls", network=network, **CLASSIC)
        except UserError:
            refused.append(network)
    assert "soft_modularization" not in refused
    assert "shared" not in refused


# All options at once.


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("name", OF_ONE_BATCH)
def test_all_options_at_once_with_every_balancer(base: str, name: str) -> None:
    options = {"temperatures": "shared", "batch": "uniform", "log_std": "tanh", "reward_scale": "deviation"}
    agent = MTSAC(SPEC, balancer=name, base=base, **{**SMALL, "batch_size": 32}, **options)
    for seed in range(2):
        told = agent.update(uneven(make_batch(seed), (2, 8, 5)))
    assert all(value.isfinite().all() for value in told.values())
    actions, _ = squashed_sample(agent.actor.network(make_batch().observations), torch.zeros(K, B, A))
    assert actions.isfinite().all()
