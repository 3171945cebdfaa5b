"""Navon et al., Multi-task learning as a bargaining game, ICML 2022."""

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
from mtrl_conic.linalg.powers import PowerSolution, solve_bargain, with_a_ridge


@register("nashmtl")
class NashMTL(Balancer):
    """Nash-MTL: the Nash bargaining solution between the tasks, M a = 1 / a with a > 0.

    It maximises sum_i log g_i.d over ||d|| <= 1, up to scale: a minimises a^T M a / 2 - sum log a_i.

    Reduction: the paper's; ||d|| = sqrt(K) whatever the gradients' scale.
    Guarantees: every g_i.d = 1 / a_i > 0; the direction does not change when a loss is multiplied by a constant. On the
    Pareto front, where M a = 0 for some a >= 0, no solution exists: a ridge of 1e-6 on the cosines gives one, and
    `fallback` is 1.
    Cost: 15 factors of two K x K matrices at every update; `update_every` keeps the weights in between, as the paper
    does to save time; this is not necessary here.

    Statistics: `residual`, of the equation, relative to its terms; `fallback`, 1 where the ridge was needed.

    Args:
        num_tasks: K.
        seed: not used.
        update_every: updates for which weights are kept. Published on MT10: 1, 50, 100.
    """

    paper = "Navon et al., Multi-task learning as a bargaining game, ICML 2022"

    def __init__(
        self,
        num_tasks: int,
        *,
        seed: int = 0,
        update_every: Annotated[int, Field(ge=1, description="number of updates for which the weights are kept")] = 1,
    ) -> None:
        super().__init__(num_tasks, seed=seed)
        self.update_every = update_every

    @property
    @override
    def scaling(self) -> float:
        return -1.0

    @override
    def initial_state(self) -> dict[str, Tensor]:
        return {"weights": self._full(1.0), "count": self._count()}

    @override
    def balance(self, gramian: Tensor, losses: Tensor | None = None) -> Proposal:
        found = solve_bargain(with_a_ridge(normalise(gramian)))
        plain, ridged = (PowerSolution(*parts) for parts in zip(*found, strict=True))
        chosen = torch.where(plain.is_one.unsqueeze(-1), plain.weights, ridged.weights)
        now = (self.state["count"] % self.update_every == 0).unsqueeze(-1)
        weights = torch.where(now, chosen, self.state["weights"])
        self._store(weights=weights, count=self.state["count"] + 1)
        # Weights between two solutions are used whether or not they solve the current equation.
        return Proposal(weights, {"residual": plain.error, "fallback": ~plain.is_one}, instead=weights)

    @override
    def guarantees(self, outcome: Outcome) -> dict[str, Tensor]:
        if self.update_every > 1:
            return {}
        length = torch.full_like(outcome.spread, self.num_tasks**0.5)
        return {
            "equation": guarantees.power_residual(outcome, 1),
            "cancellation": guarantees.cancellation(outcome, length),
        }
