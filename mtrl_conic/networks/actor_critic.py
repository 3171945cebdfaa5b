"""Actors and critics for K tasks, built from layers that yield per-task gradients."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mtrl_conic.agents.mtsac.config import AgentConfig
from mtrl_conic.envs.spec import TaskSpec
from mtrl_conic.gradients import Linear, TaskLinear
from mtrl_conic.networks.gaussian import Gaussian
from mtrl_conic.networks.registry import find_network
from mtrl_conic.networks.trunks import Shape
from mtrl_conic.networks.values import make_value


def in_trunk(name: str) -> bool:
    """Whether the parameter of this name, an actor's or a critic's, lies before the last layer."""
    return "trunk" in name.split(".")


def make_output(
    num_tasks: int, width: int, outputs: int, config: AgentConfig, *, generator: torch.Generator
) -> nn.Module:
    """The last layer: shared, or one per task."""
    _, own_output = find_network(config.network)
    if own_output:
        return TaskLinear(num_tasks, width, outputs, generator=generator)
    return Linear(width, outputs, generator=generator)


class Actor(nn.Module):
    """A tanh-squashed Gaussian policy (Haarnoja et al., Soft actor-critic algorithms and applications, 2018)."""

    def __init__(self, spec: TaskSpec, config: AgentConfig, *, generator: torch.Generator) -> None:
        super().__init__()
        width = config.actor_width or config.width
        shape = Shape(width, config.actor_depth or config.depth, config.layer_norm == "both")
        self.log_std_range = (config.log_std_min, config.log_std_max)
        make_trunk, _ = find_network(config.network)
        self.trunk = make_trunk(spec, 0, config, shape, generator=generator)
        self.output = make_output(len(spec.task_names), width, 2 * spec.action_dim, config, generator=generator)

    def forward(self, observations: Tensor) -> Gaussian:
        """(K, B, O) -> the Gaussian before tanh, (K, B, A)."""
        mean, log_std = self.output(self.trunk(observations)).chunk(2, dim=-1)
        return Gaussian(mean, log_std.clamp(*self.log_std_range))


class ActionValue(nn.Module):
    """One critic: what it says of an action is read by the configuration's `values`."""

    def __init__(self, spec: TaskSpec, config: AgentConfig, outputs: int, *, generator: torch.Generator) -> None:
        super().__init__()
        shape = Shape(config.width, config.depth, config.layer_norm != "none")
        make_trunk, _ = find_network(config.network)
        self.trunk = make_trunk(spec, spec.action_dim, config, shape, generator=generator)
        self.output = make_output(len(spec.task_names), config.width, outputs, config, generator=generator)

    def forward(self, observations: Tensor, actions: Tensor) -> Tensor:
        """(K, B, O), (K, B, A) -> (K, B, outputs)."""
        y: Tensor = self.output(self.trunk(observations, actions))
        return y


class Critic(nn.Module):
    """Twin action-value networks with parameters of their own."""

    def __init__(self, spec: TaskSpec, config: AgentConfig, *, generator: torch.Generator) -> None:
        super().__init__()
        self.value = make_value(config)
        self.reduce = torch.amin if config.twins == "min" else torch.mean
        self.twins = nn.ModuleList(ActionValue(spec, config, self.value.outputs, generator=generator) for _ in range(2))

    def forward(self, observations: Tensor, actions: Tensor) -> Tensor:
        """(K, B, O), (K, B, A) -> the twins' outputs, (2, K, B, outputs)."""
        return torch.stack([twin(observations, actions) for twin in self.twins])

    def values(self, observations: Tensor, actions: Tensor) -> Tensor:
        """(K, B, O), (K, B, A) -> the twins' minimum or mean, (K, B)."""
        values: Tensor = self.reduce(self.value.mean(self(observations, actions)), 0)
        return values
