"""Tests of the parts of the strong base, each alone and all together."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional

from mtrl_conic.agents.mtsac.agent import MTSAC
from mtrl_conic.agents.mtsac.config import AgentConfig
from mtrl_conic.agents.mtsac.losses import critic_losses
from mtrl_conic.agents.normalisation.observations import ObservationScale
from mtrl_conic.agents.normalisation.returns import ReturnScale
from mtrl_conic.agents.protocol import Batch
from mtrl_conic.gradients import task_gradients
from mtrl_conic.networks.values import CategoricalValue, ScalarValue
from tests.agents.test_mtsac import SMALL, SPEC, A, B, D, K, make_batch, parameters

PARTS: dict[str, dict[str, Any]] = {
    "own actor size": {"actor_width": 8, "actor_depth": 1},
    "layer norm in the critic": {"layer_norm": "critic"},
    "layer norm in both": {"layer_norm": "both"},
    "residual": {"network_options": {"residual": True}, "layer_norm": "both"},
    "embedding": {"network_options": {"embedding": 5}},
    "embedding and heads": {"network_options": {"embedding": 5}, "network": "multihead"},
    "categorical": {"critic_loss": "categorical", "bins": 21},
    "two-hot": {"critic_loss": "categorical", "bins": 21, "bin_spread": 0},
    "mean of the twins": {"twins": "mean"},
    "one critic": {"critics": 1, "critic_loss": "categorical", "bins": 21},
    "mean of three critics": {"critics": 3, "twins": "mean"},
    "actor of the first critic": {"actor_twins": "first"},
    "reward scale": {"reward_scale": "return"},
    "observation scale": {"observation_scale": "shared"},
    "observation scale of each task": {"observation_scale": "task"},
    "weight decay": {"weight_decay": 0.1, "actor_weight_decay": 0.1},
    "rare actor": {"actor_every": 2},
    "averaged actor": {"average_over": 3},
    "resets": {"reset_every": 3},
    "priorities": {"priority_exponent": 0.6},
    "bfloat16": {"precision": "bfloat16"},
    "strong": {"base": "strong", "actor_width": 16},
}


def observations(seed: int) -> NDArray[np.float32]:
    """Return the observations of a step with one environment per task."""
    return np.random.default_rng(seed).normal(3, 0.1, size=(K, D)).astype(np.float32)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("balancer", ["ls", "conicgrad"])
def test_each_part_updates_and_continues_bit_for_bit(part: str, balancer: str, tmp_path: Path) -> None:
    agent = MTSAC(SPEC, balancer=balancer, seed=2, **SMALL | PARTS[part])
    assert agent.critic.layout.native
    assert agent.actor.layout.native
    for seed in range(4):
        agent.observe(observations(seed), np.arange(K) + 1.0, np.zeros(K, np.bool_))
        agent.update(make_batch(seed))
    agent.save(tmp_path / "agent.pt")
    again = MTSAC.load(tmp_path / "agent.pt", device="cpu")
    for seed in range(4, 8):
        for each in (agent, again):
            each.observe(observations(seed), np.arange(K) - 7.0, np.ones(K, np.bool_))
            statistics = each.update(make_batch(seed))
    assert torch.isfinite(parameters(agent)).all()
    assert torch.equal(parameters(agent), parameters(again))
    assert all(torch.isfinite(value).all() for value in statistics.values())
    assert agent.act(np.zeros((K, D), np.float32)).shape == (K, A)


@pytest.mark.parametrize("part", PARTS)
def test_each_part_fits_fixed_targets(part: str) -> None:
    """With discount 0 the critic regresses on rewards, so a part that trains badly or not at all fails here."""
    fields = {key: value for key, value in PARTS[part].items() if key != "reset_every"}
    agent = MTSAC(SPEC, balancer="ls", learning_rate=3e-3, initial_temperature=1e-6, **SMALL | fields)
    batch = make_batch()
    batch = batch._replace(discounts=torch.zeros(K, B), rewards=batch.rewards.clamp(-2, 2))
    wanted = batch.rewards * agent.return_scale.factors
    for _ in range(300):
        agent.update(batch)
    values = agent.critic.network.values(batch.observations, batch.actions)
    assert (values - wanted).square().mean() < 0.3 * wanted.var()


@pytest.mark.parametrize("critics", [1, 2, 3])
def test_categorical_critic_loss_is_the_cross_entropy_of_the_soft_target(critics: int) -> None:
    agent = MTSAC(SPEC, balancer="ls", **SMALL | PARTS["strong"], critics=critics)
    batch = make_batch()
    noise = torch.randn(K, B, A, generator=torch.Generator().manual_seed(0))
    alpha = torch.tensor([0.1, 0.2, 0.3])
    agent.observe(observations(0), np.array([10.0, 2.0, 0.0]), np.zeros(K, np.bool_))
    target = agent._targets(batch, alpha, noise, agent.return_scale.factors)

    gaussian = agent.actor.network(batch.next_observations)
    action = torch.distributions.Normal(gaussian.mean, gaussian.log_std.exp())
    u = gaussian.mean + gaussian.log_std.exp() * noise
    log_density = (action.log_prob(u) - (1 - u.tanh().square()).log()).sum(-1)
    logits = torch.stack([twin(batch.next_observations, u.tanh()) for twin in agent.target.twins])
    assert len(logits) == critics
    centers = torch.linspace(-10, 10, 101)
    value = (logits.softmax(-1) * centers).sum(-1).mean(0)
    rewards = batch.rewards * torch.tensor([[0.5], [2.5], [1.0]])
    scalar = rewards + batch.discounts * (value - alpha[:, None] * log_density)
    # The target is the histogram of a Gaussian of 0.75 bins around the scalar, truncated to the support.
    edges = torch.linspace(-10.1, 10.1, 102)
    normal = torch.distributions.Normal(scalar.clamp(-10, 10)[..., None], 0.75 * 0.2)
    histogram = normal.cdf(edges).diff(dim=-1)
    assert torch.allclose(target, histogram / histogram.sum(-1, keepdim=True), atol=1e-4)

    losses, told = critic_losses(agent.critic.network, batch.observations, batch.actions, target, errors=True)
    outputs = agent.critic.network(batch.observations, batch.actions)
    expected = sum(
        functional.cross_entropy(output.flatten(0, 1), target.flatten(0, 1), reduction="none").view(K, B).mean(-1)
        for output in outputs
    )
    assert torch.allclose(losses, expected, atol=1e-4)
    values = (outputs.softmax(-1) * centers).sum(-1)
    assert torch.allclose(told["critic/value"], values.mean((0, 2)), atol=1e-5)
    assert torch.allclose(told["errors"], (values.mean(0) - scalar).abs(), atol=1e-4)


@pytest.mark.parametrize("twins", ["min", "mean"])
def test_the_actor_follows_the_critics_that_are_chosen(twins: str) -> None:
    batch, alpha = make_batch(), torch.tensor([0.1, 0.2, 0.3])
    noise = torch.randn(K, B, A, generator=torch.Generator().manual_seed(0))
    for chosen in ("all", "first"):
        agent = MTSAC(SPEC, balancer="ls", seed=0, **SMALL, twins=twins, actor_twins=chosen)
        own = agent.critic.layout.own_values()
        found, log_density = agent._actor_losses(agent.actor.network, batch.observations, noise, alpha, own)
        gaussian = agent.actor.network(batch.observations)
        actions = (gaussian.mean + gaussian.log_std.exp() * noise).tanh()
        values = torch.stack([twin(batch.observations, actions) for twin in agent.critic.network.twins]).squeeze(-1)
        combined = values.amin(0) if twins == "min" else values.mean(0)
        followed = values[0] if chosen == "first" else combined
        assert not torch.allclose(values[0], combined)
        assert torch.allclose(found, alpha * log_density - followed.mean(-1), atol=1e-5)


@pytest.mark.parametrize("spread", [0.0, 0.75, 2.0])
def test_targets_over_bins_are_distributions_around_the_value(spread: float) -> None:
    value = CategoricalValue(41, 10.0, spread)
    wanted = torch.tensor([-9.0, -0.3, 0.0, 0.123, 4.0, 8.9])
    target = value.target(wanted)
    assert torch.allclose(target.sum(-1), torch.ones(6), atol=1e-6)
    assert (target >= 0).all()
    mean = target @ value.centers
    inner = wanted.abs() < 6  # near the end of the bins a Gaussian is truncated on one side
    assert torch.allclose(mean[inner], wanted[inner], atol=1e-4)
    assert (target.argmax(-1) - (wanted + 10) / 0.5).abs().max() <= 0.5 + 1e-5
    beyond = value.target(torch.tensor([-50.0, 50.0]))
    assert beyond[0].argmax() == 0
    assert beyond[1].argmax() == 40


def test_the_right_logits_give_the_value_back() -> None:
    value = CategoricalValue(101, 10.0, 0.75)
    wanted = torch.linspace(-8, 8, 7)
    assert torch.allclose(value.mean(value.target(wanted).clamp_min(1e-12).log()), wanted, atol=1e-3)
    assert torch.equal(ScalarValue().mean(wanted.unsqueeze(-1)), wanted)


def test_return_scale_is_the_largest_discounted_return() -> None:
    scale = ReturnScale(2, discount=0.5, limit=4.0)
    rows = [([1.0, 0.0], False), ([2.0, -1.0], True), ([0.5, 0.0], False), ([-3.0, 0.0], False)]
    for rewards, ended in rows:
        scale.observe(np.array(rewards), np.array([ended, False]))
    # Returns of task 0: 1, then 2.5, end, 0.5, then -2.75, so 2.75 is the largest. Task 1: 0, -1, -0.5, -0.25.
    assert torch.allclose(scale.factors, torch.tensor([[4 / 2.75], [4.0]]))
    again = ReturnScale(2, discount=0.5, limit=4.0)
    again.load_state_dict(scale.state_dict())
    for each in (scale, again):
        each.observe(np.array([-2.0, 5.0]), np.array([False, False]))
    assert torch.equal(scale.factors, again.factors)
    assert torch.allclose(scale.factors, torch.tensor([[4 / 3.375], [4 / 4.875]]))


@pytest.mark.parametrize("over", ["shared", "task"])
def test_observations_are_standardized_by_all_seen(over: Literal["shared", "task"]) -> None:
    features, copies = D - K, 2
    seen = np.random.default_rng(3).normal(5, [0.1, 3.0, 1.0, 0.5], size=(30, K, copies, features))
    seen[:, 1] -= 40
    one_hot = np.broadcast_to(np.eye(K)[:, None], (30, K, copies, K))
    steps = np.concatenate([seen, one_hot], axis=-1).astype(np.float32)
    scale = ObservationScale(SPEC, over)
    rows = torch.from_numpy(steps).transpose(0, 1).flatten(1, 2)
    assert torch.equal(scale.standardize(rows[..., -K:].new_zeros(rows.shape)), torch.zeros(rows.shape))
    for step in steps[:20]:
        scale.observe(step.reshape(K * copies, D))
    again = ObservationScale(SPEC, over)
    again.load_state_dict(scale.state_dict())
    for each in (scale, again):
        for step in steps[20:]:
            each.observe(step.reshape(K * copies, D))
        axes = (0, 2) if over == "task" else (0, 1, 2)
        mean, deviation = seen.mean(axes, keepdims=True), np.sqrt(seen.var(axes, keepdims=True) + 1e-4)
        wanted = ((seen - mean) / deviation).transpose(1, 0, 2, 3).reshape(K, -1, features)
        found = each.standardize(rows)
        assert np.allclose(found[..., :features], wanted, atol=1e-4)
        assert torch.equal(found[..., features:], rows[..., features:])
    assert torch.equal(scale.standardize(rows), again.standardize(rows))


def test_a_constant_feature_is_not_blown_up() -> None:
    scale = ObservationScale(SPEC, "shared")
    for _ in range(3):
        scale.observe(np.full((K, D), 7.0, np.float32))
    moved = torch.full((K, 1, D), 7.0)
    moved[..., 0] += 1e-4
    assert scale.standardize(moved)[..., 0].abs().max() < 0.02
    moved[..., 0] += 1e6
    assert scale.standardize(moved)[..., 0].max() == 10


def test_updates_and_actions_see_standardized_observations() -> None:
    """An agent given shifted and scaled observations learns and acts as one given the standardized ones."""
    standard, moved = (MTSAC(SPEC, balancer="ls", seed=1, observation_scale=how, **SMALL) for how in ("none", "shared"))
    assert moved.observation_scale is not None
    for seed in range(50):
        moved.observe(observations(seed), np.zeros(K), np.zeros(K, np.bool_))
    transform = moved.observation_scale.standardize
    batch = make_batch()
    back = [
        rows.clamp(-3, 3) / transform.inverse + transform.mean for rows in (batch.observations, batch.next_observations)
    ]
    given = batch._replace(observations=back[0], next_observations=back[1])
    standard.update(batch._replace(observations=transform(back[0]), next_observations=transform(back[1])))
    moved.update(given)
    assert torch.equal(parameters(standard), parameters(moved))
    rows = back[0][:, 0]
    wanted = standard.act(transform(rows.unsqueeze(1))[:, 0].numpy(), deterministic=True)
    assert np.array_equal(moved.act(rows.numpy(), deterministic=True), wanted)


def test_raw_rewards_without_a_scale() -> None:
    agent = MTSAC(SPEC, balancer="ls", **SMALL)
    agent.observe(observations(0), np.full(K, 1e6), np.zeros(K, np.bool_))
    assert torch.equal(agent.return_scale.factors, torch.ones(K, 1))


def test_rare_actor() -> None:
    agent = MTSAC(SPEC, balancer="ls", actor_every=3, **SMALL)
    for update in range(6):
        actor, critic = agent.actor.block.detach().clone(), agent.critic.block.detach().clone()
        statistics = agent.update(make_batch(update))
        assert torch.equal(agent.actor.block, actor) == (update % 3 != 0)
        assert ("actor/loss" in statistics) == (update % 3 == 0)
        assert not torch.equal(agent.critic.block, critic)


def test_resets_start_afresh_with_other_values() -> None:
    agent = MTSAC(SPEC, balancer="ls", reset_every=2, learning_rate=1e-6, seed=1, **SMALL)
    blocks = []
    for update in range(5):
        agent.update(make_batch(update))
        blocks.append(agent.critic.block.detach().clone())
    close = [torch.allclose(a, b, atol=1e-4) for a, b in pairwise(blocks)]
    assert close == [True, False, True, False]


def test_the_learned_code_takes_the_place_of_the_one_hot() -> None:
    agent = MTSAC(SPEC, balancer="ls", network_options={"embedding": 5}, **SMALL)
    observations = torch.randn(K, B, D)
    other = observations.clone()
    other[..., -K:] += 1
    assert torch.equal(agent.actor.network(observations).mean, agent.actor.network(other).mean)
    assert [name for name in agent.actor.layout.own if "embedding" in name] == ["trunk.embedding.weight"]
    swapped = agent.actor.network(observations[[1, 0, 2]]).mean[[1, 0, 2]]
    assert not torch.allclose(swapped, agent.actor.network(observations).mean), "the code tells tasks apart"


@pytest.mark.parametrize("base", ["classic", "strong"])
def test_bfloat16_points_where_float32_does(base: str) -> None:
    """A trained critic gets a batch that it has not seen; weights and gradients stay float32."""
    fields: dict[str, Any] = {"base": base, "width": 128, "actor_width": 128, "depth": 3}
    agent = MTSAC(SPEC, balancer="conicgrad", learning_rate=1e-3, **fields)
    generator = torch.Generator().manual_seed(0)

    def fresh() -> Batch:
        observations = torch.randn(K, 64, D, generator=generator)
        actions = torch.randn(K, 64, A, generator=generator).tanh()
        rewards = observations[..., 0] + actions[..., 0] * observations[..., 1]
        return Batch(observations, actions, rewards, torch.full((K, 64), 0.9), observations.roll(1, 1))

    for _ in range(150):
        agent.update(fresh())
    rounded = MTSAC(SPEC, balancer="conicgrad", precision="bfloat16", **fields)
    rounded.load_state_dict(agent.state_dict())
    noise = torch.randn(K, 64, A, generator=generator)
    batch = fresh()
    target = agent._targets(batch, agent.temperatures.log.detach().exp(), noise, agent.return_scale.factors)
    directions = []
    for each in (agent, rounded):
        gradients = task_gradients(each.critic.layout, critic_losses, batch.observations, batch.actions, target)
        parts = gradients.combine(torch.full((K,), 1 / K)).values()
        directions.append(torch.cat([part.flatten() for part in parts]))
        assert all(block.dtype == torch.float32 for block in gradients.shared.values())
        assert all(p.dtype == torch.float32 for p in each.critic.network.parameters())
    assert not torch.equal(*directions), "the rounding is there"
    assert functional.cosine_similarity(*directions, dim=0) > 0.999


@pytest.mark.parametrize("instructions", ["_is_amx_tile_supported", "_is_avx512_bf16_supported", None])
def test_automatic_precision_follows_the_processor(monkeypatch: pytest.MonkeyPatch, instructions: str | None) -> None:
    for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda name=name: name == instructions)
    agent = MTSAC(SPEC, balancer="ls", precision="auto", device="cpu", width=16)
    assert agent.config.precision == ("float32" if instructions is None else "bfloat16")


def test_a_base_gives_defaults_that_fields_override() -> None:
    assert AgentConfig(base="strong").critic_loss == "categorical"
    assert AgentConfig(base="strong", critic_loss="squared").critic_loss == "squared"
    assert AgentConfig().critic_loss == "squared"
