"""Losses that a method divides by or takes the logarithm of."""

from __future__ import annotations

import torch
from torch import Tensor

LEAST = 1e-8
"""What a loss is raised to where a method divides by it or takes its logarithm."""


def raised(losses: Tensor) -> Tensor:
    """The losses, none below `LEAST`."""
    return losses.clamp_min(LEAST)


def reciprocal(losses: Tensor) -> Tensor:
    """1 / L, which below `LEAST` falls to zero with the loss: a task without one is solved, and asks for no weight."""
    return torch.where(losses < LEAST, losses / LEAST**2, 1 / losses)


def small(losses: Tensor) -> Tensor:
    """The number (...) of losses below `LEAST`."""
    return (losses < LEAST).sum(-1)
