"""What methods promise of their directions, as errors that are zero but for rounding where the promise is kept.

All is told from the Gram matrix and the weights alone, relative to the sizes of the terms that add up to a number, so
that no error depends on the gradients' scale. A balancer evaluates its own promises on the weights that it is about to
return, and falls back where one is missed by more than `TOLERANCE`; the tests evaluate the same ones.
"""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from mtrl_conic.linalg.vectors import dot, matvec, positive

TOLERANCE = 1e-6
"""Largest relative error of a guarantee that holds: far above the error of a converged solver (1e-9), and far below
that of one that has not converged."""
_ROUNDING = 1e-15
"""Relative rounding error of an inner product of weights, per task."""
_VANISHED = 1e-6
"""Parts of a direction that are shorter than this fraction of the gradients' mean norm are treated as zero."""
_LARGEST = 1e6
"""Largest ratio of the lengths of the parts of a direction to its own; above it, float32 rounding dominates."""


class Outcome:
    """The direction d that weights (..., K) give for gradients with the Gram matrix M (..., K, K)."""

    def __init__(self, gramian: Tensor, weights: Tensor) -> None:
        self.gramian, self.weights = gramian, weights

    def of_others(self, weights: Tensor) -> Outcome:
        """Return the outcome of other weights for the same gradients."""
        return Outcome(self.gramian, weights)

    @cached_property
    def norms(self) -> Tensor:
        """||g_i|| (..., K)."""
        return self.gramian.diagonal(dim1=-2, dim2=-1).clamp_min(0).sqrt()

    @cached_property
    def products(self) -> Tensor:
        """g_i.d (..., K)."""
        return matvec(self.gramian, self.weights)

    @cached_property
    def square(self) -> Tensor:
        """||d||^2 (..., 1)."""
        return dot(self.weights, self.products)

    @cached_property
    def spread(self) -> Tensor:
        """The sum of the norms of all w_i g_i (..., 1), which bounds the cancellation."""
        return dot(self.weights.abs(), self.norms)

    @property
    def noise(self) -> Tensor:
        """The part (..., 1) of `square` that may be rounding error."""
        return rounding(self.spread, self.weights.shape[-1])

    @cached_property
    def mean_norm(self) -> Tensor:
        """The mean of the norms ||g_i|| (..., 1)."""
        return self.norms.mean(-1, keepdim=True)


def conflict(of: Outcome) -> Tensor:
    """Return by how much (...) the smallest g_i.d lies below zero."""
    return below(of, torch.zeros_like(of.spread))


def worse_than_its_length(of: Outcome) -> Tensor:
    """Return by how much (...) the smallest g_i.d lies below ||d||^2; zero for MGDA's direction."""
    return below(of, of.square)


def below(of: Outcome, least: Tensor) -> Tensor:
    """Return by how much (...) the smallest g_i.d lies below `least` (..., 1)."""
    # Where gradients vanish, or all weight is on vanishing ones, only the rounding of the others is left.
    nothing = _VANISHED * of.mean_norm
    terms = (of.norms + nothing) * (of.spread + nothing)
    return ((least - of.products) / positive(terms)).amax(-1).clamp_min(0)


def off_the_simplex(weights: Tensor) -> Tensor:
    """Return by how much (...) the weights (..., K) miss being nonnegative with sum one."""
    return torch.maximum((weights.sum(-1) - 1).abs(), -weights.amin(-1))


def longer(of: Outcome, length: Tensor) -> Tensor:
    """Return by how much (...) ||d||^2 exceeds the square of `length` (..., 1), relative to that square."""
    square = length * length
    return ((of.square - square) / positive(square)).squeeze(-1).clamp_min(0)


def cancellation(of: Outcome, length: Tensor) -> Tensor:
    """Return the sum of the norms of all w_i g_i relative to `length` (..., 1), scaled to `TOLERANCE` at the limit."""
    return (TOLERANCE / _LARGEST * of.spread / positive(length)).squeeze(-1)


def unequal_projections(of: Outcome, size: Tensor) -> Tensor:
    """Return the range (...) of the g_i.d / ||g_i|| relative to `size` (..., 1), without gradients that are zero."""
    some = of.norms > 0
    projections = of.products / positive(of.norms)
    highest = torch.where(some, projections, -torch.inf).amax(-1)
    lowest = torch.where(some, projections, torch.inf).amin(-1)
    return ((highest - lowest) / positive(size).squeeze(-1)).clamp_min(0)


def power_residual(of: Outcome, power: float) -> Tensor:
    """Return the relative difference (...) of M w and w^-power for w > 0, without gradients that are zero."""
    some = of.norms > 0
    wanted = torch.where(some, of.weights, 1.0) ** -power
    terms = matvec(of.gramian.abs(), of.weights) + wanted
    return torch.where(some, (of.products - wanted).abs() / terms, 0.0).amax(-1)


class FromTheMean:
    """An outcome d = g0 + e relative to the mean gradient g0, accurate also where g0 almost vanishes."""

    def __init__(self, of: Outcome) -> None:
        size = of.weights.shape[-1]
        apart = of.of_others(of.weights - 1 / size)
        mean = of.gramian.mean(-1)
        self._square = apart.square + apart.noise
        self._mean_square = positive(mean.mean(-1, keepdim=True))
        # ||d||^2 - ||g0||^2 and d.g0 - ||g0||^2 are computed from e and from d: each is accurate where it is small.
        along = dot(apart.weights, mean)
        self._excess = torch.minimum(
            (apart.square + 2 * along).abs() + apart.noise, (of.square - self._mean_square).abs() + of.noise
        )
        self._along = torch.maximum(along, dot(of.weights, mean) - self._mean_square)
        # A difference within the rounding of ||g0||^2 itself is no violation.
        self._size = self._mean_square + rounding(of.mean_norm, size) / TOLERANCE

    def outside_ball(self, radius: float) -> Tensor:
        """Return by how much (...) ||d - g0||^2 exceeds the square of `radius` ||g0||, relative to ||g0||^2."""
        return ((self._square - radius**2 * self._mean_square) / self._size).squeeze(-1).clamp_min(0)

    def other_length(self) -> Tensor:
        """Return the difference (...) of ||d||^2 and ||g0||^2, relative to ||g0||^2."""
        return (self._excess / self._size).squeeze(-1)

    def outside_cone(self, c: float) -> Tensor:
        """Return by how much (...) d.g0 / ||g0||^2 lies below c."""
        return (((c - 1) * self._mean_square - self._along) / self._size).squeeze(-1).clamp_min(0)


def rounding(spread: Tensor, num_tasks: int) -> Tensor:
    """Return the part of ||d||^2 that may be rounding error, if the norms of the parts of d have the sum `spread`."""
    return num_tasks * _ROUNDING * spread * spread
