"""Common parts of the Newton methods: factors, step lengths, and execution without autograd."""

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
"""Relative to the diagonal: it keeps the factor of a singular system real, and is too small to change a step."""
_LENGTHS = (0.995, 0.8, 0.5, 0.25, 0.1, 0.03, 0.01, 0.001)
"""The step lengths that are tried, as shares of the longest that keeps x positive."""


def without_autograd(solve: Callable[Given, Solved]) -> Callable[Given, Solved]:
    """Run a solver without autograd, which takes a fifth of the time of its hundreds of small operations.

    The result is copied, so that the caller gets an ordinary tensor.
    """

    @wraps(solve)
    def run(*args: Given.args, **options: Given.kwargs) -> Solved:
        with torch.inference_mode():
            found = solve(*args, **options)
        copied: Solved = pytree.tree_map(torch.clone, found)
        return copied

    return run


def factor(matrix: Tensor, diagonal: Tensor) -> Tensor:
    """Return the Cholesky factor of Q + diag(d) for a column d (..., K, 1), whose entries may differ by any factor."""
    lower: Tensor = torch.linalg.cholesky_ex(matrix + torch.diag_embed(diagonal.squeeze(-1)))[0]
    return lower


@cache
def step_lengths(dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the lengths (8,) that a Newton step tries."""
    # Cached, because copying a list to a GPU waits for the device.
    return torch.tensor(_LENGTHS, dtype=dtype, device=device)


def furthest(rise: Tensor, share: float = _LENGTHS[0]) -> Tensor:
    """Return the length (..., 1, 1), at most one, of relative steps (..., K, 1) that go `share` of the way to zero."""
    return -share / rise.amin(-2, keepdim=True).clamp_max(-share)


def with_ridge(matrix: Tensor) -> Tensor:
    """Return Q with its diagonal raised by a relative 1e-14."""
    return matrix + torch.diag_embed(_RIDGE * matrix.diagonal(dim1=-2, dim2=-1))
