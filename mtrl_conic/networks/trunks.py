"""What lies between an observation and the last layer, by the name of the network."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from mtrl_conic.agents.mtsac.config import AgentConfig
from mtrl_conic.envs.spec import TaskSpec
from mtrl_conic.gradients import LayerNorm, Linear, TaskEmbedding, TaskLayerNorm, TaskLinear


@dataclass(frozen=True)
class Shape:
    """Size of a trunk."""

    width: int
    """Units of each layer."""
    depth: int
    """Layers, or residual blocks behind the first layer."""
    norm: bool
    """Whether layers are normalised."""


class Layers:
    """Linear layers and normalisations that all tasks share, or that each task has for itself.

    Args:
        num_tasks: K, to give every task its own; None to share.
        generator: of the initial values.
        products: type of the shared hidden layers' products. The first layer keeps float32: in bfloat16 a position
            is rounded to millimetres, and the velocity between two frames is lost.
    """

    def __init__(self, num_tasks: int | None, generator: torch.Generator, products: torch.dtype | None = None) -> None:
        self.linear = partial(Linear if num_tasks is None else partial(TaskLinear, num_tasks), generator=generator)
        self.hidden = self.linear if num_tasks is not None else partial(self.linear, products=products)
        self.norm = LayerNorm if num_tasks is None else partial(TaskLayerNorm, num_tasks)


class Layer(nn.Module):
    """Linear, layer normalisation where asked for, ReLU."""

    def __init__(self, inputs: int, outputs: int, *, norm: bool, layers: Layers, first: bool = False) -> None:
        super().__init__()
        self.linear = (layers.linear if first else layers.hidden)(inputs, outputs)
        self.norm: nn.Module = layers.norm(outputs) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(K, B, inputs) -> (K, B, outputs)."""
        return torch.relu(self.norm(self.linear(x)))


class ResidualBlock(nn.Module):
    """x + norm(W2 layer(x)) (the block of BroNet; Nauman et al., Bigger, regularized, optimistic, 2024)."""

    def __init__(self, width: int, *, norm: bool, layers: Layers) -> None:
        super().__init__()
        self.first = Layer(width, width, norm=norm, layers=layers)
        self.second = layers.hidden(width, width)
        self.norm: nn.Module = layers.norm(width) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(K, B, width) -> (K, B, width)."""
        y: Tensor = x + self.norm(self.second(self.first(x)))
        return y


class Trunk(nn.Module):
    """Hidden layers behind the code of the task: all tasks' together, or each task's own.

    Args:
        spec: of the tasks.
        extra: features beside the observation, an action's.
        config: `network`, `residual` and `embedding` are read.
        shape: of the layers.
        generator: of the initial values.
    """

    def __init__(
        self, spec: TaskSpec, extra: int, config: AgentConfig, shape: Shape, *, generator: torch.Generator
    ) -> None:
        super().__init__()
        num_tasks = len(spec.task_names)
        self.bare = spec.bare_dim if config.embedding else spec.observation_dim
        self.embedding: TaskEmbedding | None = None
        if config.embedding:
            self.embedding = TaskEmbedding(num_tasks, config.embedding, generator=generator)
        own = num_tasks if config.network == "single_task" else None
        layers = Layers(own, generator, torch.bfloat16 if config.precision == "bfloat16" else None)
        hidden: list[nn.Module] = [
            Layer(self.bare + extra + config.embedding, shape.width, norm=shape.norm, layers=layers, first=True)
        ]
        for _ in range(shape.depth if config.residual else shape.depth - 1):
            if config.residual:
                hidden.append(ResidualBlock(shape.width, norm=shape.norm, layers=layers))
            else:
                hidden.append(Layer(shape.width, shape.width, norm=shape.norm, layers=layers))
        self.layers = nn.Sequential(*hidden)

    def forward(self, observations: Tensor, *extra: Tensor) -> Tensor:
        """(K, B, O) and, say, actions (K, B, A) -> (K, B, width)."""
        x = observations[..., : self.bare]
        if extra:
            x = torch.cat([x, *extra], dim=-1)
        y: Tensor = self.layers(x if self.embedding is None else self.embedding(x))
        return y
