"""A data set that fits into memory as tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from mtrl_conic.supervised.problem import Batch


class Rows:
    """Tensors whose first axis counts rows.

    Args:
        inputs: each (N, ...).
        targets: each (N, ...).
    """

    def __init__(self, inputs: Sequence[Tensor], targets: Sequence[Tensor]) -> None:
        self.inputs, self.targets = tuple(inputs), tuple(targets)

    def __len__(self) -> int:
        return len(self.inputs[0])

    def batches(self, size: int, *, seed: int | None = None) -> Iterator[Batch]:
        """See `Source.batches`; fewer rows than `size` are one batch."""
        if seed is None:
            for start in range(0, len(self), size):
                yield self._take(slice(start, start + size))
            return
        for rows in shuffled(len(self), size, seed):
            yield self._take(rows)

    def _take(self, rows: slice | Tensor) -> Batch:
        return Batch(tuple(part[rows] for part in self.inputs), tuple(part[rows] for part in self.targets))


def shuffled(rows: int, size: int, seed: int) -> Sequence[Tensor]:
    """All rows in a random order, in full batches; the rest is left out unless it is all there is."""
    order = torch.randperm(rows, generator=torch.Generator().manual_seed(seed))
    full = rows // size * size
    return order[:full].split(size) if full else [order]


def split(rows: int, shares: Sequence[float], seed: int) -> list[Tensor]:
    """Row numbers drawn at random into parts; each part but the last gets its share, rounded down."""
    order = torch.randperm(rows, generator=torch.Generator().manual_seed(seed))
    sizes = [int(share * rows) for share in shares]
    return list(order.split([*sizes, rows - sum(sizes)]))
