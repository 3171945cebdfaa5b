"""Gradients of several independent batches: the K of the first, then the K of the second, and so on.

The inner product of two gradients from one batch is a biased estimate of the inner product of the true gradients,
because both factors contain the same noise. With two independent batches the estimate is unbiased.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

SAMPLINGS = {"single": 1, "double": 2, "triple": 3}
"""Maps the name of a sampling scheme to the number of batches that an update takes."""


def of_batch(number: int, num_tasks: int, rows: int) -> slice:
    """Return the slice of one batch's K gradients among `rows`; K rows alone stand for every batch."""
    first = number * num_tasks if rows > num_tasks else 0
    return slice(first, first + num_tasks)


def across(gramian: Tensor, num_tasks: int) -> Tensor:
    """Return the inner products (..., K, K) of the gradients of the first batch with those of the second.

    Args:
        gramian: Gram matrix of the gradients of all batches, or of one batch that stands for all.
        num_tasks: K.
    """
    rows = gramian.shape[-1]
    return gramian[..., of_batch(0, num_tasks, rows), of_batch(1, num_tasks, rows)]


def spread(weights: Tensor, shares: Sequence[float], rows: int) -> Tensor:
    """Return weights (..., rows) that give each batch its share of the weights (..., K)."""
    if rows == weights.shape[-1]:
        return weights
    return torch.cat([share * weights for share in shares], -1)
