"""Navon et al., Multi-task learning as a bargaining game, ICML 2022."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from mtrl_conic.balancers.base import Balance, Balancer
from mtrl_conic.balancers.registry import register
from mtrl_conic.linalg.solvers import Cosines, PowerSolution, normalise, solve_bargain


@register("nashmtl")
class NashMTL(Balancer):
    """Nash-MTL: the Nash bargaining solution between the tasks, M a = 1 / a with a > 0.

    It maximises sum_i log g_i.d over ||d|| <= 1, up to scale: a minimises a^T M a / 2 - sum log a_i.

    Reduction: the paper's; ||d|| = sqrt(K) whatever the gradients' scale.
    Guarantees: every g_i.d = 1 / a_i > 0; the direction does not change when a loss is multiplied by a
    constant. On the Pareto front, where M a = 0 for some a >= 0, no solution exists: a ridge of 1e-8 on the
    cosines gives one, and is counted.
    Cost: 15 factors of two K x K matrices at every update; `update_every` holds the weights still in between,
    as the paper does to save time, which is not needed here.

    Statistics: `residual`, of the equation; `fallback`, 1 where the ridge was needed.

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
        update_every: Annotated[int, Field(ge=1, description="updates for which the weights are kept")] = 1,
    ) -> None:
        super().__init__(num_tasks, seed=seed)
        self.update_every = update_every

    @property
    @override
    def scaling(self) -> float:
        return -1.0

    @override
    def initial_state(self) -> dict[str, Tensor]:
        return {"weights": self._full(1.0), "count": torch.zeros((), dtype=torch.int64)}

    @override
    def balance(self, gramian: Tensor, losses: Tensor | None = None) -> Balance:
        solved, fallback = solve_with_ridge(normalise(gramian), solve_bargain)
        now = self.state["count"] % self.update_every == 0
        weights = torch.where(now, solved.weights, self.state["weights"])
        self._store(weights=weights, count=self.state["count"] + 1)
        return Balance(weights, {"residual": solved.residual, "fallback": fallback})


def solve_with_ridge(cosines: Cosines, solve: Callable[[Cosines], PowerSolution]) -> tuple[PowerSolution, Tensor]:
    """The w with M w = w^-power, and whether (...) it needed a ridge to exist. Both are solved at once."""
    eye = torch.eye(cosines.matrix.shape[-1], dtype=cosines.matrix.dtype, device=cosines.matrix.device)
    both = torch.stack([cosines.matrix, cosines.matrix + 1e-8 * eye])
    plain, ridged = zip(*(part.unbind() for part in solve(Cosines(both, *cosines[1:]))), strict=True)
    # Far above the rounding of a solution (1e-8 at a condition of 1e8), far below one where there is none.
    fallback = ~(plain[1] < 1e-3)
    weights = torch.where(fallback.unsqueeze(-1), ridged[0], plain[0])
    return PowerSolution(weights, torch.where(fallback, ridged[1], plain[1])), fallback
