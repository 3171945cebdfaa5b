"""The inverse of a matrix of cosines that may be singular."""

from __future__ import annotations

import torch
from torch import Tensor


def ridged_inverse(cosines: Tensor) -> Tensor:
    """X (..., K, K) with C X = I, and a large bounded matrix where C is singular.

    It inverts C with a ridge and makes two refinements. Each squares the relative error of the ridge,
    r / (r + eigenvalue), which is small for every eigenvalue except zero. The residual of the columns of X is of the
    order of rounding; that of its rows is larger if C is ill-conditioned.
    """
    eye = torch.eye(cosines.shape[-1], dtype=cosines.dtype, device=cosines.device)
    inverse: Tensor = torch.cholesky_inverse(torch.linalg.cholesky_ex(cosines + 1e-12 * eye)[0])
    for _ in range(2):
        # In this order: 2 X - X C X would bring the rounding of C X in unreduced.
        inverse = inverse + inverse @ (eye - cosines @ inverse)
    return inverse
