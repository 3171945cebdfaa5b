"""A data set that is kept in memory as tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from mtrl_conic.supervised.problem import Batch


class Rows:
    """A split held as tensors whose first axis is the row.

    Args:
        inputs: input tensors, each (N, ...).
        targets: target tensors, each (N, ...).
    """

    def __init__(self, inputs: Sequence[Tensor], targets: Sequence[Tensor]) -> None:
        self.inputs, self.targets = tuple(inputs), tuple(targets)

    def __len__(self) -> int:
        return len(self.inputs[0])

    def batches(self, size: int, *, seed: int | None = None) -> Iterator[Batch]:
        """Yield batches as `Source.batches` does; fewer rows than `size` form a single batch."""
        if seed is None:
            for start in range(0, len(self), size):
                yield self._take(slice(start, start + size))
            return
        for rows in shuffled(len(self), size, seed):
            yield self._take(rows)

    def _take(self, rows: slice | Tensor) -> Batch:
        return Batch(tuple(part[rows] for part in self.inputs), tuple(part[rows] for part in self.targets))


def shuffled(rows: int, size: int, seed: int) -> Sequence[Tensor]:
    """Shuffle all row numbers and split them into full batches.

    An incomplete last batch is dropped, unless it is the only one.
    """
    order = torch.randperm(rows, generator=torch.Generator().manual_seed(seed))
    full = rows // size * size
    return order[:full].split(size) if full else [order]


def split(rows: int, shares: Sequence[float], seed: int) -> list[Tensor]:
    """Split row numbers at random into parts.

    Every part except the last gets its share of the rows, rounded down; the last part gets the remaining rows.
    """
    order = torch.randperm(rows, generator=torch.Generator().manual_seed(seed))
    sizes = [int(share * rows) for share in shares]
    return list(order.split([*sizes, rows - sum(sizes)]))
