"""What the hidden layers of networks are made of."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from mtrl_conic.gradients import LayerNorm, Linear, TaskLayerNorm, TaskLinear
from mtrl_conic.gradients.layers import TaskLayer, rows_of_tasks


class Layers:
    """Linear layers and normalisations that all tasks share, or that each task has for itself.

    Args:
        num_tasks: K, to give every task its own; None to share.
        generator: of the initial values.
        products: type of the shared hidden layers' products. The first layer keeps float32: in bfloat16 a position
            is rounded to millimetres, and the velocity between two frames is lost.
        film: K, to scale and shift the features of every layer by task, see `FiLM`; None not to.
    """

    def __init__(
        self,
        num_tasks: int | None,
        generator: torch.Generator,
        products: torch.dtype | None = None,
        film: int | None = None,
    ) -> None:
        self.linear = partial(Linear if num_tasks is None else partial(TaskLinear, num_tasks), generator=generator)
        self.hidden = self.linear if num_tasks is not None else partial(self.linear, products=products)
        self.norm = LayerNorm if num_tasks is None else partial(TaskLayerNorm, num_tasks)
        self.film = nn.Identity if film is None else partial(FiLM, film)


class FiLM(TaskLayer):
    """Features scaled and shifted by a gain and an offset of each task's own (Perez et al., FiLM, 2018).

    Their generator of gains and offsets is, of a one-hot, such a table. It begins as the identity.

    Args:
        num_tasks: K.
        features: size of the last axis.
    """

    def __init__(self, num_tasks: int, features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(num_tasks, features))
        self.bias = nn.Parameter(torch.zeros(num_tasks, features))

    def forward(self, x: Tensor) -> Tensor:
        """(K, B, features) -> (K, B, features)."""
        rows = rows_of_tasks(self, x, len(self.weight))
        return torch.addcmul(self.bias.unsqueeze(1), rows, self.weight.unsqueeze(1))


class TaskVectors(TaskLayer):
    """K vectors, one per task.

    Args:
        num_tasks: K.
        features: of a vector.
        generator: of the initial values, uniform on the unit sphere.
    """

    def __init__(self, num_tasks: int, features: int, *, generator: torch.Generator) -> None:
        super().__init__()
        self.weight = nn.Parameter(functional.normalize(torch.randn(num_tasks, features, generator=generator), dim=-1))

    def forward(self, rows: Tensor) -> Tensor:
        """Rows of each task (K, B, inputs) -> the vector of each, (K, 1, features)."""
        rows_of_tasks(self, rows, len(self.weight))
        return self.weight.unsqueeze(1)


class Layer(nn.Module):
    """Linear, layer normalisation and FiLM where asked for, ReLU."""

    def __init__(self, inputs: int, outputs: int, *, norm: bool, layers: Layers, first: bool = False) -> None:
        super().__init__()
        self.linear = (layers.linear if first else layers.hidden)(inputs, outputs)
        self.norm: nn.Module = layers.norm(outputs) if norm else nn.Identity()
        self.film = layers.film(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(K, B, inputs) -> (K, B, outputs)."""
        return torch.relu(self.film(self.norm(self.linear(x))))


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
