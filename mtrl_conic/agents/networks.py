"""Actors and critics for K tasks, built from layers that yield per-task gradients."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mtrl_conic.agents.config import AgentConfig
from mtrl_conic.agents.policy import Gaussian
from mtrl_conic.agents.spec import TaskSpec
from mtrl_conic.agents.values import make_value
from mtrl_conic.gradients import LayerNorm, Linear, TaskEmbedding, TaskLinear


class Layer(nn.Module):
    """Linear, layer normalisation where asked for, ReLU."""

    def __init__(self, inputs: int, outputs: int, *, norm: bool, generator: torch.Generator) -> None:
        super().__init__()
        self.linear = Linear(inputs, outputs, generator=generator)
        self.norm: nn.Module = LayerNorm(outputs) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(K, B, inputs) -> (K, B, outputs)."""
        return torch.relu(self.norm(self.linear(x)))


class ResidualBlock(nn.Module):
    """x + norm(W2 layer(x)) (the block of BroNet; Nauman et al., Bigger, regularized, optimistic, 2024)."""

    def __init__(self, width: int, *, norm: bool, generator: torch.Generator) -> None:
        super().__init__()
        self.first = Layer(width, width, norm=norm, generator=generator)
        self.second = Linear(width, width, generator=generator)
        self.norm: nn.Module = LayerNorm(width) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(K, B, width) -> (K, B, width)."""
        y: Tensor = x + self.norm(self.second(self.first(x)))
        return y


class Trunk(nn.Module):
    """Hidden layers that all tasks share, behind the code of the task.

    Args:
        spec: of the tasks.
        extra: features beside the observation, an action's.
        config: `residual` and `embedding` are read.
        width: units of each layer.
        depth: layers, or residual blocks behind the first layer.
        norm: whether layers are normalised.
        generator: of the initial values.
    """

    def __init__(
        self,
        spec: TaskSpec,
        extra: int,
        config: AgentConfig,
        *,
        width: int,
        depth: int,
        norm: bool,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        num_tasks = len(spec.task_names)
        inputs = spec.observation_dim + extra
        self.embedding: TaskEmbedding | None = None
        self.bare = spec.observation_dim
        if config.embedding:
            self.bare -= num_tasks * spec.one_hot
            inputs = self.bare + extra + config.embedding
            self.embedding = TaskEmbedding(num_tasks, config.embedding, generator=generator)
        layers: list[nn.Module] = [Layer(inputs, width, norm=norm, generator=generator)]
        for _ in range(depth if config.residual else depth - 1):
            if config.residual:
                layers.append(ResidualBlock(width, norm=norm, generator=generator))
            else:
                layers.append(Layer(width, width, norm=norm, generator=generator))
        self.layers = nn.Sequential(*layers)

    def forward(self, observations: Tensor, *extra: Tensor) -> Tensor:
        """(K, B, O) and, say, actions (K, B, A) -> (K, B, width)."""
        x = observations if self.embedding is None else observations[..., : self.bare]
        if extra:
            x = torch.cat([x, *extra], dim=-1)
        y: Tensor = self.layers(x if self.embedding is None else self.embedding(x))
        return y


def make_output(
    num_tasks: int, width: int, outputs: int, config: AgentConfig, *, generator: torch.Generator
) -> nn.Module:
    """The last layer: shared, or a head per task."""
    if config.network == "multihead":
        return TaskLinear(num_tasks, width, outputs, generator=generator)
    return Linear(width, outputs, generator=generator)


class Actor(nn.Module):
    """A tanh-squashed Gaussian policy (Haarnoja et al., Soft actor-critic algorithms and applications, 2018)."""

    def __init__(self, spec: TaskSpec, config: AgentConfig, *, generator: torch.Generator) -> None:
        super().__init__()
        width = config.actor_width or config.width
        depth = config.actor_depth or config.depth
        norm = config.layer_norm == "both"
        self.log_std_range = (config.log_std_min, config.log_std_max)
        self.trunk = Trunk(spec, 0, config, width=width, depth=depth, norm=norm, generator=generator)
        self.output = make_output(len(spec.task_names), width, 2 * spec.action_dim, config, generator=generator)

    def forward(self, observations: Tensor) -> Gaussian:
        """(K, B, O) -> the Gaussian before tanh, (K, B, A)."""
        mean, log_std = self.output(self.trunk(observations)).chunk(2, dim=-1)
        return Gaussian(mean, log_std.clamp(*self.log_std_range))


class ActionValue(nn.Module):
    """One critic: what it says of an action is read by the configuration's `values`."""

    def __init__(self, spec: TaskSpec, config: AgentConfig, outputs: int, *, generator: torch.Generator) -> None:
        super().__init__()
        norm = config.layer_norm != "none"
        self.trunk = Trunk(
            spec, spec.action_dim, config, width=config.width, depth=config.depth, norm=norm, generator=generator
        )
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
