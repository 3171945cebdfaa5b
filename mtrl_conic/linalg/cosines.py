"""A Gram matrix apart from its scales: cosines and norms."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Cosines(NamedTuple):
    """A Gram matrix apart from its scales, M = D C D."""

    matrix: Tensor
    """C (..., K, K), with a unit diagonal; a zero gradient counts as orthogonal to all others."""
    norms: Tensor
    """The diagonal of D (..., K)."""
    inverse: Tensor
    """1 / norms, and zero for a zero gradient: such a task needs no weight."""


def normalise(gramian: Tensor) -> Cosines:
    """The cosines and norms of gradients from their Gram matrix (..., K, K)."""
    square = gramian.diagonal(dim1=-2, dim2=-1)
    norms = square.clamp_min(0).sqrt()
    inverse = torch.where(square > 0, 1 / norms, 0.0)
    cosines = gramian * inverse.unsqueeze(-1) * inverse.unsqueeze(-2)
    return Cosines(cosines + torch.diag_embed((square <= 0).to(square.dtype)), norms, inverse)


def conflicts(gramian: Tensor) -> Tensor:
    """The number (...) of pairs of tasks whose gradients have a negative inner product."""
    return (gramian < 0).sum((-2, -1)) // 2
