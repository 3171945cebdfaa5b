"""Small convex problems in the weights of K tasks, from the Gram matrix alone.

All are float64, batched over leading dimensions, of a fixed number of iterations, without a branch on
the data and without waiting for the device. They take the matrix of cosines C = D^-1 M D^-1 and the
norms D of the gradients (see `normalise`), so that the gradients' scales do not matter, and are defined
on singular, rank-deficient and zero matrices and for one task.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, wraps
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from typing_extensions import ParamSpec

Solved = TypeVar("Solved")
Given = ParamSpec("Given")

_FLOOR = 1e-100
"""Far below any square of a gradient's norm, and far above what overflows when divided by."""
_RIDGE = 1e-14
"""Relative to the diagonal: keeps a singular system's factor real, and too small to bend a step."""
_NOISE = 3e-9
"""A norm sqrt(x^T C x) below this share of sum(x) is rounding: C holds squares, so half of the digits are lost."""
_QUADRATIC_STEPS, _POWER_STEPS, _BARGAIN_STEPS = 18, 15, 15
_LENGTHS = (0.995, 0.8, 0.5, 0.25, 0.1, 0.03, 0.01, 0.001)
"""Step lengths tried, as shares of the longest that keeps x positive."""


def _iterative(solve: Callable[Given, Solved]) -> Callable[Given, Solved]:
    """A solver of hundreds of small operations, without autograd's part in each: a fifth of its time.

    What it returns is copied, so that it is an ordinary tensor to the caller.
    """

    @wraps(solve)
    def run(*args: Given.args, **options: Given.kwargs) -> Solved:
        with torch.inference_mode():
            found = solve(*args, **options)
        copied: Solved = pytree.tree_map(torch.clone, found)
        return copied

    return run


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
    """a (..., K), at most 1, such that x = D w has a.x ~ sum(w): min(norms) / norms, of which none is infinite."""
    raised = positive(torch.maximum(norms, 1e-15 * norms.amax(-1, keepdim=True)))
    return raised.amin(-1, keepdim=True) / raised


def shortest(gramian: Tensor) -> Tensor:
    """The w (..., K) on the simplex with the least w^T M w.

    It is the ray of the minimiser of x^T C x / 2 + (a.x - 1)^2 / 2 over x = D w >= 0, a.x ~ sum(w): along a
    ray of value v = x^T C x / (a.x)^2 that is v / (2 (v + 1)) at best, which grows with v.
    """
    cosines = normalise(gramian)
    scales = simplex_scales(cosines.norms)
    matrix = cosines.matrix + scales.unsqueeze(-1) * scales.unsqueeze(-2)
    weights = scales * minimise_quadratic(matrix, -scales)
    return weights / weights.sum(-1, keepdim=True)


@_iterative
def minimise_quadratic(matrix: Tensor, linear: Tensor) -> Tensor:
    """The x (..., K) that minimises x^T Q x / 2 + b.x over x >= 0.

    Mehrotra's primal-dual interior point method (SIAM J. Optim. 2, 1992): one factor and two solves a step.

    Args:
        matrix: Q (..., K, K), positive semidefinite.
        linear: b (..., K), such that there is a minimum.
    """
    # Vectors are columns (..., K, 1) here.
    linear, ridged = linear.unsqueeze(-1), _with_ridge(matrix)
    x = torch.ones_like(linear)
    slope = matrix @ x + linear
    top = positive(slope.abs().amax(-2, keepdim=True))
    slack, floor, share = top.expand_as(x), 1e-17 * top, 1 / x.shape[-2]
    for _ in range(_QUADRATIC_STEPS):
        pairs, factor = x * slack, _factor(ridged, slack / x)
        # Predictor: what a full step to the solution would do (against `fall`), and how far it can go.
        fall = torch.cholesky_solve(slope, factor) / x
        reach = ((fall - 0.5).abs().amax(-2, keepdim=True) + 0.5).clamp_min(1).reciprocal()
        aim = torch.maximum((1 - reach).pow(3) * pairs.sum(-2, keepdim=True) * share, floor)
        # Corrector: against the products x_i s_i which that step would leave, as far as it goes, and some centring.
        pull = torch.addcmul(aim, reach * pairs, fall * (fall - 1))
        step = torch.cholesky_solve(pull / x - slope, factor)
        rise = step / x
        slack_rise = pull / pairs - 1 - rise
        length = _furthest(torch.minimum(rise, slack_rise))
        x = torch.addcmul(x, length, step)
        slack = torch.addcmul(slack, length, slack * slack_rise)
        slope = matrix @ x + linear
    return x.squeeze(-1)


