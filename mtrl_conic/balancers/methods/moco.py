"""Fernando et al., Mitigating gradient bias in multi-objective learning, ICLR 2023."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from mtrl_conic.balancers.base import Direction
from mtrl_conic.balancers.batches import SAMPLINGS, across, of_batch
from mtrl_conic.balancers.kinds import JacobianBalancer
from mtrl_conic.balancers.registry import register
from mtrl_conic.linalg.gram import combine, gramian_of
from mtrl_conic.linalg.simplex import project_on_simplex
from mtrl_conic.linalg.vectors import matvec


@register("moco")
class MoCo(JacobianBalancer):
    """MoCo: MGDA's direction from running means of the gradients, by one projected step per update.

    With unit gradients h_k and step t: Y_k <- Y_k - beta_t (Y_k - h_k), beta_t = beta / sqrt(t); lambda <- projection
    on the simplex of lambda - gamma_t (Y Y^T + rho I) lambda, gamma_t = gamma / sqrt(t); d = Y^T lambda. With two
    batches, the unit gradients of the second one, which Y does not contain, replace the first Y in the slope, so that
    the noise of its two factors is independent. This is not in the paper, which relies on Y to average the noise out.

    Reduction: a convex combination of means of unit gradients: ||d|| <= 1.
    Guarantees: converges to Pareto stationary points under gradient noise, where plain MGDA is biased.
    Cost: two Gram products and a combination of Y. State: Y, as large as the Jacobian, in float32 at least.

    Statistics: `lambda`, (K,).

    Args:
        num_tasks: K.
        seed: not used.
        beta: rate of the running means.
        gamma: step size of lambda.
        rho: ridge of the problem in lambda.
        sampling: `double` takes a second batch for the weights.
    """

    paper = "Fernando et al., Mitigating gradient bias in multi-objective learning, ICLR 2023"
    remembered = "means"
    carries_gradients = True

    def __init__(
        self,
        num_tasks: int,
        *,
        seed: int = 0,
        beta: Annotated[float, Field(gt=0, le=1, description="rate of the running means of the gradients")] = 0.5,
        gamma: Annotated[float, Field(gt=0, description="step size of the weights")] = 0.1,
        rho: Annotated[float, Field(ge=0, description="ridge of the problem that the weights solve")] = 0.0,
        sampling: Annotated[
            Literal["single", "double"],
            Field(description="number of independent batches of an update; the second is used for the weights only"),
        ] = "single",
    ) -> None:
        super().__init__(num_tasks, seed=seed)
        self.beta, self.gamma, self.rho, self.batches = beta, gamma, rho, SAMPLINGS[sampling]

    @property
    @override
    def scaling(self) -> float:
        return -1.0

    @override
    def initial_state(self) -> dict[str, Tensor]:
        own = {"lambda": self._full(1 / self.num_tasks), "count": self._count()}
        return super().initial_state() | own

    @override
    def balance_jacobian(self, jacobian: Tensor, losses: Tensor | None) -> Direction:
        means, weights = self.state["means"], self.state["lambda"]
        rate = self.state["count"].add_(1).to(torch.float64).rsqrt().unsqueeze(-1)
        # Squares summed in float64, for float32 ends at norms of 1e19 and 1e-23.
        lengths = gramian_of(jacobian).diagonal(dim1=-2, dim2=-1).sqrt().unsqueeze(-1)
        units = jacobian.to(means) / torch.where(lengths > 0, lengths, 1.0).to(means)
        means.lerp_(units[..., : self.num_tasks, :], (self.beta * rate).unsqueeze(-1).to(means))
        if self.batches == 1:
            products = gramian_of(means)
        else:
            fresh = units[..., of_batch(1, self.num_tasks, units.shape[-2]), :]
            products = across(gramian_of(torch.cat([fresh, means], -2)), self.num_tasks)
        slope = matvec(products, weights) + self.rho * weights
        weights.copy_(project_on_simplex(weights - self.gamma * rate * slope))
        return Direction(combine(weights, means).to(jacobian.dtype), {"lambda": weights.clone()})
