"""Small convex problems in the weights of K tasks, from the Gram matrix alone.

All are float64, batched over leading dimensions, of a fixed number of iterations, without a branch on
the data and without waiting for the device. They take the matrix of cosines C = D^-1 M D^-1 and the
norms D of the gradients (see `normalise`), so that the gradients' scales do not matter, and are defined
on singular, rank-deficient and zero matrices and for one task.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

_FLOOR = 1e-100
"""Far below any square of a gradient's norm, and far above what overflows when divided by."""
_RIDGE = 1e-14
"""Relative to the diagonal: keeps a singular system's factor real, and too small to bend a step."""
_NOISE = 1e-7
"""A norm sqrt(x^T C x) below this share of sum(x) is rounding: C holds squares, so half of the digits are lost."""
_QUADRATIC_STEPS, _NORM_STEPS, _POWER_STEPS = 16, 24, 16
_LENGTHS = (0.995, 0.8, 0.5, 0.25, 0.1, 0.03, 0.01, 0.001)
"""Step lengths tried, as shares of the longest that keeps x positive."""


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


def conflicts(gramian: Tensor) -> Tensor:
    """The number (...) of pairs of tasks whose gradients have a negative inner product."""
    return (gramian < 0).sum((-2, -1)) // 2


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


def simplex_scales(norms: Tensor) -> Tensor:
    """a (..., K) such that x = D w has a.x = 1 where w is on the simplex: 1 / norms, of which none is infinite."""
    return 1 / positive(torch.maximum(norms, 1e-15 * norms.amax(-1, keepdim=True)))


def minimise_quadratic(matrix: Tensor, linear: Tensor, scales: Tensor, start: Tensor) -> Tensor:
    """The x (..., K) that minimises x^T Q x / 2 + b.x over x >= 0 with a.x as at the start.

    Mehrotra's primal-dual interior point method (SIAM J. Optim. 2, 1992): one factor and two solves a step.

    Args:
        matrix: Q (..., K, K), positive semidefinite.
        linear: b (..., K).
        scales: a (..., K), not negative; all zero where a.x is free.
        start: x (..., K), positive.
    """
    x, total = start, dot(scales, start)
    top = positive((x * (matvec(matrix, x) + linear)).abs().amax(-1, keepdim=True))
    slack, price = top / x, torch.zeros_like(total)
    for _ in range(_QUADRATIC_STEPS):
        # Everything is relative to x: a step is x (1 + rise), and row and column i are multiplied by x_i.
        off = x * (matvec(matrix, x) + linear - slack - price * scales)
        pairs, row = x * slack, x * scales
        factor = _factor(matrix, x, pairs)
        rise, normal = torch.cholesky_solve(torch.stack([-pairs - off, row], -1), factor).unbind(-1)
        steepness = positive(dot(row, normal))
        rise = rise - dot(row, rise) / steepness * normal
        bend = rise * (-1 - rise)
        length = _longest(torch.minimum(rise, -1 - rise), 1.0)
        # What is left after a step to the boundary: 1 + l (u + v) + l^2 u v with u + v = -1.
        left = (pairs * (1 - length + length * length * bend)).mean(-1, keepdim=True)
        mean = pairs.mean(-1, keepdim=True)
        aim = torch.maximum((left / mean).clamp(0, 1) ** 3 * mean, 1e-17 * top)
        wanted = aim - pairs * bend
        rise = torch.cholesky_solve((wanted - pairs - off).unsqueeze(-1), factor).squeeze(-1)
        change = -dot(row, rise) / steepness
        rise = rise + change * normal
        slack_rise = wanted / pairs - 1 - rise
        length = _longest(torch.minimum(rise, slack_rise), _LENGTHS[0])
        x, slack, price = x * (1 + length * rise), slack * (1 + length * slack_rise), price + length * change
        x = x * ((total + _FLOOR) / (dot(scales, x) + _FLOOR))
    return x


