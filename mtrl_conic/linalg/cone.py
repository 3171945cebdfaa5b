"""The largest worst-case inner product with some vectors among the directions of a cone around an axis."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from mtrl_conic.linalg.cosines import normalise
from mtrl_conic.linalg.norm import minimise_norm
from mtrl_conic.linalg.simplex import simplex_scales
from mtrl_conic.linalg.vectors import dot, matvec

_COLLINEAR = 1e-12
"""Below this share of ||g_w||^2 the part of g_w perpendicular to the axis is rounding."""


class Axis(NamedTuple):
    """The axis a = G^T b of a cone, as a combination of K vectors with the Gram matrix M."""

    weights: Tensor | float
    """b (..., K), or one number for all entries."""
    products: Tensor
    """M b (..., K)."""
    square: Tensor
    """||a||^2 = b.M b (..., 1), positive."""


class Steepest(NamedTuple):
    """The direction of a cone that has the largest inner product with g_w, see `steepest`."""

    ray: Tensor
    """Weights (..., K) of a positive multiple of the direction."""
    inside: Tensor
    """Whether (..., 1) it is the direction of g_w itself."""
    fallback: Tensor
    """Whether (..., 1) it is the axis because g_w has no part perpendicular to it."""


def steepest(gramian: Tensor, tasks: Tensor, axis: Axis, c: float) -> Steepest:
    """Return the direction d with cos(d, a) >= c that has the largest inner product with g_w.

    With h = a / ||a||, p = h.g_w and g_perp = g_w - p h, it is g_w where p >= c ||g_w||, and otherwise a multiple of
    c h + sqrt(1 - c^2) g_perp / ||g_perp||.

    Args:
        gramian: M (..., K, K).
        tasks: w (..., K), weights of g_w or of a positive multiple of it.
        axis: the axis a.
        c: smallest cosine with the axis.
    """
    products = matvec(gramian, tasks)
    square = dot(tasks, products).clamp_min(0)
    along = dot(tasks, axis.products)  # g_w.a
    share = along / axis.square
    # ||g_perp||^2 by its own weights: square - along^2 / ||a||^2 would cancel.
    rest = tasks - share * axis.weights
    rest_square = dot(rest, products - share * axis.products)
    inside = along > c * (square * axis.square).sqrt()
    collinear = rest_square <= _COLLINEAR * square
    sideways = ((1 - c * c) * axis.square / rest_square).sqrt()
    outside = c * axis.weights + torch.where(collinear, 0.0, sideways) * rest
    return Steepest(torch.where(inside, tasks, outside), inside, collinear & ~inside)


def least_favourable(gramian: Tensor, axis: Axis, c: float) -> tuple[Tensor, Tensor]:
    """Return the w (..., K) on the simplex that minimises F(w), the largest d.g_w / ||d|| over all d in the cone.

    F(w) is the smallest ||g_w + v h|| - c v over v >= 0, where v is the multiplier of the cone. This is a problem in
    x = (D w, v), in the cosines of the gradients and of h = a / ||a||. The second tensor (..., K) holds the weights of
    a multiple of the direction g_w + v h, which exists in the limit of the solver's smoothing even if g_w vanishes.
    """
    cosines = normalise(gramian)
    scales = simplex_scales(cosines.norms)
    length = axis.square.sqrt()
    along = (axis.products * cosines.inverse / length).clamp(-1, 1)  # rounding, where a is zero
    one, none = torch.ones_like(length), torch.zeros_like(length)
    body = torch.cat([cosines.matrix, along.unsqueeze(-1)], -1)
    bordered = torch.cat([body, torch.cat([along, one], -1).unsqueeze(-2)], -2)
    # At c = 1 the price is infinite and w no longer matters.
    c = min(c, 1 - 1e-6)
    # The least value is at most one: half of it, as `minimise_norm` asks.
    linear = torch.cat([torch.zeros_like(along), none - c / 2], -1)
    least = minimise_norm(bordered, linear, one / 2, torch.cat([scales, none], -1))
    weights, price = least.x[..., :-1], least.x[..., -1:]
    towards = (weights * cosines.inverse * length + price * axis.weights) / least.radius
    weights = weights * scales
    return weights / weights.sum(-1, keepdim=True), towards
