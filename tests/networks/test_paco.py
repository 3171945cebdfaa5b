"""Networks composed from shared sets of parameters."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.nn import functional

from mtrl_conic.agents.mtsac.agent import MTSAC
from mtrl_conic.agents.mtsac.losses import critic_losses
from mtrl_conic.gradients import task_gradients
from mtrl_conic.gradients.factors import Composition
from mtrl_conic.networks.actor_critic import Actor
from mtrl_conic.networks.composed import ComposedLayerNorm, ComposedLinear
from tests.agents.test_mtsac import SMALL, SPEC, A, B, D, K, make_batch

SETS = 5


def actor(**fields: object) -> Actor:
    network = MTSAC(SPEC, balancer="ls", network="paco", **{**SMALL, **fields}).actor.network
    assert isinstance(network, Actor)
    return network


@pytest.mark.parametrize("norm", [False, True])
def test_composition_equals_explicit_weights(norm: bool) -> None:
    """Every task through a plain network whose parameters are summed up by hand, last layer included."""
    network, observations = actor(layer_norm="both" if norm else "none"), torch.randn(K, B, D)
    trunk = network.trunk
    generator = torch.Generator().manual_seed(0)
    for layer in trunk.norms:
        torch.nn.init.normal_(layer.weight, generator=generator)
    means = network(observations).mean
    for task in range(K):
        w, x = trunk.vectors.weight[task], observations[task, :, :-K]
        for place, layer in enumerate(trunk.layers):
            x = linear(x, layer, w)
            if norm:
                gain, offset = explicit(trunk.norms[place], w)
                x = functional.layer_norm(x, x.shape[-1:], 1 + gain, offset)
            x = x.relu()
        x = linear(x, network.output.linear, w)
        assert torch.allclose(x[:, :A], means[task], atol=1e-6)


def linear(x: torch.Tensor, layer: ComposedLinear, w: torch.Tensor) -> torch.Tensor:
    weight, bias = explicit(layer, w)
    return functional.linear(x, weight.T, bias)


def explicit(layer: ComposedLinear | ComposedLayerNorm, w: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return tuple(sum(w[i] * each[i] for i in range(SETS)) for each in (layer.weight, layer.bias))  # type: ignore[return-value]


def test_equal_vectors_are_one_network() -> None:
    network = actor()
    rows = torch.randn(1, B, D).expand(K, B, D)
    assert not torch.allclose(network(rows).mean[0], network(rows).mean[1])
    with torch.no_grad():
        network.trunk.vectors.weight[:] = network.trunk.vectors.weight[0].clone()
    means = network(rows).mean
    assert torch.allclose(means[0], means[1], atol=1e-6)


def test_vectors_are_of_unit_length_and_counted_once() -> None:
    agent = MTSAC(SPEC, balancer="ls", network="paco", network_options={"sets": 3}, **SMALL)
    vectors = agent.actor.network.trunk.vectors
    assert torch.allclose(vectors.weight.norm(dim=-1), torch.ones(K))
    assert agent.actor.network.output.vectors is vectors
    assert list(agent.actor.layout.own) == ["trunk.vectors.weight"]
    assert len(agent.critic.layout.own) == 2
    assert agent.actor.block.numel() == sum(p.numel() for p in agent.actor.network.parameters())


def test_a_frozen_vector_stays_and_sets_learn() -> None:
    agent = MTSAC(SPEC, balancer="ls", network="paco", **SMALL)
    twin, batch = agent.critic.network.twins[0], make_batch()
    twin.trunk.vectors.weight.requires_grad_(False)
    gradients = task_gradients(agent.critic.layout, critic_losses, batch.observations, batch.actions, batch.rewards)
    assert "twins.0.trunk.vectors.weight" not in gradients.own
    assert gradients.shared["twins.0.trunk.layers.0.weight"].abs().sum() > 0


def test_last_layer_alone_goes_to_the_mean() -> None:
    agent = MTSAC(SPEC, balancer="mgda", network="paco", shared_parameters="trunk", **SMALL)
    left_out = set(agent.actor.layout.shared) - agent.actor.layout.balanced
    assert left_out == {"output.linear.weight", "output.linear.bias"}


def test_the_reset_of_the_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "networks.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    namespace: dict[str, Any] = {"torch": torch}
    exec(next(block for block in blocks if "class Reset" in block), namespace)
    agent, reset = MTSAC(SPEC, balancer="ls", network="paco", device="cpu", **SMALL), namespace["Reset"]()
    vectors = [each.trunk.vectors.weight for each in (agent.actor.network, *agent.critic.network.twins)]
    before = [each.clone() for each in vectors]
    trainer = SimpleNamespace(agent=agent)
    for losses in ([1.0, 2.0, 3.0], [4e3, 4e3, 4e3]):
        reset.on_update(trainer, {"critic/loss": torch.tensor(losses)})
    assert all(map(torch.equal, vectors, before))
    reset.on_update(trainer, {"critic/loss": torch.tensor([1.0, 4e3, 3.0])})
    for now, old in zip(vectors, before, strict=True):
        assert torch.equal(now[::2], old[::2])
        shares = torch.linalg.lstsq(old[::2].T, now[1]).solution
        assert torch.allclose(shares.sum(), torch.tensor(1.0), atol=1e-5)
        assert (shares >= 0).all()
        assert torch.allclose(shares @ old[::2], now[1], atol=1e-5)


def test_gradients_of_sets_are_kept_as_their_compositions() -> None:
    """Gram matrix, weighted sum and products are those of the gradients multiplied out, after a second use too."""
    agent, batch = MTSAC(SPEC, balancer="ls", network="paco", **SMALL), make_batch()
    inputs, module = (batch.observations, batch.actions, batch.rewards), agent.critic.network
    name, weights = "twins.0.trunk.layers.1.weight", torch.tensor([0.2, 0.5, -1.0])

    def twice(critic: Any, *given: torch.Tensor) -> tuple[torch.Tensor, None]:
        return critic_losses(critic, *given)[0] + critic_losses(critic, given[0].flip(1), *given[1:])[0], None

    for losses, kept in ((critic_losses, True), (twice, False)):
        gradients = task_gradients(agent.critic.layout, losses, *inputs)
        assert isinstance(gradients.parts[name], Composition) == kept
        jacobian = gradients.jacobian().double()
        assert torch.allclose(gradients.gramian, jacobian @ jacobian.T, rtol=1e-5)
        combined = gradients.combine(weights)[name]
        assert torch.allclose(combined, torch.einsum("k,k...->...", weights, gradients.shared[name]), atol=1e-6)
        for task, loss in enumerate(losses(module, *inputs)[0]):
            (row,) = torch.autograd.grad(loss, module.get_parameter(name), retain_graph=True)
            assert torch.allclose(gradients.shared[name][task], row, atol=1e-5)
