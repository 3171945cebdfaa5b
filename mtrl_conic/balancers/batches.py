"""Gradients of several independent batches: the K of the first, then the K of the second, and so on.

An inner product of two gradients of one batch has the batch's noise in both factors, and its mean is not the inner
product of the true gradients; of two independent batches it is.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

SAMPLINGS = {"single": 1, "double": 2, "triple": 3}
"""What the field calls it -> how many batches an update takes."""


def of_batch(number: int, num_tasks: int, rows: int) -> slice:
    """Where the K gradients of a batch stand among all of `rows`; where there are only K, they are every batch's."""
    first = number * num_tasks if rows > num_tasks else 0
    return slice(first, first + num_tasks)


def across(gramian: Tensor, num_tasks: int) -> Tensor:
    """Inner products (..., K, K) of the gradients of the first batch with those of the second.

    Args:
        gramian: of all batches, or of one that stands for all.
        num_tasks: K.
    """
    rows = gramian.shape[-1]
    return gramian[..., of_batch(0, num_tasks, rows), of_batch(1, num_tasks, rows)]


def spread(weights: Tensor, shares: Sequence[float], rows: int) -> Tensor:
    """Weights (..., rows) that give each batch its share of the weights (..., K)."""
    if rows == weights.shape[-1]:
        return weights
    return torch.cat([share * weights for share in shares], -1)
