"""Random numbers as a pure function of a seed and a count.

A generator object is state that a compiled or captured update cannot hold and that a checkpoint
cannot carry from one kind of device to another. A count can, and gives the same numbers everywhere.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_MASK = 0xFFFFFFFF
_INDEX_STEP = 0x5851F42D
_COUNT_STEP = 0x2545F491
_SEED_STEP = 0x3C6EF372


def uniform(seed: int, count: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Independent draws from the open interval (0, 1), float64, on the device of `count`.

    Args:
        seed: of the stream.
        count: scalar int64, how many times the stream was drawn from; each gives fresh numbers.
        shape: of the result.
    """
    index = torch.arange(math.prod(shape), device=count.device)
    mixed = _mix(index * _INDEX_STEP + (count * _COUNT_STEP + seed * _SEED_STEP % _MASK) & _MASK)
    return mixed.to(torch.float64).add_(0.5).mul_(1 / (_MASK + 1)).view(shape)


def random_orders(draws: Tensor) -> Tensor:
    """For each task a random order (..., K, K - 1) of the others, from independent draws (..., K, K)."""
    itself_last = draws + torch.eye(draws.shape[-1], dtype=draws.dtype, device=draws.device)
    return itself_last.argsort(-1)[..., :-1]


def _mix(bits: Tensor) -> Tensor:
    """A permutation of the 32-bit integers that makes neighbours independent (Wellons' hash prospector).

    Both factors are below 2^31, so that no product leaves the range of int64.
    """
    bits = (bits ^ (bits >> 16)) * 0x21F0AAAD & _MASK
    bits = (bits ^ (bits >> 15)) * 0x735A2D97 & _MASK
    return bits ^ (bits >> 15)
