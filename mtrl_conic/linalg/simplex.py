"""Problems on the simplex of weights: the shortest combination of gradients, and the projection."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from mtrl_conic.linalg.cosines import Cosines, normalise
from mtrl_conic.linalg.quadratic import minimise_quadratic
from mtrl_conic.linalg.vectors import positive


def simplex_scales(norms: Tensor) -> Tensor:
    """a (..., K), at most 1, such that x = D w has a.x ~ sum(w): min(norms) / norms, of which none is infinite."""
    raised = positive(torch.maximum(norms, 1e-15 * norms.amax(-1, keepdim=True)))
    return raised.amin(-1, keepdim=True) / raised


class ShortestProblem(NamedTuple):
    """The shortest combination of gradients as a problem without the simplex, see `as_quadratic`."""

    matrix: Tensor
    """(..., K, K)"""
    linear: Tensor
    """(..., K)"""

    def weights(self, solution: Tensor) -> Tensor:
        """The w (..., K) on the simplex that belongs to a minimiser (..., K) over x >= 0."""
        weights = -self.linear * solution
        return weights / weights.sum(-1, keepdim=True)


def as_quadratic(cosines: Cosines) -> ShortestProblem:
    """Return a quadratic over x >= 0 whose minimiser gives the w on the simplex with the smallest w^T M w.

    It is the ray of the minimiser of x^T C x / 2 + (a.x - 1)^2 / 2 over x = D w >= 0, a.x ~ sum(w): along a
    ray of value v = x^T C x / (a.x)^2 that is v / (2 (v + 1)) at best, which grows with v.
    """
    scales = simplex_scales(cosines.norms)
    return ShortestProblem(cosines.matrix + scales.unsqueeze(-1) * scales.unsqueeze(-2), -scales)


def shortest(gramian: Tensor) -> Tensor:
    """Return the w (..., K) on the simplex with the smallest w^T M w."""
    problem = as_quadratic(normalise(gramian))
    return problem.weights(minimise_quadratic(problem.matrix, problem.linear))


def project_on_simplex(point: Tensor) -> Tensor:
    """The nearest point of the simplex to (..., K), by sorting (Held, Wolfe and Crowder, 1974)."""
    ordered = point.sort(-1, descending=True).values
    ranks = torch.arange(1, point.shape[-1] + 1, dtype=point.dtype, device=point.device)
    shifts = (ordered.cumsum(-1) - 1) / ranks
    shift = torch.where(ordered > shifts, shifts, -torch.inf).amax(-1, keepdim=True)
    return (point - shift).clamp_min(0)
