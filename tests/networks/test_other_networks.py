"""A network built from other layers than the package's trains through the same agent code."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from mtrl_conic import networks
from mtrl_conic.agents.mtsac.component import Component
from mtrl_conic.agents.mtsac.losses import actor_losses, critic_losses
from mtrl_conic.balancers import make
from mtrl_conic.envs.spec import TaskSpec
from mtrl_conic.gradients import Layout, Linear, task_gradients
from mtrl_conic.networks.actor_critic import Actor, Critic
from mtrl_conic.networks.values import ScalarValue

K, B, D, A = 3, 5, 6, 2


def foreign(module: nn.Module) -> nn.Module:
    """The same network with torch's own linear layers for the shared ones."""
    for name, child in module.named_children():
        if isinstance(child, Linear):
            outputs, inputs = child.weight.shape
            layer = nn.Linear(inputs, outputs)
            layer.load_state_dict(child.state_dict())
            setattr(module, name, layer)
        else:
            foreign(child)
    return module


@pytest.mark.parametrize("network", ["shared", "multihead"])
def test_fallback_gives_the_same_gradients(network: str) -> None:
    chosen, hidden = networks.choose(network), networks.Hidden(12, 2)
    spec = TaskSpec(tuple("abc"), D, A, True)
    actors = [Actor(spec, chosen, hidden, generator=torch.Generator().manual_seed(0)) for _ in range(2)]
    critics = [
        Critic(spec, chosen, hidden, value=ScalarValue(), generator=torch.Generator().manual_seed(1)) for _ in range(2)
    ]
    foreign(actors[1])
    foreign(critics[1])
    assert [Layout(module).native for module in (*actors, *critics)] == [True, False, True, False]
    generator = torch.Generator().manual_seed(2)
    observations, actions = (torch.randn(K, B, size, generator=generator) for size in (D, A))
    targets, temperature = torch.randn(K, B, generator=generator), torch.rand(K, generator=generator)

    def both(index: int) -> tuple[Any, Any]:
        critic, actor = critics[index], actors[index]

        def losses(module: nn.Module, *inputs: Any) -> Any:
            return actor_losses(module, *inputs, critic=Layout(critic))

        own = Layout(critic).own_values()
        return (
            task_gradients(critic, critic_losses, observations, actions.tanh(), targets),
            task_gradients(actor, losses, observations, actions, temperature, own),
        )

    for native, other in zip(both(0), both(1), strict=True):
        assert torch.allclose(native.losses, other.losses, atol=1e-5)
        torch.testing.assert_close(native.extra, other.extra, atol=1e-5, rtol=1e-5)
        for name, block in {**native.shared, **native.own}.items():
            assert torch.allclose(block, {**other.shared, **other.own}[name], rtol=1e-4, atol=1e-6), name


def test_a_foreign_network_trains_in_the_place_of_ours() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(D, 16), nn.Tanh(), nn.Linear(16, 1))
    component = Component("any", network, make("conicgrad", K), learning_rate=1e-2)
    x = torch.randn(K, B, D)
    y = x.sum(-1)

    def losses(module: nn.Module, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        return (module(x).squeeze(-1) - y).square().mean(-1), {}

    found = []
    for _ in range(100):
        gradients = task_gradients(component.layout, losses, x, y)
        gradients.fill(network, gradients.balance(component.balancer)[0])
        component.optimizer.step()
        found.append(gradients.losses)
    assert (found[-1] < 0.3 * found[0]).all()
