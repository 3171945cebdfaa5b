"""Systems M w = w^-p in positive weights."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from mtrl_conic.linalg.cholesky import cholesky_solve
from mtrl_conic.linalg.cosines import Cosines
from mtrl_conic.linalg.newton import factor, furthest, with_ridge, without_autograd

_POWER_STEPS, _BARGAIN_STEPS = 15, 15
_SHARE = 0.9
"""The share of the way to zero that a step may go."""
_LEAP = 4.0
"""The largest change of a logarithm in a Newton step."""
_RIDGE = 1e-6
"""The ridge on the cosines if there is no solution without one."""
_ERROR, _CANCELLATION = 1e-6, 1e6
"""Limits far above the values of a solution, and far below those of weights that grow because there is none."""


class PowerSolution(NamedTuple):
    """A solution of M w = w^-p, see `solve_power`."""

    weights: Tensor
    """w (..., K), positive."""
    error: Tensor
    """(...), the largest |(M w)_i - w_i^-p|, relative to the sizes of its terms."""
    cancellation: Tensor
    """(...), the sum of the norms of all w_i g_i divided by the norm of their sum, for the solution."""

    @property
    def is_one(self) -> Tensor:
        """Whether (...) this is a solution: on the Pareto front there is none, and the weights diverge."""
        return (self.error <= _ERROR) & (self.cancellation <= _CANCELLATION)


@without_autograd
def solve_bargain(cosines: Cosines) -> PowerSolution:
    """The positive w (..., K) with M w = 1 / w.

    In b = D w and y = C b, the equation y_i b_i = 1 is a point of a central path. Primal-dual Newton steps, of the
    largest feasible length for b and for y, reach it in 14 steps from any start up to a condition of 1e8.
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
        step = cholesky_solve(inverse - product, factor(ridged, y * inverse))
        y_step = matrix @ step + product - y
        b = torch.addcmul(b, furthest(step * inverse, _SHARE), step)
        y = torch.addcmul(y, furthest(y_step / y, _SHARE), y_step)
        product = matrix @ b
    return _solution(cosines, b, product, b.reciprocal())


@without_autograd
def solve_power(cosines: Cosines, power: float) -> PowerSolution:
    """The positive w (..., K) with M w = w^-p.

    It minimises w^T M w / 2 - sum w^(1-p) / (1-p) (logarithms for p = 1), which is convex. In b = D w and y = C b this
    is log y_i + p log b_i = (p - 1) log ||g_i||, which is solved by primal-dual Newton steps on the logarithms, of the
    largest feasible length for b and for y. If all gradients are orthogonal, the start is the solution.

    Args:
        cosines: C and D of M = D C D.
        power: p, above zero.
    """
    # Vectors are columns (..., K, 1) here.
    matrix, ridged = cosines.matrix, with_ridge(cosines.matrix)
    wanted = (power - 1) * torch.where(cosines.inverse > 0, cosines.norms, 1.0).log().unsqueeze(-1)
    b = (wanted / (1 + power)).exp()
    y = b
    product = matrix @ b
    for _ in range(_POWER_STEPS + math.ceil(3 * abs(math.log2(power)))):
        missing = (wanted - y.log() - power * b.log()).clamp(-_LEAP, _LEAP)
        step = cholesky_solve(torch.addcmul(y - product, y, missing), factor(ridged, power * y / b))
        y_step = matrix @ step + product - y
        b = torch.addcmul(b, furthest(step / b, _SHARE), step)
        y = torch.addcmul(y, furthest(y_step / y, _SHARE), y_step)
        product = matrix @ b
    return _solution(cosines, b, product, (wanted - power * b.log()).exp())


def _solution(cosines: Cosines, b: Tensor, product: Tensor, y: Tensor) -> PowerSolution:
    terms = cosines.matrix.abs() @ b
    error = ((product - y) / (terms + y)).abs().amax((-2, -1))
    cancellation = b.sum((-2, -1)) / (b * y).sum((-2, -1)).sqrt()
    return PowerSolution(b.squeeze(-1) * cosines.inverse, error, cancellation)


def with_a_ridge(cosines: Cosines) -> Cosines:
    """Stack the cosines along a new first axis with the same cosines plus a ridge, for which there is a solution."""
    eye = torch.eye(cosines.matrix.shape[-1], dtype=cosines.matrix.dtype, device=cosines.matrix.device)
    return Cosines(torch.stack([cosines.matrix, cosines.matrix + _RIDGE * eye]), *cosines[1:])
