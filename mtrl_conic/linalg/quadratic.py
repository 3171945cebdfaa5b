"""A convex quadratic over x >= 0."""

from __future__ import annotations

import torch
from torch import Tensor

from mtrl_conic.linalg.cholesky import cholesky_solve
from mtrl_conic.linalg.newton import factor, furthest, with_ridge, without_autograd
from mtrl_conic.linalg.vectors import positive

_STEPS = 18


@without_autograd
def minimise_quadratic(matrix: Tensor, linear: Tensor) -> Tensor:
    """The x (..., K) that minimises x^T Q x / 2 + b.x over x >= 0.

    Mehrotra's primal-dual interior point method (SIAM J. Optim. 2, 1992): one factor and two solves a step.

    Args:
        matrix: Q (..., K, K), positive semidefinite.
        linear: b (..., K), such that there is a minimum.
    """
    # Vectors are columns (..., K, 1) here.
    linear, ridged = linear.unsqueeze(-1), with_ridge(matrix)
    x = torch.ones_like(linear)
    slope = matrix @ x + linear
    top = positive(slope.abs().amax(-2, keepdim=True))
    slack, floor, share = top.expand_as(x), 1e-17 * top, 1 / x.shape[-2]
    for _ in range(_STEPS):
        pairs, lower = x * slack, factor(ridged, slack / x)
        # Predictor: what a full step to the solution would do (against `fall`), and how far it can go.
        fall = cholesky_solve(slope, lower) / x
        reach = ((fall - 0.5).abs().amax(-2, keepdim=True) + 0.5).clamp_min(1).reciprocal()
        aim = torch.maximum((1 - reach).pow(3) * pairs.sum(-2, keepdim=True) * share, floor)
        # Corrector: against the products x_i s_i which that step would leave, as far as it goes, and some centring.
        pull = torch.addcmul(aim, reach * pairs, fall * (fall - 1))
        step = cholesky_solve(pull / x - slope, lower)
        rise = step / x
        slack_rise = pull / pairs - 1 - rise
        length = furthest(torch.minimum(rise, slack_rise))
        x = torch.addcmul(x, length, step)
        slack = torch.addcmul(slack, length, slack * slack_rise)
        slope = matrix @ x + linear
    return x.squeeze(-1)
