"""What the Newton methods of this folder share: factors, lengths of steps, and no part of autograd."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from typing import TypeVar

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from typing_extensions import ParamSpec

Solved = TypeVar("Solved")
Given = ParamSpec("Given")

_RIDGE = 1e-14
"""Relative to the diagonal: keeps a singular system's factor real, and too small to bend a step."""
_LENGTHS = (0.995, 0.8, 0.5, 0.25, 0.1, 0.03, 0.01, 0.001)
"""Step lengths tried, as shares of the longest that keeps x positive."""


def without_autograd(solve: Callable[Given, Solved]) -> Callable[Given, Solved]:
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


def factor(matrix: Tensor, diagonal: Tensor) -> Tensor:
    """The Cholesky factor of Q + diag(d) for a column d (..., K, 1); how far its entries lie apart does not matter."""
    lower: Tensor = torch.linalg.cholesky_ex(matrix + torch.diag_embed(diagonal.squeeze(-1)))[0]
    return lower


@cache
def step_lengths(dtype: torch.dtype, device: torch.device) -> Tensor:
    """The lengths (8,) that a Newton step tries."""
    # Kept, for a list reaches a GPU only by waiting for it.
    return torch.tensor(_LENGTHS, dtype=dtype, device=device)


def furthest(rise: Tensor, share: float = _LENGTHS[0]) -> Tensor:
    """The length (..., 1, 1), at most one, of steps (..., K, 1) relative to x that go `share` of the way to zero."""
    return -share / rise.amin(-2, keepdim=True).clamp_max(-share)


def with_ridge(matrix: Tensor) -> Tensor:
    """Q with its diagonal raised by a relative 1e-14."""
    return matrix + torch.diag_embed(_RIDGE * matrix.diagonal(dim1=-2, dim2=-1))
