"""Xiao et al., Direction-oriented multi-objective learning, NeurIPS 2023."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor
from typing_extensions import override

from mtrl_conic.balancers import guarantees
from mtrl_conic.balancers.base import Balance, Balancer
from mtrl_conic.balancers.batches import SAMPLINGS, across, spread
from mtrl_conic.balancers.guarantees import Outcome
from mtrl_conic.balancers.registry import register
from mtrl_conic.linalg.simplex import project_on_simplex, shortest
from mtrl_conic.linalg.vectors import dot, matvec, positive


@register("sdmgrad")
class SDMGrad(Balancer):
    """SDMGrad: MGDA drawn towards the mean gradient.

    w minimises ||g_w + lam g0||^2 / 2 over the simplex; d = (g_w + lam g0) / (1 + lam). lam = 0 is MGDA, a large lam is
    `ls`. With one batch the problem is solved exactly, for that batch. With three it is the paper's algorithm 1, one
    step per update: w <- projection on the simplex of w - gamma J1 J2^T (w + lam / K), with the slope that is the true
    one on average, over the mean of the gradients' squared lengths; d is made of the gradients of the third batch.

    Reduction: the weights sum to one.
    Guarantees (one batch): g_i.d >= d.d for all i, except for the part of g0, so every loss falls if lam = 0. With
    three batches, w stays on the simplex.
    Cost: 18 factors of a K x K matrix; with three batches O(K^2), and the gradients of each. State: w, with three.

    If the optimality conditions are not met, the mean gradient is used.

    Statistics: `dual_gap`, of the problem above, over the mean of diag(M), with one batch; `fallback`.

    Args:
        num_tasks: K.
        seed: not used.
        lam: pull of the mean gradient. Published: .3 (supervised), .6 (MT10).
        sampling: `single` solves for one batch, `triple` takes a step by three.
        gamma: step size of w, with three batches.
    """

    paper = "Xiao et al., Direction-oriented multi-objective learning, NeurIPS 2023"

    def __init__(
        self,
        num_tasks: int,
        *,
        seed: int = 0,
        lam: Annotated[float, Field(ge=0, description="weight of the mean gradient in the regularisation")] = 0.3,
        sampling: Annotated[
            Literal["single", "triple"],
            Field(
                description="number of independent batches of an update: one gives the exact optimum, three a step on "
                "the weights"
            ),
        ] = "single",
        gamma: Annotated[float, Field(gt=0, description="step size of the weights, with three batches")] = 0.1,
    ) -> None:
        self.lam, self.batches, self.gamma = lam, SAMPLINGS[sampling], gamma
        super().__init__(num_tasks, seed=seed)

    @override
    def initial_state(self) -> dict[str, Tensor]:
        return {} if self.batches == 1 else {"tasks": self._full(1 / self.num_tasks)}

    @override
    def balance(self, gramian: Tensor, losses: Tensor | None = None) -> Balance:
        return self._optimum(gramian) if self.batches == 1 else self._step(gramian)

    def _step(self, gramian: Tensor) -> Balance:
        tasks = project_on_simplex(self.state["tasks"])  # the tasks present, which may be fewer than all
        pull = self.lam / self.num_tasks
        size = positive(gramian.diagonal(dim1=-2, dim2=-1).mean(-1, keepdim=True))
        slope = matvec(across(gramian, self.num_tasks), tasks + pull) / size
        tasks = project_on_simplex(tasks - self.gamma * slope)
        self._store(tasks=tasks)
        return Balance(spread((tasks + pull) / (1 + self.lam), (0, 0, 1), gramian.shape[-1]), {})

    def _optimum(self, gramian: Tensor) -> Balance:
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
        if self.batches > 1:
            return {"simplex": guarantees.off_the_simplex(tasks[..., -self.num_tasks :])}
        return {
            "simplex": guarantees.off_the_simplex(tasks),
            "optimal": guarantees.below(outcome, dot(tasks, outcome.products)),
        }
