"""Products of batches of small matrices and vectors, and safe divisors."""

from __future__ import annotations

import torch
from torch import Tensor

_FLOOR = 1e-100
"""Far below the square of any gradient's norm, and large enough to divide by without overflow."""


def matvec(matrix: Tensor, vector: Tensor) -> Tensor:
    """A x for matrices (..., N, K) and vectors (..., K)."""
    return (matrix @ vector.unsqueeze(-1)).squeeze(-1)


def dot(left: Tensor, right: Tensor) -> Tensor:
    """Inner products (..., 1) of vectors (..., K)."""
    product: Tensor = torch.linalg.vecdot(left, right)
    return product.unsqueeze(-1)


def positive(value: Tensor) -> Tensor:
    """Return `value`, raised if it is zero or negative, so that it and its square are safe divisors."""
    return value.clamp_min(_FLOOR)
