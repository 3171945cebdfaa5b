"""A Gram matrix apart from its scales: cosines and norms."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

_RIDGES = (0.0, 1e-14, 1e-11, 1e-8, 1e-6, 1e-4)
"""Tried in turn until the cosines have a factor; the last goes untried."""


class Cosines(NamedTuple):
    """A Gram matrix apart from its scales, M = D C D."""

    matrix: Tensor
    """C (..., K, K), positive semidefinite, of unit diagonal; a zero gradient counts as orthogonal to all others."""
    norms: Tensor
    """The diagonal of D (..., K)."""
    inverse: Tensor
    """1 / norms, and zero for a zero gradient: such a task needs no weight."""


def normalise(gramian: Tensor) -> Cosines:
    """The cosines and norms of gradients from their Gram matrix (..., K, K).

    Rounding leaves a matrix of dependent gradients with eigenvalues below zero, which no gradients have: in proportion
    to the accuracy of the products that it is made of. The least ridge with which the cosines have a Cholesky factor
    tells that accuracy, and is added; the cosines of independent gradients are left as they are.
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
    # Kept, for a list reaches a GPU only by waiting for it.
    return torch.tensor(_RIDGES, dtype=dtype, device=device), torch.eye(size, dtype=dtype, device=device)


def unit_scale(gramian: Tensor) -> Tensor:
    """The Gram matrix (..., K, K) over a power of two that brings its largest diagonal entry to 1/2 or up to one.

    Rounds nothing; products of entries then neither overflow nor vanish. Zero stays as it is.
    """
    largest = gramian.diagonal(dim1=-2, dim2=-1).amax(-1)
    mantissa = torch.frexp(largest).mantissa
    return gramian * torch.where(largest > 0, mantissa / largest, 1.0)[..., None, None]


def conflicts(gramian: Tensor) -> Tensor:
    """The number (...) of pairs of tasks whose gradients have a negative inner product."""
    return (gramian < 0).sum((-2, -1)) // 2
