"""Tests of balancers that take several batches: which rows the agent asks for, and which each component gets."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from mtrl_conic import MTSAC
from mtrl_conic.agents.mtsac.component import Component
from mtrl_conic.agents.mtsac.losses import critic_losses
from mtrl_conic.agents.protocol import Batch
from mtrl_conic.balancers import Balance, Balancer
from mtrl_conic.errors import UserError
from mtrl_conic.gradients import TaskGradients, task_gradients
from tests.agents.test_mtsac import SMALL, SPEC, A, B, D, K, make_batch, parameters


class TheSecond(Balancer):
    """A balancer that returns the mean gradient of the second of two batches."""

    paper = "none"
    batches = 2

    def balance(self, gramian: Tensor, losses: Tensor | None = None) -> Balance:
        weights = torch.zeros_like(gramian[..., 0])
        weights[..., -self.num_tasks :] = 1 / self.num_tasks
        return Balance(weights, {"rows": torch.tensor(float(gramian.shape[-1]))})


def agent(balancer: Any, **fields: Any) -> MTSAC:
    return MTSAC(SPEC, balancer=balancer, device="cpu", seed=1, **{**SMALL, **fields})


def critic_rows(seed: int) -> tuple[Tensor, ...]:
    batch = make_batch(seed)
    return batch.observations, batch.actions, batch.rewards


def test_the_loop_is_asked_for_all_batches_at_once() -> None:
    assert agent("ls").schedule.batch_size == B
    assert agent("modo").schedule.batch_size == 2 * B
    assert agent("modo", balance="critic").schedule.batch_size == 2 * B
    triple = MTSAC(SPEC, balancer="sdmgrad", balancer_options={"sampling": "triple"}, device="cpu", **SMALL)
    assert triple.schedule.batch_size == 3 * B


def test_a_component_sees_the_batches_one_by_one() -> None:
    """The step along the second batch's mean gradient is the step of `ls` on this batch alone."""
    first, second = critic_rows(0), critic_rows(1)
    both = tuple(torch.cat(pair, 1) for pair in zip(first, second, strict=True))
    ours, plain = agent(TheSecond), agent("ls")
    told, _ = ours._step(ours.critic, critic_losses, both, compare=True, present=None)
    plain._step(plain.critic, critic_losses, second, compare=True, present=None)
    torch.testing.assert_close(ours.critic.block, plain.critic.block, rtol=1e-5, atol=1e-7)
    assert told["critic/TheSecond_rows"] == 2 * K
    torch.testing.assert_close(told["critic/weight"], torch.full((K,), 1 / K, dtype=torch.float64))
    of_each = [critic_losses(agent("ls").critic.network, *rows)[0] for rows in (first, second)]  # type: ignore[arg-type]
    torch.testing.assert_close(told["critic/loss"], torch.stack(of_each).mean(0).detach())
    assert told["critic/cosine"].shape == (K, K)


def test_a_component_that_takes_one_batch_gets_the_first() -> None:
    mixed, plain = agent(TheSecond, balance="critic"), agent("ls")
    both = tuple(torch.cat(pair, 1) for pair in zip(critic_rows(0), critic_rows(1), strict=True))
    (given,) = mixed.actor.batches(both, 2)
    for part, expected in zip(given, critic_rows(0), strict=True):
        assert torch.equal(part, expected)
    assert mixed.actor.balancer.name == plain.actor.balancer.name == "ls"


@pytest.mark.parametrize("network", ["shared", "multihead", "paco"])
def test_joined_gradients_are_those_of_each_batch(network: str) -> None:
    """This holds for every form in which gradients are kept; the gradients of heads are averaged."""
    component: Component = agent("ls", network=network, width=64).critic
    made = [task_gradients(component.layout, critic_losses, *critic_rows(seed)) for seed in (0, 1)]
    together = TaskGradients.joined(made)
    assert any(not isinstance(part, Tensor) for part in together.parts.values())
    jacobian = torch.cat([each.jacobian() for each in made])
    torch.testing.assert_close(together.jacobian(), jacobian)
    torch.testing.assert_close(together.gramian, jacobian.double() @ jacobian.double().mT, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(together.losses, torch.cat([each.losses for each in made]))
    for name, part in together.own.items():
        torch.testing.assert_close(part, (made[0].own[name] + made[1].own[name]) / 2)


def test_rows_that_are_no_batches_of_one_size_are_refused() -> None:
    odd = Batch(*(part[:, :7] for part in make_batch()[:5]))
    with pytest.raises(UserError, match="2 independent batches of equal size: 7 rows per task"):
        agent("modo").update(odd)


@pytest.mark.parametrize(
    ("name", "options"), [("modo", {}), ("moco", {"sampling": "double"}), ("sdmgrad", {"sampling": "triple"})]
)
def test_an_agent_learns_by_several_batches_and_goes_on_where_it_stopped(
    name: str, options: dict[str, Any], tmp_path: Any
) -> None:
    ours = MTSAC(SPEC, balancer=name, balancer_options=options, network="multihead", device="cpu", **SMALL)
    rows = ours.schedule.batch_size
    batches = [Batch(*(torch.cat([part] * 3, 1)[:, :rows] for part in make_batch(seed)[:5])) for seed in range(4)]
    start = parameters(ours)
    for batch in batches[:2]:
        statistics = ours.update(batch)
    assert (parameters(ours) != start).any()
    assert all(value.isfinite().all() for value in statistics.values())
    assert {value.shape for value in statistics.values()} <= {(), (K,), (K, K)}
    ours.save(tmp_path / "agent.pt")
    again = MTSAC.load(tmp_path / "agent.pt", device="cpu")
    for batch in batches[2:]:
        ours.update(batch)
        again.update(batch)
    assert torch.equal(parameters(ours), parameters(again))
    assert ours.act(torch.zeros(K, D).numpy()).shape == (K, A)


def test_batches_that_lack_tasks_are_not_compared() -> None:
    with pytest.raises(UserError, match="modo takes 2 batches of all tasks: use batch=balanced"):
        agent("modo", batch="uniform")
    with pytest.raises(UserError, match="modo takes 2 batches of all tasks: use priority_exponent=0"):
        agent("modo", priority_exponent=0.6)
    assert agent("sdmgrad", batch="uniform").schedule.batch_size == B
