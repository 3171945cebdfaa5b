"""Actors and critics for K tasks, built from layers that yield per-task gradients."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from mtrl_conic.agents.config import AgentConfig
from mtrl_conic.agents.policy import Gaussian
from mtrl_conic.gradients import Linear, TaskLinear


class MLP(nn.Module):
    """A ReLU trunk that all tasks share, and an output layer that is shared too or one head per task.

    Args:
        inputs: features in.
        outputs: features out.
        config: `network`, `width` and `depth` are read.
        num_tasks: K, the number of heads of a multi-head network.
        generator: of the initial values.
    """

    def __init__(
        self, inputs: int, outputs: int, config: AgentConfig, *, num_tasks: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        sizes = [inputs] + [config.width] * config.depth
        pairs = pairwise(sizes)
        self.trunk = nn.ModuleList(Linear(i, o, generator=generator) for i, o in pairs)
        self.output: nn.Module
        if config.network == "multihead":
            self.output = TaskLinear(num_tasks, config.width, outputs, generator=generator)
        else:
            self.output = Linear(config.width, outputs, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        """(K, B, inputs) -> (K, B, outputs)."""
        for layer in self.trunk:
            x = torch.relu(layer(x))
        y: Tensor = self.output(x)
        return y


class Actor(nn.Module):
    """A tanh-squashed Gaussian policy (Haarnoja et al., Soft actor-critic algorithms and applications, 2018)."""

    def __init__(
        self, observation_dim: int, action_dim: int, config: AgentConfig, *, num_tasks: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.log_std_range = (config.log_std_min, config.log_std_max)
        self.body = MLP(observation_dim, 2 * action_dim, config, num_tasks=num_tasks, generator=generator)

    def forward(self, observations: Tensor) -> Gaussian:
        """(K, B, O) -> the Gaussian before tanh, (K, B, A)."""
        mean, log_std = self.body(observations).chunk(2, dim=-1)
        return Gaussian(mean, log_std.clamp(*self.log_std_range))


class Critic(nn.Module):
    """Twin action-value networks with parameters of their own."""

    def __init__(
        self, observation_dim: int, action_dim: int, config: AgentConfig, *, num_tasks: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        inputs = observation_dim + action_dim
        self.twins = nn.ModuleList(MLP(inputs, 1, config, num_tasks=num_tasks, generator=generator) for _ in range(2))

    def forward(self, observations: Tensor, actions: Tensor) -> Tensor:
        """(K, B, O), (K, B, A) -> the two values, (2, K, B)."""
        x = torch.cat([observations, actions], dim=-1)
        return torch.stack([twin(x).squeeze(-1) for twin in self.twins])
