"""The squashed Gaussian against numerical integration and torch's own distributions."""

from __future__ import annotations

import torch
from torch.distributions import Normal, TransformedDistribution
from torch.distributions.transforms import TanhTransform

from mtrl_conic.networks.gaussian import Gaussian, squashed_sample


def test_log_density_is_that_of_the_transformed_normal() -> None:
    generator = torch.Generator().manual_seed(0)
    mean, log_std, noise = (0.5 * torch.randn(100, 3, dtype=torch.float64, generator=generator) for _ in range(3))
    actions, log_density = squashed_sample(Gaussian(mean, log_std), noise)
    expected = TransformedDistribution(Normal(mean, log_std.exp()), [TanhTransform(cache_size=0)])
    assert torch.allclose(log_density, expected.log_prob(actions).sum(-1), atol=1e-6)


def test_density_integrates_to_one() -> None:
    u = torch.linspace(-12, 12, 200_001, dtype=torch.float64)
    mean, log_std = torch.tensor(0.3, dtype=torch.float64), torch.tensor(0.2, dtype=torch.float64)
    noise = (u - mean) / log_std.exp()
    actions, log_density = squashed_sample(Gaussian(mean, log_std.expand(len(u), 1)), noise.unsqueeze(-1))
    density = log_density.exp()
    area = torch.trapezoid(density, actions.squeeze(-1))
    assert abs(float(area) - 1) < 1e-4


def test_saturated_actions_stay_finite() -> None:
    mean = torch.tensor([[30.0, -30.0]])
    actions, log_density = squashed_sample(Gaussian(mean, torch.zeros(1, 2)), torch.zeros(1, 2))
    assert actions.abs().max() <= 1
    assert torch.isfinite(log_density).all()
