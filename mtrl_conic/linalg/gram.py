"""From a Jacobian to its Gram matrix, and from weights back to a direction."""

from __future__ import annotations

import torch
from torch import Tensor
from torch._C._functorch import is_functorch_wrapped_tensor

_BLOCK = 1024
"""Columns a block: sums in float32 stay short enough to keep 7 digits, and a block stays in cache."""
_FEW = 64
"""Rows up to which the compiled loop beats a matrix product."""


def gramian_of(jacobian: Tensor) -> Tensor:
    """M = J J^T (..., K, K) in float64 of a jacobian (..., K, P) of any floating type.

    Products of a block of columns are summed in the jacobian's own type (float32 at least), the
    blocks in float64: relative error about 4e-8 for float32, where one long product has 2e-5. Autocast,
    which would make it bfloat16, is kept out.
    """
    with torch.autocast(jacobian.device.type, enabled=False):
        jacobian = full_precision(jacobian)
        return _compiled(jacobian) if _suits_compiled(jacobian) else _sum_of_blocks(jacobian)


def _suits_compiled(jacobian: Tensor) -> bool:
    # A plain tensor: inside torch.func or torch.compile there are no numbers to read.
    plain = type(jacobian) is Tensor and not torch.compiler.is_compiling() and not is_functorch_wrapped_tensor(jacobian)
    few = jacobian.dim() == 2 and 0 < len(jacobian) <= _FEW and jacobian.shape[1] > 0
    return plain and few and jacobian.device.type == "cpu" and jacobian.stride(1) == 1


def _compiled(jacobian: Tensor) -> Tensor:
    from mtrl_conic.linalg.compiled import gramian

    return torch.from_numpy(gramian(jacobian.detach().numpy(), _BLOCK))


def _sum_of_blocks(jacobian: Tensor) -> Tensor:
    whole = jacobian.shape[-1] // _BLOCK * _BLOCK
    rest = jacobian[..., whole:]
    total = (rest @ rest.mT).to(torch.float64)
    if whole:
        blocks = jacobian[..., :whole].reshape(*jacobian.shape[:-1], -1, _BLOCK).transpose(-2, -3)
        total = total + (blocks @ blocks.mT).to(torch.float64).sum(-3)
    return total


def full_precision(values: Tensor) -> Tensor:
    """The same in float32, where it is of a shorter type."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def combine(weights: Tensor, jacobian: Tensor) -> Tensor:
    """J^T w (..., P), in the type of the jacobian (..., K, P), for weights (..., K)."""
    wide = full_precision(jacobian)
    with torch.autocast(jacobian.device.type, enabled=False):
        return (weights.to(wide.dtype).unsqueeze(-2) @ wide).squeeze(-2).to(jacobian.dtype)
