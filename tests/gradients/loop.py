"""A small problem in a loop of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mtrl_conic import balancers
from mtrl_conic.balancers import Balancer

K, B, INPUTS, WIDTH = 3, 8, 4, 6


class Net(nn.Module):
    """A trunk and a head per task."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(INPUTS, WIDTH), nn.Tanh(), nn.Linear(WIDTH, WIDTH), nn.Tanh())
        self.heads = nn.ModuleList(nn.Linear(WIDTH, 1) for _ in range(K))

    def losses(self, x: Tensor, features: Tensor | None = None) -> list[Tensor]:
        h = self.trunk(x) if features is None else features
        goals = torch.stack([x.sum(-1), -x[:, 0], x[:, 1].sin()])
        return [(head(h).squeeze(-1) - goal).square().mean() for head, goal in zip(self.heads, goals, strict=True)]


def rows(seed: int = 0) -> Tensor:
    return torch.randn(B, INPUTS, generator=torch.Generator().manual_seed(seed))


def jacobian(losses: Sequence[Tensor], parameters: Sequence[Tensor]) -> Tensor:
    """(K, P), by K separate backwards."""
    found = [torch.autograd.grad(loss, parameters, retain_graph=True, materialize_grads=True) for loss in losses]
    return torch.stack([torch.cat([part.flatten() for part in row]) for row in found])


def given(losses: Any, balancer: Balancer) -> Any:
    """The losses in the form for `backward`, with the same batch for each that the balancer needs."""
    return losses if balancer.batches == 1 else [losses] * balancer.batches


def with_features() -> list[str]:
    """The methods for which gradients of a representation have a meaning."""
    made = [balancers.make(name, K) for name in balancers.available()]
    return [each.name for each in made if not each.carries_gradients and each.batches == 1]


def flat_gradients(parameters: Sequence[nn.Parameter]) -> Tensor:
    return torch.cat([p.grad.flatten() if p.grad is not None else torch.zeros(p.numel()) for p in parameters])


def flat_values(parameters: Sequence[nn.Parameter]) -> Tensor:
    return torch.cat([p.detach().flatten() for p in parameters])


def relative(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())
