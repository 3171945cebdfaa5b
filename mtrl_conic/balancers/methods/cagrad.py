"""Liu et al., Conflict-averse gradient descent for multi-task learning, NeurIPS 2021."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from mtrl_conic.balancers import guarantees
from mtrl_conic.balancers.base import Balancer, Proposal
from mtrl_conic.balancers.guarantees import Outcome, rounding
from mtrl_conic.balancers.registry import register
from mtrl_conic.linalg.cosines import normalise
from mtrl_conic.linalg.norm import minimise_norm
from mtrl_conic.linalg.simplex import simplex_scales
from mtrl_conic.linalg.vectors import dot, matvec, positive


@register("cagrad")
class CAGrad(Balancer):
    """Conflict-averse gradient descent: the best worst-case improvement within a ball around the mean gradient.

    Maximise over d: min_i g_i.d subject to ||d - g0|| <= c ||g0||. With w the minimiser over the simplex of g_w.g0 + c
    ||g0|| ||g_w||, d = g0 + c ||g0|| g_w / ||g_w||.

    Reduction: about the mean gradient; `rescale="square"` divides by 1 + c^2, `"linear"` by 1 + c.
    Guarantees: d stays in the ball, so the mean loss falls (c < 1) and the limit is a minimum of the mean; c = 0 is
    `ls`. If d leaves the ball, the mean gradient is used, rescaled in the same way.
    Cost: 28 factors of a K x K matrix.

    Statistics: `dual_gap`, of the problem above, over ||g0||^2; `fallback`. The gap is of the order of rounding, and up
    to 1e-5 where some g_w almost vanishes, as with opposite gradients; there it rarely exceeds .01.

    Args:
        num_tasks: K.
        seed: not used.
        c: radius of the ball over ||g0||. Published: .4 (supervised), .9 (MT10), .5 (MT50).
        rescale: how the direction is rescaled.
    """

    paper = "Liu et al., Conflict-averse gradient descent for multi-task learning, NeurIPS 2021"

    def __init__(
        self,
        num_tasks: int,
        *,
        seed: int = 0,
        c: Annotated[
            float, Field(ge=0, lt=1, description="radius of the ball, relative to the norm of the mean gradient")
        ] = 0.4,
        rescale: Annotated[
            Literal["none", "square", "linear"], Field(description="divisor of the direction: 1, 1 + c^2 or 1 + c")
        ] = "none",
    ) -> None:
        super().__init__(num_tasks, seed=seed)
        self.c, self.rescale = c, rescale

    @override
    def balance(self, gramian: Tensor, losses: Tensor | None = None) -> Proposal:
        mean_products = gramian.mean(-1)
        mean_square = positive(mean_products.mean(-1, keepdim=True))
        cosines = normalise(gramian)
        scales = simplex_scales(cosines.norms)
        length = mean_square.sqrt()
        # Divided by ||g0|| the least value is at most 1 + c; this factor keeps it below one half.
        half = 0.5 / (1 + self.c)
        radius = positive(torch.full_like(length, self.c * half))
        along = half * (mean_products * cosines.inverse / length).clamp(-1, 1)  # rounding, where g0 is zero
        least = minimise_norm(cosines.matrix, along, radius, scales)
        apart = self.c * length * cosines.inverse * least.x / least.radius
        # The smoothing of the norm, and rounding where the mixture almost vanishes, must not leave the ball.
        square = dot(apart, matvec(gramian, apart)).clamp_min(0) + rounding(dot(apart, cosines.norms), self.num_tasks)
        apart = apart * (self.c * length / positive(square).sqrt()).clamp_max(1)
        weights = 1 / self.num_tasks + apart
        worst = least.x * scales
        worst = worst / worst.sum(-1, keepdim=True)
        bound = dot(worst, mean_products) + self.c * length * dot(worst, matvec(gramian, worst)).clamp_min(0).sqrt()
        gap = (bound - matvec(gramian, weights).amin(-1, keepdim=True)) / mean_square
        mean = torch.full_like(weights, 1 / self.num_tasks)
        return Proposal(weights / self._divisor, {"dual_gap": gap.squeeze(-1)}, mean / self._divisor)

    @property
    def _divisor(self) -> float:
        return {"none": 1.0, "square": 1 + self.c**2, "linear": 1 + self.c}[self.rescale]

    @override
    def guarantees(self, outcome: Outcome) -> dict[str, Tensor]:
        plain = outcome.of_others(outcome.weights * self._divisor)
        return {"ball": guarantees.FromTheMean(plain).outside_ball(self.c)}
