"""Feed-forward networks on tables."""

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
    """A shared trunk of ReLU layers under K linear heads of one output each.

    The network takes numbers (B, numbers) and codes (B, columns), integers in 0..size-1.

    Args:
        numbers: numeric columns.
        sizes: values of each categorical column.
        hidden: units of each layer, at least one.
        num_tasks: K.
        embedding: length of the learned vector of each category; none gives one-hot codes.
        dropout: the probability after each layer; none without.
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
    """Modules after one another; the first one takes several inputs."""

    def __init__(self, first: nn.Module, rest: Sequence[nn.Module]) -> None:
        super().__init__()
        self.first, self.rest = first, nn.Sequential(*rest)

    def forward(self, *inputs: Tensor) -> Tensor:
        made: Tensor = self.rest(self.first(*inputs))
        return made
