"""Feed-forward networks on tables."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtrl_conic.gradients import TaskLinear
from mtrl_conic.supervised.network import BatchedHeads, TaskNetwork


class TableInput(nn.Module):
    """Numbers and categories as one vector (B, features).

    Args:
        numbers: numeric columns.
        sizes: values of each categorical column; a code lies in 0..size-1.
        embedding: length of the learned vector of each category; none gives one-hot codes.
    """

    def __init__(self, numbers: int, sizes: Sequence[int], *, embedding: int | None = None) -> None:
        super().__init__()
        starts = torch.tensor([0, *sizes[:-1]]).cumsum(0) if sizes else torch.zeros(0, dtype=torch.int64)
        self.starts: Tensor
        self.register_buffer("starts", starts, persistent=False)
        self.total = sum(sizes)
        self.table = nn.Embedding(self.total, embedding) if embedding and sizes else None
        self.features = numbers + (len(sizes) * embedding if embedding else self.total)

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        """(B, numbers) and (B, columns) integers -> (B, features)."""
        places = codes + self.starts
        if self.table is not None:
            return torch.cat([numbers, self.table(places).flatten(1)], 1)
        one_hot = numbers.new_zeros(len(codes), self.total).scatter_(1, places, 1.0)
        return torch.cat([numbers, one_hot], 1)


def mlp(inputs: TableInput, hidden: Sequence[int], num_tasks: int, *, dropout: float = 0.0) -> TaskNetwork:
    """A shared trunk of ReLU layers under K linear heads of one output each.

    Args:
        inputs: first part of the trunk.
        hidden: units of each layer.
        num_tasks: K.
        dropout: after each layer.
    """
    layers: list[nn.Module] = [inputs]
    width = inputs.features
    for units in hidden:
        layers += [nn.Linear(width, units), nn.ReLU()]
        if dropout:
            layers.append(nn.Dropout(dropout))
        width = units
    return TaskNetwork(_Chain(layers), BatchedHeads(TaskLinear(num_tasks, width, 1)), num_tasks)


class _Chain(nn.Module):
    """Modules after one another; the first one takes several inputs."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__()
        self.first, self.rest = modules[0], nn.Sequential(*modules[1:])

    def forward(self, *inputs: Tensor) -> Tensor:
        made: Tensor = self.rest(self.first(*inputs))
        return made
