"""Hassanpour et al., Fantastic multi-task gradient updates and how to find them in a cone, 2025."""

from __future__ import annotations

import warnings
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from mtrl_conic.balancers import guarantees
from mtrl_conic.balancers.adam import adam_state, adam_step
from mtrl_conic.balancers.base import Balance, Balancer
from mtrl_conic.balancers.guarantees import Outcome
from mtrl_conic.balancers.registry import register
from mtrl_conic.linalg.cone import Axis, Steepest, least_favourable, steepest
from mtrl_conic.linalg.cosines import unit_scale
from mtrl_conic.linalg.vectors import dot, matvec, positive


@register("conicgrad")
class ConicGrad(Balancer):
    r"""The best worst-case improvement inside a cone around the mean gradient.

    Maximise over d: min_i g_i.d, subject to cos(d, g0) >= c and ||d|| = ||g0||, with g0 the mean. With g_w = sum w_i
    g_i, h = g0 / ||g0||, p = h.g_w and g_perp = g_w - p h, the maximiser of g_w.d is

        d(w) = ||g0|| g_w / ||g_w||                                          where p >= c ||g_w||
        d(w) = ||g0|| (c h + sqrt(1 - c^2) g_perp / ||g_perp||)               elsewhere

    and F(w) = g_w.d(w) is convex over the simplex with gradient G d(w): its minimiser gives d. `solver="exact"`
    minimises F to a gap below 1e-8; `solver="online"` keeps w = softmax(xi) and takes one Adam step on xi per update,
    as in the paper.

    `form="printed"` is the paper's own closed form (its equations 6 to 8), d = (c^2 ||g0||^2 I - g0 g0^T)^-1 g_w
    rescaled to ||g0||. For 0 < c < 1 that matrix is indefinite and d a saddle, not a maximum: where g0.g_w > 0 it
    climbs the mean loss. Kept for study.

    Reduction: the norm of the mean gradient.
    Guarantees (convex form): cos(d, g0) >= c and ||d|| = ||g0||, so the mean loss falls; c = 1, one task or equal
    gradients give g0; multiplying all gradients by s multiplies d by s. If g_w has no direction of its own, or d would
    miss its length or leave the cone, d is g0.
    Cost: O(K^2) online; 28 factors of K + 1 equations when exact.

    Statistics: `cosine` of d and g0; `inside`, 1 where d is g_w's own direction; `dual_gap`, F(w) - min_i g_i.d over
    ||g0||^2; `fallback`, 1 where d is g0.

    Args:
        num_tasks: K.
        seed: not used.
        c: smallest cosine between the direction and the mean gradient.
        solver: `online` or `exact`.
        form: `convex` or `printed`.
        gamma: weight decay of xi (online).
        lr: step size of xi (online).
    """

    paper = "Hassanpour et al., Fantastic multi-task gradient updates and how to find them in a cone, 2025"

    def __init__(
        self,
        num_tasks: int,
        *,
        seed: int = 0,
        c: Annotated[
            float, Field(gt=0, le=1, description="smallest cosine between the direction and the mean gradient")
        ] = 0.5,
        solver: Annotated[
            Literal["online", "exact"],
            Field(description="online: one step on the weights per update; exact: the optimum"),
        ] = "online",
        form: Annotated[
            Literal["convex", "printed"],
            Field(description="convex: the convex problem; printed: equation 8 of the paper literally"),
        ] = "convex",
        gamma: Annotated[float, Field(ge=0, description="weight decay of the logits of the online weights")] = 0.001,
        lr: Annotated[float, Field(gt=0, description="step size of the logits of the online weights")] = 0.025,
    ) -> None:
        self.c, self.solver, self.form, self.gamma, self.lr = c, solver, form, gamma, lr
        super().__init__(num_tasks, seed=seed)
        if form == "printed":
            warnings.warn(
                "ConicGrad's printed closed form is a saddle point and can climb the mean loss; "
                "it is kept for study, use form='convex' to train",
                stacklevel=2,
            )

    @override
    def initial_state(self) -> dict[str, Tensor]:
        return adam_state("xi", self._full(0.0)) if self.solver == "online" else {}

    @override
    def balance(self, gramian: Tensor, losses: Tensor | None = None) -> Balance:
        gramian = unit_scale(gramian)
        mean_products = gramian.mean(-1)
        mean_square = positive(mean_products.mean(-1, keepdim=True))
        mean = Axis(1 / gramian.shape[-1], mean_products, mean_square)
        if self.solver == "exact":
            tasks, towards = least_favourable(gramian, mean, self.c)
        else:
            tasks = towards = self.state["xi"].softmax(-1)
        pick = _saddle if self.form == "printed" else steepest
        ray, inside, fallback = pick(gramian, towards, mean, self.c)
        products = matvec(gramian, ray)
        length = (mean_square / positive(dot(ray, products))).sqrt()
        gains = products * length
        if self.solver == "online":
            # d has the length of g0. Divided by ||g0|| and the gradients' mean length, gains are cosines at any scale.
            squares = gramian.diagonal(dim1=-2, dim2=-1)
            mean_of_squares = positive(squares.mean(-1, keepdim=True))
            slope = gains / positive(mean_square * mean_of_squares).sqrt()
            # The Cauchy-Schwarz bound; where g0 almost vanishes, rounding exceeds it and would remain in xi.
            bound = (squares / mean_of_squares).sqrt()
            slope = slope.clamp(-bound, bound)
            adam_step(self.state, "xi", tasks * (slope - dot(tasks, slope)), self.lr, self.gamma)
        statistics = {
            "cosine": gains.mean(-1) / mean_square.squeeze(-1),
            "inside": inside.squeeze(-1),
            "dual_gap": ((dot(tasks, gains) - gains.amin(-1, keepdim=True)) / mean_square).squeeze(-1),
            "fallback": fallback.squeeze(-1),
        }
        return Balance(ray * length, statistics)

    @override
    def guarantees(self, outcome: Outcome) -> dict[str, Tensor]:
        if self.form == "printed":
            return {}
        seen = guarantees.FromTheMean(outcome)
        return {"length": seen.other_length(), "cone": seen.outside_cone(self.c)}


def _saddle(gramian: Tensor, tasks: Tensor, axis: Axis, c: float) -> Steepest:
    """Weights of a multiple of the printed d*; the matrix is inverted by Sherman-Morrison, (1 - c^2) cleared."""
    share = dot(axis.products, tasks) / axis.square
    none = torch.zeros_like(share, dtype=torch.bool)
    return Steepest((1 - c * c) * tasks - share * axis.weights, none, none)
