"""Tests of the agent against plain autograd, and of its contract."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import Tensor

from mtrl_conic import MTSAC, balancers
from mtrl_conic.agents.protocol import Batch
from mtrl_conic.envs.spec import TaskSpec
from mtrl_conic.errors import UserError
from mtrl_conic.networks.gaussian import squashed_sample

K, B, D, A = 3, 8, 7, 2
SPEC = TaskSpec(("left", "right", "up"), D, A, True)
SMALL: dict[str, Any] = {"width": 16, "depth": 2, "batch_size": B}


def make_batch(seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    discounts = torch.full((K, B), 0.99)
    discounts[0, 0] = 0
    return Batch(normal(K, B, D), normal(K, B, A).tanh(), normal(K, B), discounts, normal(K, B, D))


def parameters(agent: MTSAC) -> Tensor:
    policy = [p.flatten() for p in agent.policy().parameters()]
    learned = [agent.actor.block, agent.critic.block, agent._target_block, agent.temperatures.log]
    return torch.cat(learned + policy).detach()


@pytest.mark.parametrize("network", ["shared", "multihead"])
def test_update_equals_textbook_sac(network: str) -> None:
    """With `ls` an update is one of SAC on the mean over tasks, written here with plain autograd and Adam."""
    agent = MTSAC(SPEC, balancer="ls", network=network, seed=1, **SMALL)
    twin = MTSAC(SPEC, balancer="ls", network=network, seed=1, **SMALL)
    batch = make_batch()
    agent.update(batch)

    actor, critic, target = twin.actor.network, twin.critic.network, twin.target
    next_noise, noise = torch.randn((2, K, B, A), generator=twin._generator)
    alpha = twin.temperatures.log.detach().exp().unsqueeze(1)
    with torch.no_grad():
        action, log_density = squashed_sample(actor(batch.next_observations), next_noise)
        bootstrap = target(batch.next_observations, action).squeeze(-1).amin(0) - alpha * log_density
        targets = batch.rewards + batch.discounts * bootstrap
    # Heads get the gradient of their own loss, K times that of the mean: Adam's first step depends on signs only.
    values = critic(batch.observations, batch.actions).squeeze(-1)
    _adam(critic, (values - targets).square().mean(-1).sum(0).mean())
    action, log_density = squashed_sample(actor(batch.observations), noise)
    loss = (alpha * log_density - critic(batch.observations, action).squeeze(-1).amin(0)).mean()
    _adam(actor, loss)
    with torch.no_grad():
        temperature = twin.temperatures.log - 3e-4 * torch.sign(-(log_density.mean(-1) - A))

    for mine, expected in ((agent.critic.network, critic), (agent.actor.network, actor)):
        for (name, p), q in zip(mine.named_parameters(), expected.parameters(), strict=True):
            assert torch.allclose(p, q, atol=2e-6), name
    assert torch.allclose(agent.temperatures.log, temperature, atol=1e-6)
    for p, old, new in zip(agent.target.parameters(), target.parameters(), critic.parameters(), strict=True):
        assert torch.allclose(p, 0.995 * old + 0.005 * new, atol=1e-7)


def _adam(network: torch.nn.Module, loss: Tensor) -> None:
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-4)
    gradients = torch.autograd.grad(loss, list(network.parameters()))
    for p, gradient in zip(network.parameters(), gradients, strict=True):
        p.grad = gradient
    optimizer.step()


def test_only_termination_ends_the_value() -> None:
    """The target of rows with discount 0 is the reward; all others bootstrap."""
    agent = MTSAC(SPEC, balancer="ls", **SMALL)
    batch = make_batch()
    targets = agent._targets(batch, torch.ones(K), torch.zeros(K, B, A), agent.return_scale.factors)
    assert targets[0, 0] == batch.rewards[0, 0]
    assert (targets[0, 1:] != batch.rewards[0, 1:]).all()


def test_balancers_of_components_are_separate() -> None:
    """A balancer shared by critic and actor would mix their states: an update of one would change the other."""
    agent = MTSAC(SPEC, balancer="conicgrad", **SMALL)
    assert agent.critic.balancer is not agent.actor.balancer
    before = agent.actor.balancer.state_dict()
    batch = make_batch()
    agent._critic_step(batch, batch.rewards, compare=True)
    after = agent.actor.balancer.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_balancers_that_need_positive_losses_leave_the_actor_alone() -> None:
    for name in balancers.available():
        agent = MTSAC(SPEC, balancer=name, **SMALL)
        assert agent.critic.balancer.name == name
        assert agent.actor.balancer.name == ("ls" if balancers.make(name, 2).positive_losses else name)


@pytest.mark.parametrize(("balance", "critic", "actor"), [("critic", "pcgrad", "ls"), ("actor", "ls", "pcgrad")])
def test_balance_one_component(balance: str, critic: str, actor: str) -> None:
    agent = MTSAC(SPEC, balancer="pcgrad", balance=balance, **SMALL)
    assert (agent.critic.balancer.name, agent.actor.balancer.name) == (critic, actor)


@pytest.mark.parametrize("name", balancers.available())
def test_every_balancer_updates(name: str) -> None:
    agent = MTSAC(SPEC, balancer=name, network="multihead", **SMALL)
    start = parameters(agent)
    for seed in range(3):
        statistics = agent.update(make_batch(seed))
    assert torch.isfinite(parameters(agent)).all()
    assert (parameters(agent) != start).any()
    assert all(torch.isfinite(value).all() for value in statistics.values())
    assert ("critic/cosine" in statistics) == agent.critic.balancer.compares_gradients
    assert statistics["critic/loss"].shape == statistics["actor/loss"].shape == (K,)


@pytest.mark.parametrize(("balancer", "measured"), [("ls", [0, 10]), ("uw", [0, 10]), ("conicgrad", list(range(12)))])
def test_norms_and_cosines_are_measured_now_and_then_where_the_balancer_needs_none(
    balancer: str, measured: list[int]
) -> None:
    agent = MTSAC(SPEC, balancer=balancer, **SMALL)
    found = [update for update in range(12) if "critic/cosine" in agent.update(make_batch(update))]
    assert found == measured


@pytest.mark.parametrize("name", balancers.available())
def test_state_continues_bit_for_bit(name: str, tmp_path: Path) -> None:
    agent = MTSAC(SPEC, balancer=name, seed=3, **SMALL)
    for seed in range(2):
        agent.update(make_batch(seed))
    agent.save(tmp_path / "agent.pt")
    again = MTSAC.load(tmp_path / "agent.pt", device="cpu")
    for seed in range(2, 4):
        agent.update(make_batch(seed))
        again.update(make_batch(seed))
    assert torch.equal(parameters(agent), parameters(again))
    observations = np.zeros((K, D), np.float32)
    assert np.array_equal(agent.act(observations), again.act(observations))


def test_same_seed_same_agent() -> None:
    first, second, other = (MTSAC(SPEC, balancer="pcgrad", seed=seed, **SMALL) for seed in (5, 5, 6))
    for agent in (first, second, other):
        agent.update(make_batch())
    assert torch.equal(parameters(first), parameters(second))
    assert not torch.equal(parameters(first), parameters(other))


@pytest.mark.parametrize("network", ["shared", "multihead"])
def test_acting_on_one_task_is_its_row(network: str) -> None:
    agent = MTSAC(SPEC, balancer="ls", network=network, **SMALL)
    bare = np.random.default_rng(0).normal(size=(K, D - K)).astype(np.float32)
    rows = np.concatenate([bare, np.eye(K, dtype=np.float32)], axis=1)
    actions = agent.act(rows, deterministic=True)
    assert actions.shape == (K, A)
    assert actions.dtype == np.float32
    for index, task in enumerate(SPEC.task_names):
        assert np.allclose(agent.act(rows[index], task=task, deterministic=True), actions[index], atol=1e-6)
        assert np.allclose(agent.act(bare[index], task=task, deterministic=True), actions[index], atol=1e-6)


def test_heads_learn_from_their_own_task_alone() -> None:
    batch = make_batch()
    moved = []
    for reward in (100.0, -100.0):
        agent = MTSAC(SPEC, balancer="ls", network="multihead", **SMALL)
        head = agent.critic.network.twins[0].output.weight
        before = head.detach().clone()
        rewards = batch.rewards.clone()
        rewards[2] = reward
        agent.update(batch._replace(rewards=rewards))
        moved.append(head.detach() - before)
    assert torch.equal(moved[0][:2], moved[1][:2])
    assert not torch.equal(moved[0][2], moved[1][2])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"balancer": "conigrad"}, "did you mean 'conicgrad'"),
        ({"balancer": "conicgrad", "balancer_options": {"d": 1}}, "unknown option of conicgrad"),
        ({"widht": 3}, "did you mean 'width'"),
        ({"width": -3}, "width=-3"),
        ({"width": "wide"}, "width='wide'"),
        ({"base": "strongest"}, "base='strongest'"),
        ({"device": "gpu"}, "unknown device 'gpu'"),
        ({"device": "cuda:99"}, "cuda"),
    ],
)
def test_wrong_arguments_in_one_line(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError) as caught:
        MTSAC(SPEC, **arguments)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_wrong_observations_in_one_line() -> None:
    agent = MTSAC(SPEC, balancer="ls", **SMALL)
    with pytest.raises(UserError, match="unknown task 'lift'; did you mean 'left'"):
        agent.act(np.zeros(D), task="lift")
    with pytest.raises(UserError, match="must have shape"):
        agent.act(np.zeros((K + 1, D)))
    with pytest.raises(UserError, match="must have shape"):
        agent.act(np.zeros(D + 1), task="left")


def test_loading_never_unpickles_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "touched",))

    torch.save({"spec": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(UserError, match="not a saved agent"):
        MTSAC.load(tmp_path / "evil.pt")
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("none.pt", "there is no saved agent at"),
        ("missing/agent.pt", "there is no saved agent at"),
        (".", "is a folder; give the file"),
        ("junk.pt", "is damaged or is not a saved agent: "),
        ("empty.pt", "is damaged or is not a saved agent: "),
        ("tensor.pt", "is not a saved agent: balancer is missing"),
        ("latest.pt", "is the checkpoint of a run"),
    ],
)
def test_what_is_no_saved_agent_is_told_in_one_line(name: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "junk.pt").write_bytes(b"junk" * 100)
    (tmp_path / "empty.pt").touch()
    torch.save(torch.zeros(3), tmp_path / "tensor.pt")
    torch.save({"agent": {}, "replay": {}, "step": 3}, tmp_path / "latest.pt")
    with pytest.raises(UserError) as caught:
        MTSAC.load(tmp_path / name)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_full_disk_leaves_the_file_that_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = MTSAC(SPEC, balancer="ls", **SMALL)
    agent.save(tmp_path / "agent.pt")
    before = (tmp_path / "agent.pt").read_bytes()
    agent.update(make_batch())

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UserError, match=r"cannot write .*agent\.pt: No space left on device"):
        agent.save(tmp_path / "agent.pt")
    assert (tmp_path / "agent.pt").read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["agent.pt"]
    with pytest.raises(UserError, match="cannot write"):
        agent.save(tmp_path / "missing" / "agent.pt")


def test_learning_without_environments() -> None:
    with pytest.raises(UserError, match="no task set"):
        MTSAC(SPEC, balancer="ls", **SMALL).learn(10)


def test_what_is_given_as_a_task_set() -> None:
    agent = MTSAC("gymnasium:Pendulum-v1", balancer="ls", **SMALL)
    assert agent.spec.task_names == ("Pendulum-v1",)
    with pytest.raises(UserError, match="did you mean 'mt10'"):
        MTSAC("mt1o")
    with pytest.raises(UserError, match=r"TimeLimit is not a task set: make one with TaskSet\.from_gymnasium"):
        MTSAC(gym.make("Pendulum-v1"))


def test_without_a_seed_one_is_drawn() -> None:
    first, second = (MTSAC(SPEC, balancer="ls", seed=None, **SMALL) for _ in range(2))
    assert isinstance(first.seed, int)
    assert first.seed != second.seed
    assert first.act(np.zeros((K, D)).tolist()).shape == (K, A)


def test_what_a_balancer_cannot_take_names_component_and_task(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = MTSAC(SPEC, balancer="pcgrad", **SMALL)

    def refuse(gradients: object) -> None:
        raise FloatingPointError("the gradient of task 1 is not finite")

    monkeypatch.setattr(agent.critic.balancer, "combine", refuse)
    batch = make_batch()
    batch.rewards[1] = 1e30
    with pytest.raises(FloatingPointError, match=r"^the critic's loss or gradient of right is not finite$"):
        agent.update(batch)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"log_std_min": 5.0}, "log_std_min=5 must be below log_std_max=2"),
        ({"log_std_max": float("nan")}, "log_std_max=nan"),
        ({"learning_rate": float("inf")}, "learning_rate=inf"),
        ({"balancer": "uw", "balance": "actor"}, "balance=actor: uw needs positive losses"),
    ],
)
def test_settings_that_would_learn_nothing(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        MTSAC(SPEC, **{"balancer": "ls", **SMALL, **options})


def test_the_state_of_an_agent_on_a_gpu_is_taken_up() -> None:
    """The state of a GPU's generator is a seed and an offset of 8 bytes each."""
    samples = []
    for offset in (0, 4, 4):
        agent = MTSAC(SPEC, device="cpu", **SMALL)
        state = agent.state_dict()
        state["generator"] = torch.tensor([0, offset], dtype=torch.int64).view(torch.uint8)
        agent.load_state_dict(state)
        samples.append(agent.act(np.zeros((3, SPEC.observation_dim), np.float32)))
    assert not np.array_equal(samples[0], samples[1])
    np.testing.assert_array_equal(samples[1], samples[2])


