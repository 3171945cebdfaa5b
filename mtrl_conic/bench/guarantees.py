"""The guarantees of the balancers, checked on the gradients themselves for many difficult draws."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from mtrl_conic import balancers
from mtrl_conic.balancers import Balancer, Outcome
from mtrl_conic.balancers.guarantees import TOLERANCE
from mtrl_conic.bench.hard_draws import KINDS, jacobians
from mtrl_conic.linalg.gram import gramian_of

METHODS: Sequence[tuple[str, dict[str, Any]]] = (
    ("mgda", {}),
    ("sdmgrad", {}),
    ("upgrad", {}),
    ("gradops", {}),
    ("gradops", {"alpha": -3.0}),
    ("cagrad", {"c": 0.4}),
    ("cagrad", {"c": 0.9}),
    ("conicgrad", {}),
    ("conicgrad", {"solver": "exact"}),
    ("nashmtl", {}),
    ("fairgrad", {"alpha": 0.1}),
    ("fairgrad", {"alpha": 2.0}),
    ("fairgrad", {"alpha": 10.0}),
    ("imtl_g", {}),
    ("aligned_mtl", {}),
    ("pcgrad", {}),
    ("gradvac", {}),
    ("gradnorm", {}),
    ("config", {}),
    ("dualproj", {}),
)
"""The methods that compare gradients by their Gram matrix, with options at the ends of their ranges."""

STUDY = {2: 48, 3: 48, 10: 48, 50: 16}
"""K -> draws of each kind, type and number of parameters: 10,290 together."""
PARAMETERS = (3, 30, 1000, 100_000)
_MANY = 100_000
"""The number of parameters from which on only a sixteenth of the draws is made."""
ALLOWED = 2 * TOLERANCE
"""The largest error of a guarantee that holds; the method's own decisions are rounded as well."""
TYPES = (torch.float32, torch.bfloat16, torch.float64)


class SeenByGradients(Outcome):
    """The outcome of weights for gradients (..., K, P), from their weighted sum in float64, without a Gram matrix."""

    def __init__(self, gradients: Tensor, weights: Tensor) -> None:
        self.gradients = gradients.to(torch.float64)
        super().__init__(self.gradients @ self.gradients.mT, weights)

    def of_others(self, weights: Tensor) -> Outcome:
        """Return the outcome of other weights for the same gradients."""
        return SeenByGradients(self.gradients, weights)

    @cached_property
    def direction(self) -> Tensor:
        """The direction (..., P)."""
        return (self.weights.unsqueeze(-2) @ self.gradients).squeeze(-2)

    @cached_property
    def products(self) -> Tensor:
        """The products g_i.d (..., K)."""
        return (self.gradients @ self.direction.unsqueeze(-1)).squeeze(-1)

    @cached_property
    def square(self) -> Tensor:
        """The square ||d||^2 (..., 1)."""
        return self.direction.square().sum(-1, keepdim=True)

    @property
    def noise(self) -> Tensor:
        """The rounding error of `square` (..., 1): zero, because the square of a sum has no cancellation."""
        return torch.zeros_like(self.square)


@dataclass
class Record:
    """The results of one method over all draws."""

    draws: int = 0
    not_finite: int = 0
    fallbacks: int = 0
    broken: int = 0
    worst: dict[str, float] = field(default_factory=dict)
    """Guarantee -> its largest error over the problems without a fallback."""

    def add(self, balancer: Balancer, gradients: Tensor, gramian: Tensor) -> None:
        """Balance problems (N, K, P) and record the errors of the guarantees."""
        balancer.reset(tuple(gradients.shape[:1]))
        losses = torch.ones(gradients.shape[:-1], dtype=torch.float64)
        weights, statistics = balancer(gramian, losses)
        outcome = SeenByGradients(gradients, weights)
        finite = outcome.direction.isfinite().all(-1)
        kept = ~statistics["fallback"]
        self.draws += len(gradients)
        self.not_finite += int((~finite).sum())
        self.fallbacks += int((~kept).sum())
        broken = torch.zeros_like(kept)
        for promise, error in balancer.guarantees(outcome).items():
            of_kept = torch.where(kept, error, 0.0)
            broken |= ~(of_kept <= ALLOWED)
            self.worst[promise] = max(self.worst.get(promise, 0.0), float(of_kept.max()))
        self.broken += int(broken.sum())


def draws(counts: dict[int, int]) -> Iterator[Tensor]:
    """Yield gradients (N, K, P) of all kinds, types and sizes, `counts[K]` problems at a time."""
    seed = 0
    for num_tasks, count in counts.items():
        for kind in KINDS:
            for parameters in PARAMETERS:
                for dtype in TYPES:
                    drawn = count if parameters < _MANY else max(1, count // 16)
                    yield jacobians(kind, drawn, num_tasks, parameters, dtype, seed=seed)
                    seed += 1


def study(counts: dict[int, int], methods: Sequence[tuple[str, dict[str, Any]]] = METHODS) -> dict[str, Record]:
    """Return the record of each method over `counts[K]` draws of each kind, type and number of parameters."""
    records = {balancers.label(*method): Record() for method in methods}
    for gradients in draws(counts):
        gramian = gramian_of(gradients)
        for name, options in methods:
            balancer = balancers.make(name, gradients.shape[1], **options)
            records[balancers.label(name, options)].add(balancer, gradients, gramian)
    return records


def table(records: dict[str, Record]) -> str:
    """Return the study as lines of text."""
    head = f"{'method':<24}{'draws':>8}{'not finite':>12}{'broken':>8}{'fallback':>10}"
    lines = [f"{head}  largest error of each guarantee"]
    for name, record in records.items():
        worst = ", ".join(f"{promise} {error:.0e}" for promise, error in record.worst.items())
        share = f"{record.fallbacks / max(record.draws, 1):.1%}"
        lines.append(f"{name:<24}{record.draws:>8}{record.not_finite:>12}{record.broken:>8}{share:>10}  {worst}")
    return "\n".join(lines)
