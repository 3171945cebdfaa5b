"""From a Jacobian to its Gram matrix, and from weights back to a direction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch._C._functorch import is_functorch_wrapped_tensor

_BLOCK = 1024
"""Columns of one product of torch, of which many are added: work for all parts of a device, and short sums."""
_PART = 2**24
"""Entries that are widened to float64 at a time."""
_FEW = 64
"""Rows up to which the compiled loop beats a matrix product by many threads; beside one or two it always does."""


def gramian_of(jacobian: Tensor) -> Tensor:
    """M = J J^T (..., K, K) in float64 of a jacobian (..., K, P) of any floating type, see `sum_of_gramians`."""
    return sum_of_gramians([jacobian])


def sum_of_gramians(blocks: Sequence[Tensor]) -> Tensor:
    """The Gram matrix (..., K, K) in float64 of jacobians (..., K, P_i) side by side, at least one.

    Entries are widened before they are multiplied: of float32 and shorter types the products are exact, and their
    sums are rounded as float64 is, about 1e-15 of the norms. A Pareto front needs that: gradients there are
    dependent, and a matrix of cosines with errors of float32 has eigenvalues below zero that no solver stands.
    Autocast has no effect, since it leaves float64 alone. Norms of float64 gradients must lie between 1e-150 and
    1e150, where their squares are numbers; those of float32 may be anything.
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
    """The same in float32, where it is of a shorter type."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def combine(weights: Tensor, jacobian: Tensor) -> Tensor:
    """J^T w (..., P), in the type of the jacobian (..., K, P), for weights (..., K).

    Summed in float64, as the Gram matrix is: near a Pareto front the parts of a direction are far longer than itself,
    and weights may be of any size.
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
