"""Per-task gradients as factors, for when the products cost more than what is made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from mtrl_conic.linalg.gram import full_precision, gramian_of

_WORTH = 30
"""Multiplications on the factors that cost what one entry of a (K, out, in) block costs: writing it, and reading it for
the Gram matrix and the combination. Measured on processors with AVX2 and AVX-512."""


class Factors(NamedTuple):
    """K gradients left[k]^T right[k] of one weight, not multiplied out.

    Inner products of such gradients need inner products of rows alone (as in Goodfellow, Efficient per-example gradient
    computations, 2015): <L_i^T R_i, L_j^T R_j> sums (L_i L_j^T) o (R_i R_j^T). With few rows that is less work than K
    products of the size of the weight, and nothing of that size is stored.
    """

    left: Tensor
    """(K, B, out), gradients of the outputs"""
    right: Tensor
    """(K, B, in), inputs"""

    @staticmethod
    def pay(rows: torch.Size, outputs: int) -> bool:
        """Whether factors are cheaper than products for rows (K, B, in) and a weight (outputs, in)."""
        tasks, batch, inputs = rows
        return tasks * batch * batch * (inputs + outputs) <= _WORTH * inputs * outputs

    def gramian(self) -> Tensor:
        """(K, K) float64: inner products of the gradients of the factors as they are, in float64 throughout."""
        tasks, batch, _ = self.left.shape
        left, right = (gramian_of(rows.flatten(0, 1)) for rows in self)
        return (left * right).view(tasks, batch, tasks, batch).sum((1, 3))

    def combine(self, weights: Tensor) -> Tensor:
        """The weighted sum (out, in) of the gradients, for weights (K,); the product is of the factors' type."""
        left = self.left * weights.to(self.left.dtype).view(-1, 1, 1)
        with torch.autocast(left.device.type, enabled=False):
            return full_precision(left.flatten(0, 1).mT @ self.right.flatten(0, 1))

    def product(self) -> Tensor:
        """(K, out, in): the gradients."""
        with torch.autocast(self.left.device.type, enabled=False):
            return full_precision(self.left.mT @ self.right)


class Composition(NamedTuple):
    """K gradients vectors[k, i] blocks[k] of n sets (n, *S) that each task's parameter is composed of.

    They are n times as many numbers as the gradients of what is composed, and say no more.
    """

    blocks: Tensor
    """(K, *S), gradients of each task's composition"""
    vectors: Tensor
    """(K, n), weights of the sets in it"""

    def gramian(self) -> Tensor:
        """(K, K) float64: inner products of the gradients."""
        return gramian_of(self.blocks.flatten(1)) * gramian_of(self.vectors)

    def combine(self, weights: Tensor) -> Tensor:
        """The weighted sum (n, *S) of the gradients, for weights (K,); the product is of the blocks' type."""
        weighted = self.vectors * weights.to(self.vectors.dtype).unsqueeze(-1)
        with torch.autocast(weighted.device.type, enabled=False):
            return full_precision(weighted.mT @ self.blocks.flatten(1)).view(-1, *self.blocks.shape[1:])

    def product(self) -> Tensor:
        """(K, n, *S): the gradients."""
        shape = (*self.vectors.shape, *[1] * (self.blocks.dim() - 1))
        return self.vectors.view(shape) * self.blocks.unsqueeze(1)


Part: TypeAlias = Tensor | Factors | Composition
"""Gradients (K, *S) of a parameter, or what they are products of."""


def chosen(part: Part, tasks: Sequence[int]) -> Part:
    """The gradients of some of the K tasks, in the same form."""
    if isinstance(part, Tensor):
        return part[tasks]
    return type(part)(*(rows[tasks] for rows in part))


def one_after_another(parts: Sequence[Part]) -> Part:
    """The gradients of several batches, all in one form, along the axis of their tasks."""
    first = parts[0]
    if isinstance(first, Tensor):
        return torch.cat([part for part in parts if isinstance(part, Tensor)])
    return type(first)(*(torch.cat(pieces) for pieces in zip(*parts, strict=True)))


@dataclass
class Uses:
    """Where the backward of a layer leaves factors: of each use of its weight, in the order of the backward."""

    always: bool
    """Whether factors are wanted in any case: the products are then never compared, only added up."""
    found: list[Factors | Composition] = field(default_factory=list)

    def want(self, rows: torch.Size, outputs: int) -> bool:
        """Whether the rows (K, B, in) of a weight (outputs, in) are to be left as factors."""
        return self.always or Factors.pay(rows, outputs)
