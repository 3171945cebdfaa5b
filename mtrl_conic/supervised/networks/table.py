"""Layers for tables with numeric and categorical columns, optimised for CPUs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

_BEGINNING = 0.01
"""Standard deviation of the initial vectors of categories."""
_RADIX = 1 << 16
"""NumPy sorts 16-bit keys with radix sort, six times as fast as torch sorts them."""


class OneHotLinear(nn.Module):
    """A linear layer on numbers and one-hot codes that does not build the one-hot codes.

    The product with a one-hot code is a row of the weight matrix, and the gradient of that row is a sum over the
    batch rows with that code. This takes B * columns additions of vectors of length `units`, where a dense product
    would mostly multiply by zero.

    Args:
        numbers: number of numeric columns.
        sizes: number of categories of each categorical column; codes are 0..size-1.
        units: number of outputs.
    """

    def __init__(self, numbers: int, sizes: Sequence[int], units: int) -> None:
        super().__init__()
        self.starts: Tensor
        self.register_buffer("starts", _starts(sizes), persistent=False)
        bound = 1 / math.sqrt(numbers + sum(sizes))  # as nn.Linear on the concatenated numbers and one-hot codes
        self.weight = nn.Parameter(torch.empty(units, numbers).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(units).uniform_(-bound, bound))
        self.table = nn.Parameter(torch.empty(sum(sizes), units).uniform_(-bound, bound))
        """The transposed weight of the one-hot codes: one row per category of each column."""

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        """Map numbers (B, numbers) and integer codes (B, columns) to (B, units)."""
        made = functional.linear(numbers, self.weight, self.bias)
        if not len(self.table):
            return made
        looked_up: Tensor = _SumOfRows.apply(self.table, codes + self.starts)  # type: ignore[no-untyped-call]
        return made + looked_up


class EmbeddedTable(nn.Module):
    """Concatenates numbers and the learned vectors of categories into one vector (B, features).

    Args:
        numbers: number of numeric columns.
        sizes: number of categories of each categorical column.
        length: dimension of a category's vector.
    """

    def __init__(self, numbers: int, sizes: Sequence[int], length: int) -> None:
        super().__init__()
        self.starts: Tensor
        self.register_buffer("starts", _starts(sizes), persistent=False)
        self.table = nn.Embedding(sum(sizes), length)
        # Torch initialises with N(0, 1): the vectors of rare categories would remain noise of a harmful size.
        nn.init.normal_(self.table.weight, std=_BEGINNING)
        self.features = numbers + len(sizes) * length

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        """Map numbers (B, numbers) and integer codes (B, columns) to (B, features)."""
        return torch.cat([numbers, self.table(codes + self.starts).flatten(1)], 1)


class Dropout(nn.Module):
    """Zeroes elements with probability p and scales the others by 1 / (1 - p) during training.

    On a CPU, `torch.nn.Dropout` draws a double per element, which takes a fifth of a step on a table. Here four
    elements share one 64-bit random number, so p is rounded to a multiple of 2^-16.

    Args:
        p: the probability, 0 <= p < 1.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self._threshold = round(p * 2**16)

    def forward(self, x: Tensor) -> Tensor:
        """Apply dropout to a tensor of any shape."""
        if not self.training or not self._threshold:
            return x
        if x.device.type != "cpu":
            return functional.dropout(x, self.p)
        drawn = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        kept = drawn.view(torch.int16)[: x.numel()].view(x.shape) >= self._threshold - 2**15
        return x * (kept * (1 / (1 - self._threshold / 2**16)))


class _SumOfRows(torch.autograd.Function):
    """The sum of a table's rows at `places` (B, C); forward and backward use torch's fused lookup."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        ctx.size = len(table)
        ctx.by_value = None
        return functional.embedding_bag(places, table, mode="sum")

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        if ctx.by_value is None:  # computed once: the K tasks run backward through the same graph
            (places,) = ctx.saved_tensors
            ctx.by_value = _by_value(places, ctx.size)
        rows, starts = ctx.by_value
        return functional.embedding_bag(rows, gradient.contiguous(), starts, mode="sum"), None


def _by_value(places: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return the batch rows sorted by the value that they contain, and the start of each of `size` values in them."""
    flat = places.flatten()
    if flat.device.type == "cpu" and size <= _RADIX:
        order = torch.from_numpy(flat.numpy().astype(np.uint16).argsort(kind="stable"))
    else:
        order = flat.argsort(stable=True)
    ends = torch.bincount(flat, minlength=size).cumsum(0)
    return order // places.shape[1], functional.pad(ends[:-1], (1, 0))


def _starts(sizes: Sequence[int]) -> Tensor:
    """Return the first row of each column in a table that contains the categories of all columns."""
    return torch.tensor([0, *sizes[:-1]]).cumsum(0) if sizes else torch.zeros(0, dtype=torch.int64)
