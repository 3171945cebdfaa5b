"""Minimisation of a norm plus a linear form over x >= 0, the problem behind a ball and a cone around the mean."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from mtrl_conic.linalg.cholesky import cholesky_solve
from mtrl_conic.linalg.newton import furthest, step_lengths, with_ridge, without_autograd
from mtrl_conic.linalg.vectors import positive

_NOISE = 3e-9
"""A norm sqrt(x^T C x) below this share of sum(x) is rounding: C contains squares, so half of the digits are lost."""
_VANISHED = 3000.0
"""A norm below this multiple of its rounding, as with opposite gradients, has no accurate direction unless it is
smoothed; the minimum is then off by some 1e-6.
"""


class NormMinimum(NamedTuple):
    """A minimiser of b.x + kappa ||A^T x||, see `minimise_norm`."""

    x: Tensor
    """(..., N)."""
    radius: Tensor
    """(..., 1), the value of ||A^T x||, smoothed: x / radius gives a subgradient even where it is zero."""


@without_autograd
def minimise_norm(matrix: Tensor, linear: Tensor, kappa: Tensor, scales: Tensor, *, steps: int = 28) -> NormMinimum:
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
        steps: 22 are enough for a ball up to a condition of 1e8; opposite gradients and a cone take a few more.
    """
    # Vectors are columns (..., N, 1) here.
    linear, scales, kappa = (part.unsqueeze(-1) for part in (linear, scales, kappa))
    linear, fixed = linear - scales, with_ridge(scales * scales.mT)
    against = -step_lengths(linear.dtype, linear.device)
    x = torch.ones_like(linear)
    product, total = matrix @ x, scales.mT @ x
    slope = linear + total * scales + kappa / positive(x.mT @ product).sqrt() * product
    top = positive(slope.abs().amax(-2, keepdim=True))
    slack, floor, share = top / x, 1e-17 * top, 1 / x.shape[-2]
    shrink = torch.full_like(total, 0.15)
    ridged = with_ridge(matrix)
    for _ in range(steps):
        pairs = x * slack
        noise = _NOISE * x.sum(-2, keepdim=True)
        vanishes = x.mT @ product < (_VANISHED * noise).square()
        least = torch.where(vanishes, 100 * noise * kappa, floor)
        mu = torch.maximum(shrink * share * pairs.sum(-2, keepdim=True), least)
        smoothing = mu / kappa
        square = torch.addcmul((x.mT @ product).clamp_min(0), smoothing, smoothing)
        square = torch.addcmul(square, noise, noise)
        root = square.sqrt()
        norm = smoothing + root
        pull = kappa / norm
        slope_apart = torch.addcmul(linear, total, scales)  # from the norm's
        slope = torch.addcmul(slope_apart, pull, product)
        hessian = torch.addcmul(ridged, product, (product / (norm * root)).mT, value=-1)
        hessian = torch.addcmul(fixed, pull, hessian)
        hessian.diagonal(dim1=-2, dim2=-1).add_((slack / x).squeeze(-1))  # as `factor` does, but in place: fewer calls
        step = cholesky_solve(mu / x - slope, torch.linalg.cholesky_ex(hessian)[0])
        rise, row = step / x, step.mT
        slack_rise = mu / pairs - 1 - rise

        trial = against / rise.amin(-2, keepdim=True).clamp_max(-1)
        growth = trial * torch.addcmul(2 * (row @ product), trial, row @ (matrix @ step))
        growth = growth / ((square + growth).clamp_min(0).sqrt() + root)
        logs = torch.log1p(growth / norm) + torch.log1p(rise * trial).sum(-2, keepdim=True)
        added = scales.mT @ step
        plain = trial * torch.addcmul(row @ slope_apart, trial, added * added, value=0.5)
        best = (plain + kappa * growth - mu * logs).argmin(-1, keepdim=True)
        length, slack_length = trial.gather(-1, best), furthest(slack_rise)
        x = torch.addcmul(x, length, step)
        product, total = matrix @ x, scales.mT @ x
        slack = torch.addcmul(slack, slack_length, slack * slack_rise)
        # If the two steps had different lengths, x and its slack may have diverged: bring the slack back into range.
        centred = mu / x
        slack = slack.clamp(1e-8 * centred, 1e8 * centred)
        shrink = (1 - torch.minimum(length, slack_length)).square().clamp(0.01, 0.5)
    radius = (
        smoothing
        + torch.addcmul(torch.addcmul((x.mT @ product).clamp_min(0), smoothing, smoothing), noise, noise).sqrt()
    )
    return NormMinimum(x.squeeze(-1), radius.squeeze(-1))
