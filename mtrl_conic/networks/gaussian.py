"""The squashed Gaussian: actions and their log-density."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

_LOG_SQRT_2PI = 0.5 * math.log(2 * math.pi)


class Gaussian(NamedTuple):
    """The distribution of an actor's actions before tanh."""

    mean: Tensor
    """(..., A)"""
    log_std: Tensor
    """(..., A), log standard deviation."""


def squashed_sample(gaussian: Gaussian, noise: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return a reparametrised sample of tanh(N(mean, std)) and its log-density.

    Args:
        gaussian: the Gaussian of the actor.
        noise: (..., A), standard normal.
        mask: (..., A), 1 for an action of the task, 0 for padding: a padded action is 0, has no density and passes no
            gradient. None: all entries are actions.

    Returns:
        Actions in (-1, 1), (..., A), and log-densities (...), nats. log(1 - tanh^2 u) is taken as
        2 (log 2 - u - softplus(-2u)), which stays exact where tanh saturates (Haarnoja et al., 2018, appendix C).
    """
    u = gaussian.mean + gaussian.log_std.exp() * noise
    normal = -0.5 * noise.square() - gaussian.log_std - _LOG_SQRT_2PI
    squash = 2 * (math.log(2) - u - functional.softplus(-2 * u))
    if mask is None:
        return torch.tanh(u), (normal - squash).sum(-1)
    return torch.tanh(u) * mask, ((normal - squash) * mask).sum(-1)
