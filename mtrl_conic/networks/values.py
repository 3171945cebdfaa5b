"""Interpretations of a critic's output, with the loss that fits it to a target."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from mtrl_conic.networks.config import CriticConfig


class ScalarValue(nn.Module):
    """One number per value, fitted by the squared error."""

    outputs = 1

    def mean(self, output: Tensor) -> Tensor:
        """(..., 1) -> values (...)."""
        return output.squeeze(-1)

    def target(self, values: Tensor) -> Tensor:
        """Convert target values (...) to the form for `loss`."""
        return values

    def of_target(self, target: Tensor) -> Tensor:
        """Convert targets in the form for `loss` to values (...)."""
        return target

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """(..., 1) and a target (...) -> squared errors (...)."""
        return (output.squeeze(-1) - target).square()


class CategoricalValue(nn.Module):
    """A distribution over evenly spaced bins, fitted by the cross-entropy (Farebrother et al., Stop regressing, 2024).

    Args:
        bins: m, the number of bins.
        limit: the centres of the outer bins are -limit and limit; targets are clipped to this range.
        spread: standard deviation, in widths of a bin, of the Gaussian histogram of a target (their HL-Gauss,
            section 3.1); 0 puts a target on the two centres beside it (two-hot).
    """

    centers: Tensor
    edges: Tensor

    def __init__(self, bins: int, limit: float, spread: float) -> None:
        super().__init__()
        self.outputs = bins
        self.limit, self.spread = limit, spread
        self.width = 2 * limit / (bins - 1)
        self.register_buffer("centers", torch.linspace(-limit, limit, bins), persistent=False)
        edges = torch.linspace(-limit - self.width / 2, limit + self.width / 2, bins + 1)
        self.register_buffer("edges", edges, persistent=False)

    def mean(self, output: Tensor) -> Tensor:
        """Logits (..., m) -> expected values (...)."""
        return output.softmax(-1) @ self.centers

    def target(self, values: Tensor) -> Tensor:
        """Target values (...) -> probabilities (..., m)."""
        values = values.clamp(-self.limit, self.limit).unsqueeze(-1)
        if self.spread == 0:
            return (1 - (values - self.centers).abs() / self.width).clamp_min(0)
        cdf = torch.erf((self.edges - values) / (math.sqrt(2) * self.spread * self.width))
        return cdf.diff(dim=-1) / (cdf[..., -1:] - cdf[..., :1])

    def of_target(self, target: Tensor) -> Tensor:
        """Probabilities (..., m) -> expected values (...)."""
        return target @ self.centers

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Logits (..., m) and probabilities (..., m) -> cross-entropies (...)."""
        return -(target * functional.log_softmax(output, dim=-1)).sum(-1)


def make_value(config: CriticConfig) -> ScalarValue | CategoricalValue:
    """Make the value that a configuration asks for."""
    if config.critic_loss == "squared":
        return ScalarValue()
    return CategoricalValue(config.bins, config.value_limit, config.bin_spread)
