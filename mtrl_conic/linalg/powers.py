"""Systems M w = w^-p in positive weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from mtrl_conic.linalg.cosines import Cosines
from mtrl_conic.linalg.newton import factor, furthest, step_lengths, with_ridge, without_autograd

_POWER_STEPS, _BARGAIN_STEPS = 15, 15


class PowerSolution(NamedTuple):
    """A solution of M w = w^-p, see `solve_power`."""

    weights: Tensor
    """w (..., K), positive."""
    residual: Tensor
    """(...), the largest |(M w)_i / w_i^-p - 1|."""


@without_autograd
def solve_bargain(cosines: Cosines) -> PowerSolution:
    """The positive w (..., K) with M w = 1 / w.

    In b = D w and y = C b: y_i b_i = 1 is a point of a central path, and primal-dual Newton steps, b and y each
    as far as it can go, are there in 14 from anywhere up to a condition of 1e8.
    """
    # Vectors are columns (..., K, 1) here.
    matrix = cosines.matrix
    ridged, b = with_ridge(matrix), torch.ones_like(matrix[..., :1])
    product = matrix @ b
    ray = (product.sum(-2, keepdim=True).clamp_min(1e-20) / b.shape[-2]).rsqrt()
    b, product = b * ray, product * ray
    y = b.reciprocal()
    for _ in range(_BARGAIN_STEPS):
        inverse = b.reciprocal()
        step = torch.cholesky_solve(inverse - product, factor(ridged, y * inverse))
        y_step = matrix @ step + product - y
        b = torch.addcmul(b, furthest(step * inverse, 0.9), step)
        y = torch.addcmul(y, furthest(y_step / y, 0.9), y_step)
        product = matrix @ b
    residual = (b * product - 1).abs().amax((-2, -1))
    return PowerSolution(b.squeeze(-1) * cosines.inverse, residual)


@without_autograd
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
    lengths = step_lengths(logs.dtype, logs.device)
    steps = _POWER_STEPS + math.ceil(8 * abs(math.log2(power)))
    b, ridged = torch.ones_like(matrix[..., :1]), with_ridge(matrix)
    for count in range(steps):
        p = power ** min(1.0, count / (steps - 12))
        product = matrix @ b
        pairs, pull = b * product, _pull(logs, b, p)
        total = pairs.sum(-2, keepdim=True).clamp_min(1e-20)
        ray = (pull.sum(-2, keepdim=True) / total) ** (1 / (1 + p))
        b, product = b * ray, product * ray
        pairs, pull = b * product, _pull(logs, b, p)
        step = torch.cholesky_solve((pull - pairs) / b, factor(ridged, p * pull / (b * b)))
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


def solve_with_ridge(cosines: Cosines, solve: Callable[[Cosines], PowerSolution]) -> tuple[PowerSolution, Tensor]:
    """The w with M w = w^-power, and whether (...) it needed a ridge to exist. Both are solved at once."""
    eye = torch.eye(cosines.matrix.shape[-1], dtype=cosines.matrix.dtype, device=cosines.matrix.device)
    both = torch.stack([cosines.matrix, cosines.matrix + 1e-8 * eye])
    plain, ridged = zip(*(part.unbind() for part in solve(Cosines(both, *cosines[1:]))), strict=True)
    # Far above the rounding of a solution (1e-8 at a condition of 1e8), far below one where there is none.
    fallback = ~(plain[1] < 1e-3)
    weights = torch.where(fallback.unsqueeze(-1), ridged[0], plain[0])
    return PowerSolution(weights, torch.where(fallback, ridged[1], plain[1])), fallback