class NormMinimum(NamedTuple):
    """A minimiser of b.x + kappa ||A^T x||, see `minimise_norm`."""

    x: Tensor
    """(..., N)."""
    radius: Tensor
    """(..., 1), the value of ||A^T x||, smoothed: x / radius gives a subgradient even where it is zero."""


@_iterative
def minimise_norm(matrix: Tensor, linear: Tensor, kappa: Tensor, scales: Tensor, *, steps: int = 22) -> NormMinimum:
    """A positive multiple of the x >= 0, a.x = 1 that minimises f(x) = b.x + kappa sqrt(x^T Q x).

    As f(t x) = t f(x), it is the ray of the minimiser of f(x) + (a.x)^2 / 2 - a.x wherever the least f is
    below one, and no constraint but x >= 0 is left. A primal-dual interior point method: the logarithmic
    barrier of the cone t >= ||A^T x|| has its minimum at t = e + sqrt(e^2 + x^T Q x), e = mu / kappa, which
    takes the place of the norm: smooth for mu > 0, exact as mu -> 0. The norm is far from quadratic, so a
    Newton step is cut to the best of a few lengths for the barrier function, which is convex.

    Args:
        matrix: Q = A A^T (..., N, N), with a unit diagonal.
        linear: b (..., N), such that the least f is below one half.
        kappa: (..., 1), positive, of the size of b.
        scales: a (..., N), not negative, at most 1.
        steps: 22 are enough for a ball up to a condition of 1e8, a cone takes a few more.
    """
    # Vectors are columns (..., N, 1) here.
    linear, scales, kappa = (part.unsqueeze(-1) for part in (linear, scales, kappa))
    linear, fixed = linear - scales, _with_ridge(scales * scales.mT)
    against = -_lengths(linear.dtype, linear.device)
    x = torch.ones_like(linear)
    product, total = matrix @ x, scales.mT @ x
    slope = linear + total * scales + kappa / positive(x.mT @ product).sqrt() * product
    top = positive(slope.abs().amax(-2, keepdim=True))
    slack, floor, share = top / x, 1e-17 * top, 1 / x.shape[-2]
    shrink = torch.full_like(total, 0.15)
    ridged = _with_ridge(matrix)
    for _ in range(steps):
        pairs = x * slack
        mu = torch.maximum(shrink * share * pairs.sum(-2, keepdim=True), floor)
        smoothing, noise = mu / kappa, _NOISE * x.sum(-2, keepdim=True)
        square = torch.addcmul((x.mT @ product).clamp_min(0), smoothing, smoothing)
        square = torch.addcmul(square, noise, noise)
        root = square.sqrt()
        norm = smoothing + root
        pull = kappa / norm
        slope_apart = torch.addcmul(linear, total, scales)  # from the norm's
        slope = torch.addcmul(slope_apart, pull, product)
        hessian = torch.addcmul(ridged, product, (product / (norm * root)).mT, value=-1)
        hessian = torch.addcmul(fixed, pull, hessian)
        hessian.diagonal(dim1=-2, dim2=-1).add_((slack / x).squeeze(-1))  # as `_factor` does, but in place: fewer calls
        step = torch.cholesky_solve(mu / x - slope, torch.linalg.cholesky_ex(hessian)[0])
        rise, row = step / x, step.mT
        slack_rise = mu / pairs - 1 - rise

        trial = against / rise.amin(-2, keepdim=True).clamp_max(-1)
        growth = trial * torch.addcmul(2 * (row @ product), trial, row @ (matrix @ step))
        growth = growth / ((square + growth).clamp_min(0).sqrt() + root)
        logs = torch.log1p(growth / norm) + torch.log1p(rise * trial).sum(-2, keepdim=True)
        added = scales.mT @ step
        plain = trial * torch.addcmul(row @ slope_apart, trial, added * added, value=0.5)
        best = (plain + kappa * growth - mu * logs).argmin(-1, keepdim=True)
        length, slack_length = trial.gather(-1, best), _furthest(slack_rise)
        x = torch.addcmul(x, length, step)
        product, total = matrix @ x, scales.mT @ x
        slack = torch.addcmul(slack, slack_length, slack * slack_rise)
        # Where the two steps differed in length, x and its slack may have parted: bring the slack back in reach.
        centred = mu / x
        slack = slack.clamp(1e-8 * centred, 1e8 * centred)
        shrink = (1 - torch.minimum(length, slack_length)).square().clamp(0.01, 0.5)
    radius = (
        smoothing
        + torch.addcmul(torch.addcmul((x.mT @ product).clamp_min(0), smoothing, smoothing), noise, noise).sqrt()
    )
    return NormMinimum(x.squeeze(-1), radius.squeeze(-1))


