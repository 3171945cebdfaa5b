"""Per-task gradients as factors, for cases in which the products would cost more than their use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from mtrl_conic.linalg.gram import full_precision, gramian_of

_WORTH = 30
"""The number of multiplications on factors that costs as much as one entry of a (K, out, in) block, which is written
once and read for the Gram matrix and the combination. Measured on processors with AVX2 and AVX-512."""


class Factors(NamedTuple):
    """K gradients left[k]^T right[k] of one weight, without their products.

    Inner products of such gradients only need inner products of rows (as in Goodfellow, Efficient per-example gradient
    computations, 2015): <L_i^T R_i, L_j^T R_j> is the sum of (L_i L_j^T) o (R_i R_j^T). With few rows this is less work
    than K products of the size of the weight, and nothing of that size is stored.
    """

    left: Tensor
    """(K, B, out), gradients of the outputs"""
    right: Tensor
    """(K, B, in), inputs"""

    @staticmethod
    def pay(rows: torch.Size, outputs: int) -> bool:
        """Return whether factors are cheaper than products for rows (K, B, in) and a weight (outputs, in)."""
        tasks, batch, inputs = rows
        return tasks * batch * batch * (inputs + outputs) <= _WORTH * inputs * outputs

    def gramian(self) -> Tensor:
        """Return the inner products (K, K) of the gradients, computed in float64 throughout."""
        tasks, batch, _ = self.left.shape
        left, right = (gramian_of(rows.flatten(0, 1)) for rows in self)
        return (left * right).view(tasks, batch, tasks, batch).sum((1, 3))

    def combine(self, weights: Tensor) -> Tensor:
        """Return the sum (out, in) of the gradients with weights (K,), as a product in the type of the factors."""
        left = self.left * weights.to(self.left.dtype).view(-1, 1, 1)
        with torch.autocast(left.device.type, enabled=False):
            return full_precision(left.flatten(0, 1).mT @ self.right.flatten(0, 1))

    def product(self) -> Tensor:
        """Return the gradients (K, out, in)."""
        with torch.autocast(self.left.device.type, enabled=False):
            return full_precision(self.left.mT @ self.right)


class Composition(NamedTuple):
    """K gradients vectors[k, i] blocks[k] of n parameter sets (n, *S), of which each task's parameter is a combination.

    The products have n times as many numbers as the blocks and contain no more information.
    """

    blocks: Tensor
    """(K, *S), gradients of the tasks' combined parameters"""
    vectors: Tensor
    """(K, n), weights of the sets in these combinations"""

    def gramian(self) -> Tensor:
        """Return the inner products (K, K) of the gradients in float64."""
        return gramian_of(self.blocks.flatten(1)) * gramian_of(self.vectors)

    def combine(self, weights: Tensor) -> Tensor:
        """Return the sum (n, *S) of the gradients with weights (K,), as a product in the type of the blocks."""
        weighted = self.vectors * weights.to(self.vectors.dtype).unsqueeze(-1)
        with torch.autocast(weighted.device.type, enabled=False):
            return full_precision(weighted.mT @ self.blocks.flatten(1)).view(-1, *self.blocks.shape[1:])

    def product(self) -> Tensor:
        """Return the gradients (K, n, *S)."""
        shape = (*self.vectors.shape, *[1] * (self.blocks.dim() - 1))
        return self.vectors.view(shape) * self.blocks.unsqueeze(1)


Part: TypeAlias = Tensor | Factors | Composition
"""Gradients (K, *S) of a parameter, or their factors."""


def chosen(part: Part, tasks: Sequence[int]) -> Part:
    """Return the gradients of some of the K tasks, in the same form."""
    if isinstance(part, Tensor):
        return part[tasks]
    return type(part)(*(rows[tasks] for rows in part))


def one_after_another(parts: Sequence[Part]) -> Part:
    """Concatenate the gradients of several batches, all in the same form, along the axis of the tasks."""
    first = parts[0]
    if isinstance(first, Tensor):
        return torch.cat([part for part in parts if isinstance(part, Tensor)])
    return type(first)(*(torch.cat(pieces) for pieces in zip(*parts, strict=True)))


@dataclass
class Uses:
    """Factors stored by the backward pass of a layer, one for each use of its weight, in the order of that pass."""

    always: bool
    """Whether to store factors in any case, because the gradients are only summed and never compared."""
    found: list[Factors | Composition] = field(default_factory=list)

    def want(self, rows: torch.Size, outputs: int) -> bool:
        """Return whether to store factors for rows (K, B, in) and a weight (outputs, in)."""
        return self.always or Factors.pay(rows, outputs)
