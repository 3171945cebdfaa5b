"""Feature-wise linear modulation by task, an option of the networks of plain layers."""

from __future__ import annotations

import pytest
import torch

from mtrl_conic.agents.mtsac.agent import MTSAC
from tests.agents.test_mtsac import SMALL, SPEC, B, D, K, make_batch
from tests.networks.test_architectures import assert_gradients_equal_separate_backwards

FILM = {"network_options": {"film": True}, **SMALL}


@pytest.mark.parametrize("network", ["shared", "multihead", "single_task"])
def test_it_begins_as_the_identity(network: str) -> None:
    observations = torch.randn(K, B, D)
    plain = MTSAC(SPEC, balancer="ls", network=network, **SMALL).actor.network
    film = MTSAC(SPEC, balancer="ls", network=network, **FILM).actor.network
    assert torch.equal(film(observations).mean, plain(observations).mean)


@pytest.mark.parametrize("norm", ["none", "both"])
@pytest.mark.parametrize("residual", [False, True])
def test_gradients_equal_separate_backwards(residual: bool, norm: str) -> None:
    options = {"film": True, "residual": residual}
    agent = MTSAC(SPEC, balancer="ls", network="shared", network_options=options, layer_norm=norm, **SMALL)
    assert_gradients_equal_separate_backwards(agent)


def test_gains_and_offsets_are_the_tasks_own_and_move_one_task() -> None:
    agent = MTSAC(SPEC, balancer="conicgrad", network="shared", **FILM)
    assert all("film" in name for name in agent.actor.layout.own)
    assert len(agent.actor.layout.own) == 2 * SMALL["depth"]
    observations = torch.randn(K, B, D)
    before = agent.actor.network(observations).mean
    with torch.no_grad():
        agent.actor.network.trunk.layers[0].film.weight[1] *= 2
    after = agent.actor.network(observations).mean
    assert torch.equal(before[::2], after[::2])
    assert not torch.allclose(before[1], after[1])
    agent.update(make_batch())
    assert torch.isfinite(agent.actor.block).all()
