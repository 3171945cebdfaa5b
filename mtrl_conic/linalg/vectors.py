"""Products of batches of small matrices and vectors, and numbers that are safe to divide by."""

from __future__ import annotations

import torch
from torch import Tensor

_FLOOR = 1e-100
"""Far below any square of a gradient's norm, and far above what overflows when divided by."""


def matvec(matrix: Tensor, vector: Tensor) -> Tensor:
    """A x for matrices (..., N, K) and vectors (..., K)."""
    return (matrix @ vector.unsqueeze(-1)).squeeze(-1)


def dot(left: Tensor, right: Tensor) -> Tensor:
    """Inner products (..., 1) of vectors (..., K)."""
    product: Tensor = torch.linalg.vecdot(left, right)
    return product.unsqueeze(-1)


def positive(value: Tensor) -> Tensor:
    """`value`, raised where it is zero or below: safe to divide by, even squared."""
    return value.clamp_min(_FLOOR)
