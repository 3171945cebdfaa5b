"""What the hidden layers of networks are made of."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from mtrl_conic.gradients import LayerNorm, Linear, TaskLayerNorm, TaskLinear


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
