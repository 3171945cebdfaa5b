"""Several seeds updated together: the numbers of each are those it has alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mtrl_conic import balancers
from mtrl_conic.agents.mtsac.agent import MTSAC
from mtrl_conic.agents.mtsac.updates import Updates

from .test_mtsac import SMALL, SPEC, make_batch, parameters

SEEDS = (0, 1, 2)
STRONG = {"base": "strong", "width": 24, "actor_width": 16, "batch_size": 6, "device": "cpu"}


def distance(options: dict[str, Any]) -> float:
    """The largest difference of any number of any seed, between the updates alone and those together."""
    alone, together = ([MTSAC(SPEC, seed=seed, **options) for seed in SEEDS] for _ in range(2))
    updates = Updates(together)
    for update in range(4):
        batches = [make_batch(10 * update + seed) for seed in SEEDS]
        told = [agent.update(batch) for agent, batch in zip(alone, batches, strict=True)]
        found = updates(batches)
        assert [statistics.keys() for statistics in told] == [statistics.keys() for statistics in found]
        for mine, theirs in zip(told, found, strict=True):
            torch.testing.assert_close(mine["critic/loss"], theirs["critic/loss"], rtol=1e-4, atol=1e-5)
    return max(
        float((parameters(one) - parameters(other)).abs().max()) for one, other in zip(alone, together, strict=True)
    )


@pytest.mark.parametrize("balancer", balancers.available())
def test_every_balancer(balancer: str) -> None:
    assert distance({"balancer": balancer, **SMALL}) < 2e-5


@pytest.mark.parametrize("network", ["shared", "multihead", "soft_modularization", "single_task"])
@pytest.mark.parametrize("base", ["classic", "strong"])
def test_every_network(network: str, base: str) -> None:
    options = SMALL if base == "classic" else STRONG
    assert distance({"balancer": "conicgrad", "network": network, **options}) < 1e-4


@pytest.mark.parametrize(
    "option",
    [{"embedding": 5}, {"residual": True}, {"shared_parameters": "trunk"}, {"reset_every": 2}, {"actor_every": 2}],
    ids=str,
)
def test_options(option: dict[str, Any]) -> None:
    assert distance({"balancer": "ls", **STRONG, **option}) < 1e-4


def test_time_is_told_to_every_agent() -> None:
    agents = [MTSAC(SPEC, balancer="ls", seed=seed, **SMALL) for seed in SEEDS]
    Updates(agents)([make_batch()] * len(agents))
    assert all({"targets", "critic", "actor", "balancing"} <= set(agent.watch.seconds) for agent in agents)
