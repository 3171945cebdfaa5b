"""The building blocks of networks' hidden layers."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from mtrl_conic.gradients import LayerNorm, Linear, TaskLayerNorm, TaskLinear
from mtrl_conic.gradients.layers import TaskLayer, rows_of_tasks


class Layers:
    """A factory of linear layers and normalisations that are shared or separate for each task.

    Args:
        num_tasks: K for separate layers of every task; None for shared ones.
        generator: random generator for the initial values.
        products: type of the products in shared hidden layers. The first layer keeps float32, because bfloat16 would
            round a position to millimetres and lose the velocity between two frames.
        film: K to scale and shift the features of every layer by task, see `FiLM`; None for no scaling.
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
    """Scales and shifts features by a gain and an offset of each task (Perez et al., FiLM, 2018).

    For a one-hot code, their generator of gains and offsets is such a table. It is initialised to the identity.

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
        features: number of features of a vector.
        generator: random generator for the initial values, uniform on the unit sphere.
    """

    def __init__(self, num_tasks: int, features: int, *, generator: torch.Generator) -> None:
        super().__init__()
        self.weight = nn.Parameter(functional.normalize(torch.randn(num_tasks, features, generator=generator), dim=-1))

    def forward(self, rows: Tensor) -> Tensor:
        """Rows of each task (K, B, inputs) -> the vector of each task, (K, 1, features)."""
        rows_of_tasks(self, rows, len(self.weight))
        return self.weight.unsqueeze(1)


class Layer(nn.Module):
    """A linear layer, optional layer normalisation and FiLM, and a ReLU."""

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
