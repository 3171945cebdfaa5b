"""Feed-forward networks for tables."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from mtrl_conic.gradients import TaskLinear
from mtrl_conic.supervised.network import BatchedHeads, TaskNetwork
from mtrl_conic.supervised.networks.table import Dropout, EmbeddedTable, OneHotLinear


def mlp(
    numbers: int,
    sizes: Sequence[int],
    hidden: Sequence[int],
    num_tasks: int,
    *,
    embedding: int | None = None,
    dropout: Sequence[float] = (),
) -> TaskNetwork:
    """Build a shared trunk of ReLU layers with K linear heads of one output each.

    The network takes numbers (B, numbers) and integer codes (B, columns), each code in 0..size-1.

    Args:
        numbers: number of numeric columns.
        sizes: number of categories of each categorical column.
        hidden: number of units of each hidden layer; there is at least one.
        num_tasks: number of tasks K.
        embedding: length of the learned vector of each category; None uses one-hot codes.
        dropout: dropout probability after each hidden layer; empty for no dropout.
    """
    first, *others = hidden
    first_dropout, *other_dropouts = dropout or (0.0,) * len(hidden)
    start: nn.Module
    layers: list[nn.Module] = []
    if embedding is None:
        start = OneHotLinear(numbers, sizes, first)
    else:
        start = table = EmbeddedTable(numbers, sizes, embedding)
        layers.append(nn.Linear(table.features, first))
    layers += [nn.ReLU(), Dropout(first_dropout)]
    width = first
    for units, probability in zip(others, other_dropouts, strict=True):
        layers += [nn.Linear(width, units), nn.ReLU(), Dropout(probability)]
        width = units
    return TaskNetwork(_Chain(start, layers), BatchedHeads(TaskLinear(num_tasks, width, 1)), num_tasks)


class _Chain(nn.Module):
    """A sequence of modules of which the first takes several inputs."""

    def __init__(self, first: nn.Module, rest: Sequence[nn.Module]) -> None:
        super().__init__()
        self.first, self.rest = first, nn.Sequential(*rest)

    def forward(self, *inputs: Tensor) -> Tensor:
        made: Tensor = self.rest(self.first(*inputs))
        return made
