"""Xiao et al., Direction-oriented multi-objective learning, NeurIPS 2023."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor
from typing_extensions import override

from mtrl_conic.balancers import guarantees
from mtrl_conic.balancers.base import Balance, Balancer
from mtrl_conic.balancers.guarantees import Outcome
from mtrl_conic.balancers.registry import register
from mtrl_conic.linalg.simplex import shortest
from mtrl_conic.linalg.vectors import dot, matvec, positive


@register("sdmgrad")
class SDMGrad(Balancer):
    """SDMGrad: MGDA drawn towards the mean gradient.

    w minimises ||g_w + lam g0||^2 / 2 over the simplex; d = (g_w + lam g0) / (1 + lam). lam = 0 is MGDA, a
    large lam is `ls`. The problem is solved exactly, on one batch; the paper's double sampling takes
    independent batches for an unbiased step on w.

    Reduction: the weights sum to one.
    Guarantees: g_i.d >= d.d for all i up to the part of g0: with lam = 0 every loss falls.
    Cost: 18 factors of a K x K matrix.

    Where the optimality conditions are missed: the mean gradient.

    Statistics: `dual_gap`, of the problem above, over the mean of diag(M); `fallback`.

    Args:
        num_tasks: K.
        seed: not used.
        lam: pull of the mean gradient. Published: .3 (supervised), .6 (MT10).
    """

    paper = "Xiao et al., Direction-oriented multi-objective learning, NeurIPS 2023"

    def __init__(
        self,
        num_tasks: int,
        *,
        seed: int = 0,
        lam: Annotated[float, Field(ge=0, description="weight of the mean gradient in the regularisation")] = 0.3,
    ) -> None:
        super().__init__(num_tasks, seed=seed)
        self.lam = lam

    @override
    def balance(self, gramian: Tensor, losses: Tensor | None = None) -> Balance:
        pull = self.lam * gramian.mean(-1)
        # Over the simplex g_w + lam g0 is the same mixture of the gradients g_i + lam g0: this is their Gram matrix.
        shifts = pull + self.lam / 2 * pull.mean(-1, keepdim=True)
        tasks = shortest(gramian + shifts.unsqueeze(-1) + shifts.unsqueeze(-2))
        products = matvec(gramian, tasks) + pull
        mean = positive(gramian.diagonal(dim1=-2, dim2=-1).mean(-1))
        gap = dot(tasks, products).squeeze(-1) - products.amin(-1)
        weights = (tasks + self.lam / self.num_tasks) / (1 + self.lam)
        return Balance(weights, {"dual_gap": gap / mean})

    @override
    def guarantees(self, outcome: Outcome) -> dict[str, Tensor]:
        # d (1 + lam) is also the sum of `tasks` and lam times the mean, and g_i.d is the slope over the simplex.
        tasks = outcome.weights * (1 + self.lam) - self.lam / self.num_tasks
        return {
            "simplex": guarantees.off_the_simplex(tasks),
            "optimal": guarantees.below(outcome, dot(tasks, outcome.products)),
        }
