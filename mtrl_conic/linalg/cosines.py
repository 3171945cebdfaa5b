"""Decomposition of a Gram matrix into cosines and norms."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

_RIDGES = (0.0, 1e-14, 1e-11, 1e-8, 1e-6, 1e-4)
"""The ridges that are tried until the cosines have a Cholesky factor; the last one is used without a test."""


class Cosines(NamedTuple):
    """The decomposition of a Gram matrix, M = D C D."""

    matrix: Tensor
    """C (..., K, K), positive semidefinite, of unit diagonal; a zero gradient counts as orthogonal to all others."""
    norms: Tensor
    """The diagonal of D (..., K)."""
    inverse: Tensor
    """1 / norms, and zero for a zero gradient, whose task needs no weight."""


def normalise(gramian: Tensor) -> Cosines:
    """The cosines and norms of gradients from their Gram matrix (..., K, K).

    Rounding can give a Gram matrix of dependent gradients eigenvalues below zero, in proportion to the accuracy of its
    products. The smallest ridge with which the cosines have a Cholesky factor measures that accuracy, and is added. The
    cosines of independent gradients do not change.
    """
    square = gramian.diagonal(dim1=-2, dim2=-1)
    some = square > 0
    norms = square.clamp_min(0).sqrt()
    inverse = torch.where(some, 1 / norms, 0.0)
    cosines = (gramian * inverse.unsqueeze(-1) * inverse.unsqueeze(-2)).clamp(-1, 1)
    cosines = cosines + torch.diag_embed((~some).to(square.dtype))
    return Cosines(_positive_semidefinite(cosines), norms, inverse)


def _positive_semidefinite(cosines: Tensor) -> Tensor:
    ridges, eye = _ridges(cosines.shape[-1], cosines.dtype, cosines.device)
    without_factor = torch.linalg.cholesky_ex(cosines.unsqueeze(-3) + ridges[:-1, None, None] * eye)[1] != 0
    least = torch.where(without_factor, ridges[1:], 0.0).amax(-1)
    return torch.addcmul(cosines, least[..., None, None], eye)


@cache
def _ridges(size: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    # Cached, because copying a list to a GPU waits for the device.
    return torch.tensor(_RIDGES, dtype=dtype, device=device), torch.eye(size, dtype=dtype, device=device)


def unit_scale(gramian: Tensor) -> Tensor:
    """Divide Gram matrices (..., K, K) by a power of two that brings the largest diagonal entry between 1/2 and 1.

    This causes no rounding, and products of entries then neither overflow nor vanish. Zero matrices do not change.
    """
    largest = gramian.diagonal(dim1=-2, dim2=-1).amax(-1)
    mantissa = torch.frexp(largest).mantissa
    return gramian * torch.where(largest > 0, mantissa / largest, 1.0)[..., None, None]


def conflicts(gramian: Tensor) -> Tensor:
    """The number (...) of pairs of tasks whose gradients have a negative inner product."""
    return (gramian < 0).sum((-2, -1)) // 2


def norms_and_cosines(gramian: Tensor) -> tuple[Tensor, Tensor]:
    """Return the norms (K,) and the cosines (K, K) of gradients with a Gram matrix (K, K), as statistics show them.

    They are not corrected for rounding; the cosines with a zero gradient are 0.
    """
    norms = gramian.diagonal().sqrt()
    return norms, gramian / torch.outer(norms, norms).clamp_min(torch.finfo(norms.dtype).tiny)
