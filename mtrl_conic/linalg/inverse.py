"""The inverse of a matrix of cosines that may be singular, and linear systems with it."""

from __future__ import annotations

import torch
from torch import Tensor

from mtrl_conic.linalg.cholesky import cholesky_inverse, cholesky_solve


def ridged_solve(cosines: Tensor, right: Tensor) -> Tensor:
    """x (..., K) with C x = b (..., K), also for a singular C if b is in its range.

    It solves with a ridge and makes three refinements, after which the relative error of an eigenvalue's part is
    (r / (r + eigenvalue))^4. Unlike columns of an inverse, x stays bounded where C is singular and b in its range.
    """
    factor = _factor(cosines)
    x = cholesky_solve(right.unsqueeze(-1), factor)
    for _ in range(3):
        x = x + cholesky_solve(right.unsqueeze(-1) - cosines @ x, factor)
    return x.squeeze(-1)


def ridged_inverse(cosines: Tensor) -> Tensor:
    """X (..., K, K) with C X = I, and a large bounded matrix where C is singular.

    It inverts C with a ridge and makes two refinements. Each squares the relative error of the ridge,
    r / (r + eigenvalue), which is small for every eigenvalue except zero. The residual of the columns of X is of the
    order of rounding; that of its rows is larger if C is ill-conditioned.
    """
    eye = torch.eye(cosines.shape[-1], dtype=cosines.dtype, device=cosines.device)
    inverse = cholesky_inverse(_factor(cosines))
    for _ in range(2):
        # In this order: 2 X - X C X would bring the rounding of C X in unreduced.
        inverse = inverse + inverse @ (eye - cosines @ inverse)
    return inverse


def _factor(cosines: Tensor) -> Tensor:
    eye = torch.eye(cosines.shape[-1], dtype=cosines.dtype, device=cosines.device)
    factor: Tensor = torch.linalg.cholesky_ex(cosines + 1e-12 * eye)[0]
    return factor
