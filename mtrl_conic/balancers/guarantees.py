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
"""Far above the error of a solver that has converged (1e-9), far below that of one that has not."""
_ROUNDING = 1e-15
"""Relative error of an inner product of weights, for each task."""
_VANISHED = 1e-6
"""Of the gradients' mean norm: parts of a direction that are shorter are not told apart from nothing."""
_LARGEST = 1e6
"""How many times as long as a direction its parts may be: beyond, rounding in float32 is what is left."""


class Outcome:
    """What weights (..., K) make of gradients with the Gram matrix M (..., K, K)."""

    def __init__(self, gramian: Tensor, weights: Tensor) -> None:
        self.gramian, self.weights = gramian, weights

    def of_others(self, weights: Tensor) -> Outcome:
        """What other weights make of the same gradients."""
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
        """The sum of the norms of all w_i g_i (..., 1): how much there is to cancel."""
        return dot(self.weights.abs(), self.norms)

    @property
    def noise(self) -> Tensor:
        """How much (..., 1) of `square` may be rounding."""
        return rounding(self.spread, self.weights.shape[-1])

    @cached_property
    def mean_norm(self) -> Tensor:
        """(..., 1)."""
        return self.norms.mean(-1, keepdim=True)


def conflict(of: Outcome) -> Tensor:
    """How far (...) some g_i.d lies below zero."""
    return below(of, torch.zeros_like(of.spread))


def worse_than_its_length(of: Outcome) -> Tensor:
    """How far (...) some g_i.d lies below ||d||^2: zero for the shortest vector of the gradients' convex hull."""
    return below(of, of.square)


def below(of: Outcome, least: Tensor) -> Tensor:
    """How far (...) some g_i.d lies below `least` (..., 1)."""
    # Where gradients vanish, or all weight lies on such, the rounding of the others is all there is.
    nothing = _VANISHED * of.mean_norm
    terms = (of.norms + nothing) * (of.spread + nothing)
    return ((least - of.products) / positive(terms)).amax(-1).clamp_min(0)


def off_the_simplex(weights: Tensor) -> Tensor:
    """How far (...) the weights (..., K) are from being positive with sum one."""
    return torch.maximum((weights.sum(-1) - 1).abs(), -weights.amin(-1))


def longer(of: Outcome, length: Tensor) -> Tensor:
    """How far (...) ||d||^2 exceeds the square of `length` (..., 1)."""
    square = length * length
    return ((of.square - square) / positive(square)).squeeze(-1).clamp_min(0)


def cancellation(of: Outcome, length: Tensor) -> Tensor:
    """The sum of the norms of all w_i g_i, in lengths (..., 1): `TOLERANCE` where it is the most that is allowed."""
    return (TOLERANCE / _LARGEST * of.spread / positive(length)).squeeze(-1)


def unequal_projections(of: Outcome, size: Tensor) -> Tensor:
    """How far apart (...) the g_i.d / ||g_i|| are, over `size` (..., 1); a zero gradient has none."""
    some = of.norms > 0
    projections = of.products / positive(of.norms)
    highest = torch.where(some, projections, -torch.inf).amax(-1)
    lowest = torch.where(some, projections, torch.inf).amin(-1)
    return ((highest - lowest) / positive(size).squeeze(-1)).clamp_min(0)


def power_residual(of: Outcome, power: float) -> Tensor:
    """How far (...) M w is from w^-power, in positive weights; a zero gradient has none."""
    some = of.norms > 0
    wanted = torch.where(some, of.weights, 1.0) ** -power
    terms = matvec(of.gramian.abs(), of.weights) + wanted
    return torch.where(some, (of.products - wanted).abs() / terms, 0.0).amax(-1)


class FromTheMean:
    """An outcome d = g0 + e seen from the mean gradient g0, also where that all but vanishes."""

    def __init__(self, of: Outcome) -> None:
        size = of.weights.shape[-1]
        apart = of.of_others(of.weights - 1 / size)
        mean = of.gramian.mean(-1)
        self._square = apart.square + apart.noise
        self._mean_square = positive(mean.mean(-1, keepdim=True))
        # ||d||^2 - ||g0||^2 and d.g0 - ||g0||^2, from e and from d: each is exact where it is made of little.
        along = dot(apart.weights, mean)
        self._excess = torch.minimum(
            (apart.square + 2 * along).abs() + apart.noise, (of.square - self._mean_square).abs() + of.noise
        )
        self._along = torch.maximum(along, dot(of.weights, mean) - self._mean_square)
        # What is missed by no more than the rounding of ||g0||^2 itself is not missed.
        self._size = self._mean_square + rounding(of.mean_norm, size) / TOLERANCE

    def outside_ball(self, radius: float) -> Tensor:
        """How far (...) ||d - g0||^2 exceeds the square of `radius` ||g0||, over ||g0||^2."""
        return ((self._square - radius**2 * self._mean_square) / self._size).squeeze(-1).clamp_min(0)

    def other_length(self) -> Tensor:
        """How far (...) ||d||^2 is from ||g0||^2, over the latter."""
        return (self._excess / self._size).squeeze(-1)

    def outside_cone(self, c: float) -> Tensor:
        """How far (...) d.g0 / ||g0||^2 lies below c."""
        return (((c - 1) * self._mean_square - self._along) / self._size).squeeze(-1).clamp_min(0)


def rounding(spread: Tensor, num_tasks: int) -> Tensor:
    """How much of a square ||d||^2 may be rounding, where the parts of d have norms with the sum `spread`."""
    return num_tasks * _ROUNDING * spread * spread
