"""The Gram matrix of a Jacobian, and the direction of given weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch._C._functorch import is_functorch_wrapped_tensor

_BLOCK = 1024
"""The number of columns of one product in torch; many are summed, which uses the whole device and keeps sums short."""
_PART = 2**24
"""The number of entries that are widened to float64 at a time."""
_FEW = 64
"""The number of rows up to which the compiled loop is faster than a matrix product with many threads."""


def gramian_of(jacobian: Tensor) -> Tensor:
    """M = J J^T (..., K, K) in float64 of a jacobian (..., K, P) of any floating type, see `sum_of_gramians`."""
    return sum_of_gramians([jacobian])


def sum_of_gramians(blocks: Sequence[Tensor]) -> Tensor:
    """The Gram matrix (..., K, K) in float64 of jacobians (..., K, P_i) side by side, at least one.

    Entries are widened before they are multiplied: products of float32 and shorter types are exact, and their sums are
    rounded in float64, with an error of about 1e-15 of the norms. This matters near a Pareto front, where gradients are
    dependent: a matrix of cosines with float32 errors has negative eigenvalues, on which solvers fail. Autocast has no
    effect, since it does not change float64. Norms of float64 gradients must lie between 1e-150 and 1e150, so that
    their squares are representable; norms of float32 gradients may be arbitrary.
    """
    compiled = [block for block in blocks if _suits_compiled(block)]
    totals = [_products(block) for block in blocks if not _suits_compiled(block)]
    if compiled:
        totals.append(_compiled(compiled))
    return sum(totals[1:], totals[0])


def _suits_compiled(jacobian: Tensor) -> bool:
    # A plain tensor: inside torch.func or torch.compile there are no numbers to read.
    plain = type(jacobian) is Tensor and not torch.compiler.is_compiling() and not is_functorch_wrapped_tensor(jacobian)
    if not plain or jacobian.device.type != "cpu" or jacobian.dim() != 2 or not len(jacobian):
        return False
    from mtrl_conic.linalg.compiled import is_compiled

    return is_compiled() and (len(jacobian) <= _FEW or torch.get_num_threads() <= 2)


def _compiled(blocks: list[Tensor]) -> Tensor:
    from mtrl_conic.linalg.compiled import add_gramian

    tasks = len(blocks[0])
    sides = tasks + -tasks % 4
    total = np.zeros((sides, sides))
    for block in blocks:
        add_gramian(full_precision(block).detach().contiguous().numpy(), total)
    return torch.from_numpy(total[:tasks, :tasks].copy())


def _products(jacobian: Tensor) -> Tensor:
    totals = [_sum_of_products(part.to(torch.float64)) for part in _in_parts(jacobian)]
    return sum(totals[1:], totals[0])


def _in_parts(jacobian: Tensor) -> Sequence[Tensor]:
    rows = max(1, jacobian.shape[-2])
    parts: Sequence[Tensor] = jacobian.split(max(1, _PART // (rows * _BLOCK)) * _BLOCK, -1)
    return parts


def _sum_of_products(jacobian: Tensor) -> Tensor:
    whole = jacobian.shape[-1] // _BLOCK * _BLOCK
    rest = jacobian[..., whole:]
    total = rest @ rest.mT
    if whole:
        blocks = jacobian[..., :whole].unflatten(-1, (-1, _BLOCK)).transpose(-2, -3)
        total = total + (blocks @ blocks.mT).sum(-3)
    return total


def full_precision(values: Tensor) -> Tensor:
    """Convert shorter types to float32."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def combine(weights: Tensor, jacobian: Tensor) -> Tensor:
    """Return J^T w (..., P), in the type of the jacobian (..., K, P), for weights (..., K).

    The sum is computed in float64, like the Gram matrix: near a Pareto front the terms of a direction are far longer
    than the direction itself, and weights may have any size.
    """
    weights = weights.to(torch.float64)
    if _suits_compiled(jacobian):
        return _compiled_sum(weights, jacobian)
    parts = [weights.unsqueeze(-2) @ part.to(torch.float64) for part in _in_parts(jacobian)]
    combined = parts[0] if len(parts) == 1 else torch.cat(parts, -1)
    return combined.squeeze(-2).to(jacobian.dtype)


def _compiled_sum(weights: Tensor, jacobian: Tensor) -> Tensor:
    from mtrl_conic.linalg.compiled import sum_rows

    rows = full_precision(jacobian).detach().contiguous()
    combined = torch.empty(rows.shape[1], dtype=rows.dtype)
    padded = torch.nn.functional.pad(weights.detach(), (0, -len(rows) % 5))
    sum_rows(rows.numpy(), padded.numpy(), combined.numpy())
    return combined.to(jacobian.dtype)
