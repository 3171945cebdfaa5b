"""A network in which all tasks share the hidden layers and the last layer."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from mtrl_conic.envs.spec import TaskSpec
from mtrl_conic.gradients import TaskEmbedding
from mtrl_conic.networks.hidden import Hidden
from mtrl_conic.networks.layers import Layer, Layers, ResidualBlock
from mtrl_conic.networks.registry import register_network

Residual = Annotated[
    bool, Field(description="residual network: a first layer, then `depth` blocks of two layers with a skip connection")
]
Embedding = Annotated[
    int,
    Field(
        ge=0,
        description="size of a learned unit vector per task that replaces the one-hot code; 0: keep the one-hot code",
    ),
]
Film = Annotated[
    bool, Field(description="give each task its own gain and offset for the features of every layer before its ReLU")
]


@register_network("shared")
class Shared(nn.Module):
    """Hidden layers that all tasks share; the observation contains the code of the task.

    Args:
        spec: names and sizes of the tasks.
        extra: number of features beside the observation, those of an action.
        hidden: settings of the layers.
        generator: random generator for the initial values.
        residual: whether to use blocks with skip connections, see `ResidualBlock`.
        embedding: size of a learned code per task, see `TaskEmbedding`.
        film: whether to scale and shift features by task, see `FiLM`.
    """

    own_output: ClassVar[bool] = False
    """Whether each task has its own last layer."""

    def __init__(
        self,
        spec: TaskSpec,
        extra: int,
        hidden: Hidden,
        *,
        generator: torch.Generator,
        residual: Residual = False,
        embedding: Embedding = 0,
        film: Film = False,
    ) -> None:
        super().__init__()
        self.bare = spec.bare_dim if embedding else spec.observation_dim
        self.embedding: TaskEmbedding | None = None
        if embedding:
            self.embedding = TaskEmbedding(len(spec.task_names), embedding, generator=generator)
        film_of = len(spec.task_names) if film else None
        layers, width = self._layers(spec, hidden, generator, film_of), hidden.width
        stack: list[nn.Module] = [
            Layer(self.bare + extra + embedding, width, norm=hidden.norm, layers=layers, first=True)
        ]
        for _ in range(hidden.depth if residual else hidden.depth - 1):
            if residual:
                stack.append(ResidualBlock(width, norm=hidden.norm, layers=layers))
            else:
                stack.append(Layer(width, width, norm=hidden.norm, layers=layers))
        self.layers = nn.Sequential(*stack)

    def _layers(self, spec: TaskSpec, hidden: Hidden, generator: torch.Generator, film: int | None) -> Layers:
        """Return the factory of the hidden layers."""
        return Layers(None, generator, hidden.products, film)

    def forward(self, observations: Tensor, *extra: Tensor) -> Tensor:
        """(K, B, D), in a critic with actions (K, B, A) -> (K, B, width)."""
        x = observations[..., : self.bare]
        if extra:
            x = torch.cat([x, *extra], dim=-1)
        y: Tensor = self.layers(x if self.embedding is None else self.embedding(x))
        return y