class NormMinimum(NamedTuple):
    """A minimiser of b.x + kappa ||A^T x||, see `minimise_norm`."""

    x: Tensor
    """(..., N)."""
    radius: Tensor
    """(..., 1), the value of ||A^T x||, smoothed: x / radius gives a subgradient even where it is zero."""


def minimise_norm(matrix: Tensor, linear: Tensor, kappa: Tensor, scales: Tensor, start: Tensor) -> NormMinimum:
    """Minimise b.x + kappa sqrt(x^T Q x) over x >= 0 with a.x as at the start.

    A primal-dual interior point method. The logarithmic barrier of the cone t >= ||A^T x|| has its
    minimum at t = e + sqrt(e^2 + x^T Q x), e = mu / kappa, which takes the place of the norm: smooth
    for mu > 0, exact as mu -> 0. The norm is far from quadratic, so a Newton step is cut to the best of
    a few lengths for the barrier function, which is convex.

    Args:
        matrix: Q = A A^T (..., N, N), with a unit diagonal.
        linear: b (..., N).
        kappa: (..., 1), positive.
        scales: a (..., N), not negative.
        start: x (..., N), positive.
    """
    x, total = start, dot(scales, start)
    lengths = torch.tensor(_LENGTHS, dtype=x.dtype, device=x.device)
    product = matvec(matrix, x)
    top = positive((x * (linear + kappa * product / positive(dot(x, product)).sqrt())).abs().amax(-1, keepdim=True))
    slack, price, shrink = top / x, torch.zeros_like(total), torch.full_like(total, 0.15)
    best, radius, least = x, torch.ones_like(total), torch.full_like(total, torch.inf)
    for _ in range(_NORM_STEPS):
        mu = torch.maximum(shrink * (x * slack).mean(-1, keepdim=True), 1e-15 * top)
        smoothing = mu / kappa
        product = matvec(matrix, x)
        noise = _NOISE * x.sum(-1, keepdim=True)
        root = (smoothing * smoothing + noise * noise + dot(x, product).clamp_min(0)).sqrt()
        norm = smoothing + root
        pairs, row = x * slack, x * scales
        off = x * (linear + kappa / norm * product - slack - price * scales)
        error = (pairs + off.abs()).sum(-1, keepdim=True)
        better = error < least
        best, radius = torch.where(better, x, best), torch.where(better, norm, radius)
        least = torch.where(better, error, least)

        hessian = matrix - product.unsqueeze(-1) * (product / (norm * root)).unsqueeze(-2)
        factor = _factor(hessian, x * (kappa / norm).sqrt(), pairs)
        rise, normal = torch.cholesky_solve(torch.stack([mu - pairs - off, row], -1), factor).unbind(-1)
        change = -dot(row, rise) / positive(dot(row, normal))
        rise = rise + change * normal
        slack_rise = mu / pairs - 1 - rise

        step = x * rise
        trial = lengths * _longest(rise, 1.0)
        growth = 2 * trial * dot(step, product) + trial * trial * dot(step, matvec(matrix, step))
        growth = growth / ((root * root + growth).clamp_min(0).sqrt() + root)
        logs = torch.log1p(growth / norm) + torch.log1p(trial.unsqueeze(-1) * rise.unsqueeze(-2)).sum(-1)
        barrier = trial * dot(linear, step) + kappa * growth - mu * logs
        length = trial.gather(-1, barrier.argmin(-1, keepdim=True))
        slack_length = _longest(slack_rise, _LENGTHS[0])
        x, slack, price = x + length * step, slack * (1 + slack_length * slack_rise), price + change
        x = x * ((total + _FLOOR) / (dot(scales, x) + _FLOOR))
        slack = torch.minimum(torch.maximum(slack, 1e-8 * mu / x), 1e8 * mu / x)
        shrink = (1 - torch.minimum(length, slack_length)).square().clamp(0.01, 0.5)
    return NormMinimum(best, radius)


