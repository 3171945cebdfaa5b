"""Ban and Ji, Fair resource allocation in multi-task learning, ICML 2024."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from mtrl_conic.balancers import guarantees
from mtrl_conic.balancers.base import Balancer, Proposal
from mtrl_conic.balancers.guarantees import Outcome
from mtrl_conic.balancers.registry import register
from mtrl_conic.linalg.cosines import normalise
from mtrl_conic.linalg.powers import PowerSolution, solve_power, with_a_ridge


@register("fairgrad")
class FairGrad(Balancer):
    """FairGrad: an alpha-fair allocation of the improvements g_i.d, M w = w^(-1/alpha) with w > 0.

    alpha = 1 is Nash-MTL (proportional fairness); towards zero the sum of improvements counts, for large alpha the
    smallest improvement (max-min fairness).

    Reduction: the paper's; multiplying all gradients by s multiplies the weights by s^(-2 alpha / (1 + alpha)).
    Guarantees: every g_i.d > 0. Where no solution exists (the Pareto front) a ridge of 1e-6 on the cosines gives one,
    and `fallback` is 1.
    Cost: 15 factors of two K x K matrices, and 3 for each doubling or halving of alpha from one.

    Statistics: `residual`, of the equation, relative to its terms; `fallback`, 1 where the ridge was needed.

    Args:
        num_tasks: K.
        seed: not used.
        alpha: parameter of the fairness.
    """

    paper = "Ban and Ji, Fair resource allocation in multi-task learning, ICML 2024"

    def __init__(
        self,
        num_tasks: int,
        *,
        seed: int = 0,
        alpha: Annotated[
            float,
            Field(
                ge=0.1,
                le=10,
                description="fairness: 1 is proportional fairness, large values approach max-min fairness",
            ),
        ] = 2.0,
    ) -> None:
        super().__init__(num_tasks, seed=seed)
        self.alpha = alpha

    @property
    @override
    def scaling(self) -> float:
        return -2 * self.alpha / (1 + self.alpha)

    @override
    def balance(self, gramian: Tensor, losses: Tensor | None = None) -> Proposal:
        found = solve_power(with_a_ridge(normalise(gramian)), 1 / self.alpha)
        plain, ridged = (PowerSolution(*parts) for parts in zip(*found, strict=True))
        return Proposal(plain.weights, {"residual": plain.error}, instead=ridged.weights)

    @override
    def guarantees(self, outcome: Outcome) -> dict[str, Tensor]:
        some = outcome.norms > 0
        parts = torch.where(some, outcome.weights, 0.0) ** (1 - 1 / self.alpha)
        length = torch.where(some, parts, 0.0).sum(-1, keepdim=True).sqrt()
        return {
            "equation": guarantees.power_residual(outcome, 1 / self.alpha),
            "cancellation": guarantees.cancellation(outcome, length),
        }
