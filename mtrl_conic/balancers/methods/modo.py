"""Chen et al., Three-way trade-off in multi-objective learning, NeurIPS 2023."""

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
from mtrl_conic.linalg.simplex import project_on_simplex
from mtrl_conic.linalg.vectors import matvec, positive

_SHARES = {"single": (1.0,), "double": (0.5, 0.5), "triple": (0.0, 0.0, 1.0)}
"""Share of each batch in the direction."""


@register("modo")
class MoDo(Balancer):
    """MoDo: MGDA's weights by one projected step per update, whose slope comes from two independent batches.

    lambda <- projection on the simplex of lambda - gamma (J1 J2^T + rho I) lambda, with J1 and J2 the gradients of two
    batches, over the mean of their squared lengths, so that gamma has no unit; then d = J^T lambda, with J the mean of
    J1 and J2, or the gradients of a third batch (the paper's equations 2.9a and 2.9b). With one batch instead of two
    the slope is biased, because the noise of the batch counts as length.

    Reduction: the weights sum to one.
    Guarantees: the weights stay on the simplex. The slope is that of the true gradients on average.
    Cost: O(K^2), and the gradients of every batch. State: lambda.

    Statistics: `fallback`.

    Args:
        num_tasks: K.
        seed: not used.
        gamma: step size of lambda.
        rho: ridge of the problem in lambda.
        sampling: how many batches an update takes.
    """

    paper = "Chen et al., Three-way trade-off in multi-objective learning, NeurIPS 2023"

    def __init__(
        self,
        num_tasks: int,
        *,
        seed: int = 0,
        gamma: Annotated[float, Field(gt=0, description="step size of the weights")] = 0.1,
        rho: Annotated[float, Field(ge=0, description="ridge of the problem that the weights solve")] = 0.0,
        sampling: Annotated[
            Literal["single", "double", "triple"],
            Field(description="number of independent batches of an update; the third is used for the direction only"),
        ] = "double",
    ) -> None:
        self.gamma, self.rho, self.sampling, self.batches = gamma, rho, sampling, SAMPLINGS[sampling]
        super().__init__(num_tasks, seed=seed)

    @override
    def initial_state(self) -> dict[str, Tensor]:
        return {"lambda": self._full(1 / self.num_tasks)}

    @override
    def balance(self, gramian: Tensor, losses: Tensor | None = None) -> Balance:
        weights = project_on_simplex(self.state["lambda"])  # the tasks present, which may be fewer than all
        size = positive(gramian.diagonal(dim1=-2, dim2=-1).mean(-1, keepdim=True))
        slope = matvec(across(gramian, self.num_tasks), weights) / size + self.rho * weights
        self._store(**{"lambda": project_on_simplex(weights - self.gamma * slope)})
        return Balance(spread(self.state["lambda"].clone(), _SHARES[self.sampling], gramian.shape[-1]), {})

    @override
    def guarantees(self, outcome: Outcome) -> dict[str, Tensor]:
        return {"simplex": guarantees.off_the_simplex(outcome.weights)}
