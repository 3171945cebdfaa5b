"""Linear systems with a Cholesky factor, by operations that a CUDA graph can record."""

from __future__ import annotations

import torch
from torch import Tensor


def cholesky_solve(right: Tensor, lower: Tensor) -> Tensor:
    """Return X (..., K, N) with L L^T X = B, for B (..., K, N) and the lower triangular factor L (..., K, K)."""
    # On a GPU, torch.cholesky_solve waits for some shapes, so that it cannot be recorded.
    return two_triangles(right, lower) if right.is_cuda else torch.cholesky_solve(right, lower)


def cholesky_inverse(lower: Tensor) -> Tensor:
    """Return the inverse of L L^T (..., K, K)."""
    if lower.is_cuda:
        eye = torch.eye(lower.shape[-1], dtype=lower.dtype, device=lower.device)
        return two_triangles(eye.expand_as(lower), lower)
    return torch.cholesky_inverse(lower)


def two_triangles(right: Tensor, lower: Tensor) -> Tensor:
    """Return what `cholesky_solve` does, by one triangular system after the other."""
    half = torch.linalg.solve_triangular(lower, right, upper=False)
    whole: Tensor = torch.linalg.solve_triangular(lower.mT, half, upper=True)
    return whole