class PowerSolution(NamedTuple):
    """A solution of M w = w^-p, see `solve_power`."""

    weights: Tensor
    """w (..., K), positive."""
    residual: Tensor
    """(...), the largest |(M w)_i / w_i^-p - 1|."""


def solve_power(cosines: Cosines, power: float) -> PowerSolution:
    """The positive w (..., K) with M w = w^-p.

    It minimises w^T M w / 2 - sum w^(1-p) / (1-p) (of the logarithms where p = 1), which is convex.
    In b = D w: the best multiple of b, then a Newton step relative to b, cut to the best of a few
    lengths; p goes from 1, where this converges from anywhere, to its value.

    Args:
        cosines: C and D of M = D C D.
        power: p, above zero.
    """
    matrix = cosines.matrix
    logs = torch.where(cosines.inverse > 0, cosines.norms, 1.0).log()
    lengths = torch.tensor(_LENGTHS, dtype=logs.dtype, device=logs.device)
    steps = _POWER_STEPS + math.ceil(6 * abs(math.log2(power)))
    b = torch.ones_like(logs)
    for count in range(steps):
        p = power ** min(1.0, count / (steps - 8))
        product = matvec(matrix, b)
        pull = ((p - 1) * logs).exp() * b ** (1 - p)
        pairs = b * product
        ray = (pull.sum(-1, keepdim=True) / pairs.sum(-1, keepdim=True).clamp_min(1e-20)) ** (1 / (1 + p))
        b, product, pairs, pull = b * ray, product * ray, pairs * ray * ray, pull * ray ** (1 - p)
        factor = _factor(matrix, b, p * pull)
        rise = torch.cholesky_solve((pull - pairs).unsqueeze(-1), factor).squeeze(-1)
        step = b * rise
        trial = lengths * _longest(rise, 1.0)
        growth = torch.log1p(trial.unsqueeze(-1) * rise.unsqueeze(-2))
        if p != 1:
            growth = torch.expm1((1 - p) * growth) / (1 - p)
        quadratic = trial * dot(product, step) + 0.5 * trial * trial * dot(step, matvec(matrix, step))
        merit = quadratic - matvec(growth, pull)
        b = b * (1 + trial.gather(-1, merit.argmin(-1, keepdim=True)) * rise)
    pull = ((power - 1) * logs).exp() * b ** (1 - power)
    residual = (b * matvec(matrix, b) / pull - 1).abs().amax(-1)
    return PowerSolution(b * cosines.inverse, residual)


def ridged_inverse(cosines: Tensor) -> Tensor:
    """X (..., K, K) with C X = I, and a large bounded matrix where C is singular.

    The inverse of C with a ridge, then two refinements: each squares the ridge's relative error
    r / (r + eigenvalue), which is small for every eigenvalue but zero. The columns of X have a residual
    of the order of rounding; its rows have not, where C is badly conditioned.
    """
    eye = torch.eye(cosines.shape[-1], dtype=cosines.dtype, device=cosines.device)
    inverse: Tensor = torch.cholesky_inverse(torch.linalg.cholesky_ex(cosines + 1e-12 * eye)[0])
    for _ in range(2):
        # In this order: 2 X - X C X would bring the rounding of C X in unreduced.
        inverse = inverse + inverse @ (eye - cosines @ inverse)
    return inverse


def _factor(matrix: Tensor, x: Tensor, diagonal: Tensor) -> Tensor:
    """The Cholesky factor of X Q X + diag(d), with a ridge."""
    scaled = matrix * x.unsqueeze(-1) * x.unsqueeze(-2)
    ridge = _RIDGE * scaled.diagonal(dim1=-2, dim2=-1)
    factor: Tensor = torch.linalg.cholesky_ex(scaled + torch.diag_embed(diagonal + ridge))[0]
    return factor


def _longest(rise: Tensor, share: float) -> Tensor:
    """The length (..., 1) that goes `share` of the way to where 1 + length * rise meets zero; one at most."""
    return share / (-rise).amax(-1, keepdim=True).clamp_min(share)
