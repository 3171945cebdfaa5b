"""Helpers for methods that divide by losses or take their logarithms."""

from __future__ import annotations

import torch
from torch import Tensor

LEAST = 1e-8
"""Lower bound for a loss that a method divides by or takes the logarithm of."""


def raised(losses: Tensor) -> Tensor:
    """Return the losses, raised to `LEAST` where they are smaller."""
    return losses.clamp_min(LEAST)


def reciprocal(losses: Tensor) -> Tensor:
    """Return 1 / L; below `LEAST` it falls to zero with the loss, since a solved task needs no weight."""
    return torch.where(losses < LEAST, losses / LEAST**2, 1 / losses)


def small(losses: Tensor) -> Tensor:
    """Return the number (...) of losses below `LEAST`."""
    return (losses < LEAST).sum(-1)
