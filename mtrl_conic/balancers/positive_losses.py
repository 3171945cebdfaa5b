"""Losses that a method divides by or takes the logarithm of."""

from __future__ import annotations

from torch import Tensor

LEAST = 1e-8
"""What a loss is raised to where a method divides by it or takes its logarithm."""


def raised(losses: Tensor) -> Tensor:
    """The losses, none below `LEAST`."""
    return losses.clamp_min(LEAST)


def fallbacks(losses: Tensor) -> Tensor:
    """The number (...) of losses that `raised` changes."""
    return (losses < LEAST).sum(-1)
