"""Random numbers as a pure function of a seed and a count.

A compiled or captured update cannot hold a generator object, and a checkpoint cannot transfer one between kinds of
devices. A count has neither problem and gives the same numbers everywhere.
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
    """Return independent uniform draws from the open interval (0, 1) in float64, on the device of `count`.

    Args:
        seed: seed of the stream.
        count: scalar int64, the number of previous draws from the stream; each count gives new numbers.
        shape: shape of the result.
    """
    index = torch.arange(math.prod(shape), device=count.device)
    mixed = _mix(index * _INDEX_STEP + (count * _COUNT_STEP + seed * _SEED_STEP % _MASK) & _MASK)
    return mixed.to(torch.float64).add_(0.5).mul_(1 / (_MASK + 1)).view(shape)


def random_orders(draws: Tensor) -> Tensor:
    """Return a random order (..., K, K - 1) of the other tasks for each task, from independent draws (..., K, K)."""
    itself_last = draws + torch.eye(draws.shape[-1], dtype=draws.dtype, device=draws.device)
    return itself_last.argsort(-1)[..., :-1]


def _mix(bits: Tensor) -> Tensor:
    """Permute the 32-bit integers so that neighbours become independent (Wellons' hash prospector).

    Both factors are below 2^31, so that every product fits into int64.
    """
    bits = (bits ^ (bits >> 16)) * 0x21F0AAAD & _MASK
    bits = (bits ^ (bits >> 15)) * 0x735A2D97 & _MASK
    return bits ^ (bits >> 15)
