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
_NORM_STEPS, _POWER_STEPS = 22, 15
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


def minimise_quadratic(matrix: Tensor, linear: Tensor, scales: Tensor, start: Tensor, *, steps: int = 16) -> Tensor:
    """The x (..., K) that minimises x^T Q x / 2 + b.x over x >= 0 with a.x as at the start.

    Mehrotra's primal-dual interior point method (SIAM J. Optim. 2, 1992): one factor and two solves a step.

    Args:
        matrix: Q (..., K, K), positive semidefinite.
        linear: b (..., K).
        scales: a (..., K), not negative; all zero where a.x is free.
        start: x (..., K), positive.
        steps: enough over the simplex up to a condition of 1e8; some more are needed without one.
    """
    # Vectors are columns (..., K, 1) here, and steps are relative to x: row and column i are multiplied by x_i.
    x, linear, scales = start.unsqueeze(-1), linear.unsqueeze(-1), scales.unsqueeze(-1)
    ridged, total = _with_ridge(matrix), scales.mT @ x
    top = positive((x * (matrix @ x + linear)).abs().amax(-2, keepdim=True))
    slack, price = top / x, torch.zeros_like(total)
    for _ in range(steps):
        pairs, row = x * slack, x * scales
        wanted = x * (price * scales - matrix @ x - linear)
        factor = _factor(ridged, x.squeeze(-1), pairs.squeeze(-1))
        # Predictor: what a full step to the solution would do, and how far it can go.
        rise, normal = torch.cholesky_solve(torch.cat([wanted, row], -1), factor).split(1, -1)
        steepness = positive(row.mT @ normal)
        rise = rise - row.mT @ rise / steepness * normal
        reach = 1 / ((rise + 0.5).abs().amax(-2, keepdim=True) + 0.5).clamp_min(1)
        aim = torch.maximum((1 - reach) ** 3 * pairs.mean(-2, keepdim=True), 1e-17 * top)
        # Corrector: against the products x_i s_i which that step would leave, as far as it goes, and some centring.
        pull = aim + reach * pairs * rise * (1 + rise)
        rise = torch.cholesky_solve(wanted + pull, factor)
        change = (total - scales.mT @ x - row.mT @ rise) / steepness
        rise = rise + change * normal
        slack_rise = pull / pairs - 1 - rise
        length = _LENGTHS[0] / (-torch.minimum(rise, slack_rise)).amax(-2, keepdim=True).clamp_min(_LENGTHS[0])
        x, slack = x * (1 + length * rise), slack * (1 + length * slack_rise)
        price = price + length * change
    return (x * ((total + _FLOOR) / (scales.mT @ x + _FLOOR))).squeeze(-1)


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
    # Vectors are columns (..., N, 1) here, and steps are relative to x: row and column i are multiplied by x_i.
    x, linear, scales, kappa = (part.unsqueeze(-1) for part in (start, linear, scales, kappa))
    ridged, total = _with_ridge(matrix), scales.mT @ x
    lengths = torch.tensor(_LENGTHS, dtype=x.dtype, device=x.device)
    product = matrix @ x
    top = positive((x * (linear + kappa / positive(x.mT @ product).sqrt() * product)).abs().amax(-2, keepdim=True))
    slack, price, shrink = top / x, torch.zeros_like(total), torch.full_like(total, 0.15)
    best, radius, least = x, torch.ones_like(total), torch.full_like(total, torch.inf)
    for _ in range(_NORM_STEPS):
        pairs, row = x * slack, x * scales
        mu = torch.maximum(shrink * pairs.mean(-2, keepdim=True), 1e-15 * top)
        smoothing = mu / kappa
        product = matrix @ x
        noise = _NOISE * x.sum(-2, keepdim=True)
        square = smoothing * smoothing + noise * noise + (x.mT @ product).clamp_min(0)
        root = square.sqrt()
        norm = smoothing + root
        off = x * (linear + kappa / norm * product - slack - price * scales)
        error = (pairs + off.abs()).sum(-2, keepdim=True)
        better = error < least
        best, radius, least = (
            torch.where(better, now, before) for now, before in ((x, best), (norm, radius), (error, least))
        )

        hessian = torch.addcmul(ridged, product, (product / (norm * root)).mT, value=-1)
        factor = _factor(hessian, (x * (kappa / norm).sqrt()).squeeze(-1), pairs.squeeze(-1))
        rise, normal = torch.cholesky_solve(torch.cat([mu - pairs - off, row], -1), factor).split(1, -1)
        change = -(row.mT @ rise) / positive(row.mT @ normal)
        rise = rise + change * normal
        slack_rise = mu / pairs - 1 - rise

        step = x * rise
        trial = lengths / (-rise).amax(-2, keepdim=True).clamp_min(1)
        growth = trial * (2 * step.mT @ product + trial * (step.mT @ matrix @ step))
        growth = growth / ((square + growth).clamp_min(0).sqrt() + root)
        logs = torch.log1p(growth / norm) + torch.log1p(rise * trial).sum(-2, keepdim=True)
        barrier = trial * (linear.mT @ step) + kappa * growth - mu * logs
        length = trial.gather(-1, barrier.argmin(-1, keepdim=True))
        slack_length = _LENGTHS[0] / (-slack_rise).amax(-2, keepdim=True).clamp_min(_LENGTHS[0])
        x, slack, price = x + length * step, slack * (1 + slack_length * slack_rise), price + change
        x = x * ((total + _FLOOR) / (scales.mT @ x + _FLOOR))
        # Where the two steps differed in length, x and its slack may have parted: bring the slack back in reach.
        centred = mu / x
        slack = torch.minimum(torch.maximum(slack, 1e-8 * centred), 1e8 * centred)
        shrink = (1 - torch.minimum(length, slack_length)).square().clamp(0.01, 0.5)
    return NormMinimum(best.squeeze(-1), radius.squeeze(-1))


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
    # Vectors are columns (..., K, 1) here.
    logs = torch.where(cosines.inverse > 0, cosines.norms, 1.0).log().unsqueeze(-1)
    lengths = torch.tensor(_LENGTHS, dtype=logs.dtype, device=logs.device)
    steps = _POWER_STEPS + math.ceil(6 * abs(math.log2(power)))
    b, ridged = torch.ones_like(matrix[..., :1]), _with_ridge(matrix)
    for count in range(steps):
        p = power ** min(1.0, count / (steps - 8))
        product = matrix @ b
        pairs, pull = b * product, _pull(logs, b, p)
        total = pairs.sum(-2, keepdim=True).clamp_min(1e-20)
        ray = (pull.sum(-2, keepdim=True) / total) ** (1 / (1 + p))
        b, product = b * ray, product * ray
        pairs, pull = b * product, _pull(logs, b, p)
        factor = _factor(ridged, b.squeeze(-1), (p * pull).squeeze(-1))
        rise = torch.cholesky_solve(pull - pairs, factor)
        step = b * rise
        trial = lengths / (-rise).amax(-2, keepdim=True).clamp_min(1)
        growth = torch.log1p(rise * trial)
        if p != 1:
            growth = torch.expm1((1 - p) * growth) / (1 - p)
        quadratic = trial * (product.mT @ step + 0.5 * trial * (step.mT @ matrix @ step))
        best = (quadratic - pull.mT @ growth).argmin(-1, keepdim=True)
        b = b * (1 + trial.gather(-1, best) * rise)
    residual = (b * (matrix @ b) / _pull(logs, b, power) - 1).abs().amax((-2, -1))
    return PowerSolution(b.squeeze(-1) * cosines.inverse, residual)


def _pull(logs: Tensor, b: Tensor, power: float) -> Tensor:
    """b_i w_i^-p / ||g_i|| for w = b / ||g||, which b_i (C b)_i is to equal."""
    return torch.ones_like(b) if power == 1 else ((power - 1) * logs).exp() * b ** (1 - power)


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
    """The Cholesky factor of X Q X + diag(d)."""
    system = torch.diag_embed(diagonal).addcmul_(matrix, x.unsqueeze(-1) * x.unsqueeze(-2))
    factor: Tensor = torch.linalg.cholesky_ex(system)[0]
    return factor


def _with_ridge(matrix: Tensor) -> Tensor:
    """Q with its diagonal raised by a relative 1e-14."""
    return matrix + torch.diag_embed(_RIDGE * matrix.diagonal(dim1=-2, dim2=-1))