class PowerSolution(NamedTuple):
    """A solution of M w = w^-p, see `solve_power`."""

    weights: Tensor
    """w (..., K), positive."""
    residual: Tensor
    """(...), the largest |(M w)_i / w_i^-p - 1|."""


@_iterative
def solve_bargain(cosines: Cosines) -> PowerSolution:
    """The positive w (..., K) with M w = 1 / w.

    In b = D w and y = C b: y_i b_i = 1 is a point of a central path, and primal-dual Newton steps, b and y each
    as far as it can go, are there in 14 from anywhere up to a condition of 1e8.
    """
    # Vectors are columns (..., K, 1) here.
    matrix = cosines.matrix
    ridged, b = _with_ridge(matrix), torch.ones_like(matrix[..., :1])
    product = matrix @ b
    ray = (product.sum(-2, keepdim=True).clamp_min(1e-20) / b.shape[-2]).rsqrt()
    b, product = b * ray, product * ray
    y = b.reciprocal()
    for _ in range(_BARGAIN_STEPS):
        inverse = b.reciprocal()
        step = torch.cholesky_solve(inverse - product, _factor(ridged, y * inverse))
        y_step = matrix @ step + product - y
        b = torch.addcmul(b, _furthest(step * inverse, 0.9), step)
        y = torch.addcmul(y, _furthest(y_step / y, 0.9), y_step)
        product = matrix @ b
    residual = (b * product - 1).abs().amax((-2, -1))
    return PowerSolution(b.squeeze(-1) * cosines.inverse, residual)


@_iterative
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
    lengths = _lengths(logs.dtype, logs.device)
    steps = _POWER_STEPS + math.ceil(8 * abs(math.log2(power)))
    b, ridged = torch.ones_like(matrix[..., :1]), _with_ridge(matrix)
    for count in range(steps):
        p = power ** min(1.0, count / (steps - 12))
        product = matrix @ b
        pairs, pull = b * product, _pull(logs, b, p)
        total = pairs.sum(-2, keepdim=True).clamp_min(1e-20)
        ray = (pull.sum(-2, keepdim=True) / total) ** (1 / (1 + p))
        b, product = b * ray, product * ray
        pairs, pull = b * product, _pull(logs, b, p)
        step = torch.cholesky_solve((pull - pairs) / b, _factor(ridged, p * pull / (b * b)))
        rise = step / b
        trial = lengths / (-rise).amax(-2, keepdim=True).clamp_min(1)
        growth = torch.log1p(rise * trial)
        if p != 1:
            growth = torch.expm1((1 - p) * growth) / (1 - p)
        quadratic = trial * (product.mT @ step + 0.5 * trial * (step.mT @ matrix @ step))
        best = (quadratic - pull.mT @ growth).argmin(-1, keepdim=True)
        b = torch.addcmul(b, trial.gather(-1, best), step)
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


def _factor(matrix: Tensor, diagonal: Tensor) -> Tensor:
    """The Cholesky factor of Q + diag(d) for a column d (..., K, 1); how far its entries lie apart does not matter."""
    factor: Tensor = torch.linalg.cholesky_ex(matrix + torch.diag_embed(diagonal.squeeze(-1)))[0]
    return factor


@cache
def _lengths(dtype: torch.dtype, device: torch.device) -> Tensor:
    # Kept, for a list reaches a GPU only by waiting for it.
    return torch.tensor(_LENGTHS, dtype=dtype, device=device)


def _furthest(rise: Tensor, share: float = _LENGTHS[0]) -> Tensor:
    """The length (..., 1, 1), at most one, of steps (..., K, 1) relative to x that go `share` of the way to zero."""
    return -share / rise.amin(-2, keepdim=True).clamp_max(-share)


def _with_ridge(matrix: Tensor) -> Tensor:
    """Q with its diagonal raised by a relative 1e-14."""
    return matrix + torch.diag_embed(_RIDGE * matrix.diagonal(dim1=-2, dim2=-1))