@pytest.mark.parametrize(
    ("field", "shape"),
    [
        ("observations", (2, 8, 7)),
        ("observations", (8, 7)),
        ("actions", (3, 8, 1)),
        ("rewards", (3, 1)),
        ("discounts", (3, 8, 1)),
        ("next_observations", (3, 4, 7)),
        ("weights", (3, 1)),
    ],
)
def test_batches_of_wrong_shapes_are_refused(field: str, shape: tuple[int, ...]) -> None:
    wrong = torch.ones(shape)
    batch = make_batch()._replace(**{field: (wrong,) if field == "weights" else wrong})
    agent = MTSAC(SPEC, device="cpu", **SMALL)
    before = parameters(agent)
    with pytest.raises(UserError, match=r"^\w+ of a batch must have shape \(3, 8"):
        agent.update(batch)
    assert torch.equal(parameters(agent), before)


@pytest.mark.parametrize("base", ["classic", "strong"])
def test_batches_of_other_types_are_converted(base: str) -> None:
    """Environments return rewards in float64, and loops of one's own keep arrays."""
    made = []
    for convert in (torch.Tensor, torch.Tensor.double, lambda part: part.double().numpy()):
        agent = MTSAC(SPEC, device="cpu", **{**SMALL, "base": base})
        agent.update(Batch(*map(convert, make_batch()[:5])))
        made.append(parameters(agent))
    assert torch.equal(made[0], made[1])
    assert torch.equal(made[0], made[2])
