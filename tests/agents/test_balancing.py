"""Tests that an agent takes a balancer as a name, a class or an object, and copies it for every component."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mtrl_conic import balancers
from mtrl_conic.agents.mtsac.agent import MTSAC
from mtrl_conic.agents.mtsac.config import AgentConfig
from mtrl_conic.balancers import Balance, Balancer
from mtrl_conic.errors import UserError

from .test_mtsac import SMALL, SPEC, K, make_batch, parameters


class Louder(Balancer):
    """A balancer that weights the task with the largest loss `times` as much as the others."""

    needs_losses = True
    paper = "none"

    def __init__(self, num_tasks: int, *, seed: int = 0, times: float = 2.0) -> None:
        super().__init__(num_tasks, seed=seed)
        self.times = times

    def balance(self, gramian: Tensor, losses: Tensor | None = None) -> Balance:
        assert losses is not None
        return Balance(1 + (self.times - 1) * (losses == losses.max()).double(), {})


def agent_of(balancer: Any, **options: Any) -> MTSAC:
    return MTSAC(SPEC, balancer=balancer, seed=4, device="cpu", **{**SMALL, **options})


def trained(agent: MTSAC, updates: int = 3) -> Tensor:
    for update in range(updates):
        agent.update(make_batch(update))
    return parameters(agent)


@pytest.mark.parametrize(("name", "options"), [("pcgrad", {}), ("conicgrad", {"c": 0.25}), ("rlw", {}), ("dwa", {})])
def test_a_class_and_an_object_do_what_the_name_does(name: str, options: dict[str, Any]) -> None:
    by_name = trained(agent_of(name, balancer_options=options))
    assert torch.equal(trained(agent_of(balancers.get(name), balancer_options=options)), by_name)
    assert torch.equal(trained(agent_of(balancers.make(name, K, seed=9, **options))), by_name)


def test_an_object_is_copied_for_every_component_and_begins_anew() -> None:
    given = balancers.make("pcgrad", K)
    given.weights(torch.eye(K))
    before = given.state_dict()
    agent = agent_of(given)
    assert len({id(given), id(agent.critic.balancer), id(agent.actor.balancer)}) == 3
    assert agent.critic.balancer.seed != agent.actor.balancer.seed, "each draws an order of its own"
    assert agent.critic.balancer.state["draws"] == 0
    trained(agent)
    assert agent.critic.balancer.state["draws"] > 0
    assert all(torch.equal(given.state_dict()[name], value) for name, value in before.items())


@pytest.mark.parametrize("balancer", [Louder, Louder(K, times=3.0)], ids=["class", "object"])
def test_one_of_ones_own_is_given_to_load_again(balancer: Any, tmp_path: Path) -> None:
    agent = agent_of(balancer)
    trained(agent)
    assert agent.critic.balancer.name == "Louder"
    assert agent.policy().provenance["balancer"] == "Louder"
    agent.save(tmp_path / "agent.pt")
    with pytest.raises(UserError, match=r"has a balancer that is not registered, Louder: pass balancer=\.\.\.$"):
        MTSAC.load(tmp_path / "agent.pt")
    again = MTSAC.load(tmp_path / "agent.pt", balancer=balancer, device="cpu")
    assert torch.equal(trained(again), trained(agent))


def test_the_options_of_a_class_are_saved(tmp_path: Path) -> None:
    agent_of(Louder, balancer_options={"times": 4}).save(tmp_path / "agent.pt")
    again = MTSAC.load(tmp_path / "agent.pt", balancer=Louder, device="cpu")
    assert isinstance(again.critic.balancer, Louder)
    assert again.critic.balancer.times == 4
    agent_of(balancers.get("conicgrad"), balancer_options={"c": 0.25}).save(tmp_path / "named.pt")
    assert MTSAC.load(tmp_path / "named.pt", device="cpu").balancing.options == {"c": 0.25}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"balancer": 3}, "a balancer is a name, a class derived from Balancer or an object of one, not 3"),
        ({"balancer": balancers.make("ls", K + 1)}, f"this ls balances {K + 1} tasks, not {K}"),
        ({"balancer": balancers.make("ls", K), "balancer_options": {"c": 1}}, "is made already: it takes no c"),
        ({"balancer": Louder, "balancer_options": {"tines": 1}}, "did you mean 'times'"),
        ({"balancer": "ls", "config": AgentConfig(), "width": 3}, r"config=\.\.\. and width=\.\.\. were both given"),
    ],
)
def test_what_does_not_fit_is_one_line(given: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        MTSAC(SPEC, device="cpu", **given)
    assert "\n" not in str(caught.value)
