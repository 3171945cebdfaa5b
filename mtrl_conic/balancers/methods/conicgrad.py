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
from mtrl_conic.linalg.cosines import normalise, unit_scale
from mtrl_conic.linalg.norm import minimise_norm
from mtrl_conic.linalg.simplex import simplex_scales
from mtrl_conic.linalg.vectors import dot, matvec, positive

_COLLINEAR = 1e-12
"""Below this share of ||g_w||^2 the part of g_w perpendicular to g0 is rounding."""


@register("conicgrad")
class ConicGrad(Balancer):
    r"""The best worst-case improvement inside a cone around the mean gradient.

    Maximise over d: min_i g_i.d, subject to cos(d, g0) >= c and ||d|| = ||g0||, with g0 the mean.
    With g_w = sum w_i g_i, h = g0 / ||g0||, p = h.g_w and g_perp = g_w - p h, the maximiser of g_w.d is

        d(w) = ||g0|| g_w / ||g_w||                                          where p >= c ||g_w||
        d(w) = ||g0|| (c h + sqrt(1 - c^2) g_perp / ||g_perp||)               elsewhere

    and F(w) = g_w.d(w) is convex over the simplex with gradient G d(w): its minimiser gives d.
    `solver="exact"` minimises F to a gap below 1e-8; `solver="online"` keeps w = softmax(xi) and takes
    one Adam step on xi per update, the paper's way.

    `form="printed"` is the paper's own closed form (its equations 6 to 8),
    d = (c^2 ||g0||^2 I - g0 g0^T)^-1 g_w rescaled to ||g0||. For 0 < c < 1 that matrix is indefinite
    and d a saddle, not a maximum: where g0.g_w > 0 it climbs the mean loss. Kept for study.

    Reduction: the norm of the mean gradient.
    Guarantees (convex form): cos(d, g0) >= c and ||d|| = ||g0||, so the mean loss falls; c = 1, one task or
    equal gradients give g0; multiplying all gradients by s multiplies d by s. Where g_w has no direction of its own,
    or d would miss its length or leave the cone: g0.
    Cost: O(K^2) online; 28 factors of K + 1 equations when exact.

    Statistics: `cosine` of d and g0; `inside`, 1 where d is g_w's own direction; `dual_gap`,
    F(w) - min_i g_i.d over ||g0||^2; `fallback`, 1 where d is g0.

    Args:
        num_tasks: K.
        seed: not used.
        c: least cosine between the direction and the mean gradient.
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
        if self.solver == "exact":
            tasks, towards = _least_favourable(gramian, mean_products, mean_square, self.c)
        else:
            tasks = towards = self.state["xi"].softmax(-1)
        pick = _saddle if self.form == "printed" else _steepest
        ray, inside, fallback = pick(gramian, towards, mean_products, mean_square, self.c)
        products = matvec(gramian, ray)
        length = (mean_square / positive(dot(ray, products))).sqrt()
        gains = products * length
        if self.solver == "online":
            # d is as long as g0: over ||g0|| and the gradients' own length, gains are cosines, at any scale.
            squares = gramian.diagonal(dim1=-2, dim2=-1)
            mean_of_squares = positive(squares.mean(-1, keepdim=True))
            slope = gains / positive(mean_square * mean_of_squares).sqrt()
            # By Cauchy and Schwarz; what lies beyond is rounding, where g0 all but vanishes, and would stay in xi.
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


def _steepest(
    gramian: Tensor, tasks: Tensor, mean_products: Tensor, mean_square: Tensor, c: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Weights (..., K) of a multiple of d(w); whether it is one of g_w itself; whether g0 stands in for it."""
    products = matvec(gramian, tasks)
    square = dot(tasks, products).clamp_min(0)
    along = products.mean(-1, keepdim=True)  # g_w.g0
    share = along / mean_square
    # ||g_perp||^2 by its own weights: square - along^2 / mean_square would cancel.
    rest = tasks - share / tasks.shape[-1]
    rest_square = dot(rest, products - share * mean_products)
    inside = along > c * (square * mean_square).sqrt()
    collinear = rest_square <= _COLLINEAR * square
    sideways = ((1 - c * c) * mean_square / rest_square).sqrt()
    outside = c / tasks.shape[-1] + torch.where(collinear, 0.0, sideways) * rest
    return torch.where(inside, tasks, outside), inside, collinear & ~inside


def _saddle(
    gramian: Tensor, tasks: Tensor, mean_products: Tensor, mean_square: Tensor, c: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Weights of a multiple of the printed d*; the matrix is inverted by Sherman-Morrison, (1 - c^2) cleared."""
    share = dot(mean_products, tasks) / mean_square
    none = torch.zeros_like(share, dtype=torch.bool)
    return (1 - c * c) * tasks - share / tasks.shape[-1], none, none


def _least_favourable(gramian: Tensor, mean_products: Tensor, mean_square: Tensor, c: float) -> tuple[Tensor, Tensor]:
    """The minimiser w (..., K) of F over the simplex, and weights of a multiple of the direction it leads to.

    F(w) is the least ||g0|| (||g_w + v h|| - c v) over v >= 0, the price of the cone: a problem in
    x = (D w, v), in the cosines of the gradients and of h = g0 / ||g0||. The direction is that of g_w + v h, which
    has one in the limit of the solver's smoothing also where g_w vanishes.
    """
    cosines = normalise(gramian)
    scales = simplex_scales(cosines.norms)
    length = mean_square.sqrt()
    axis = (mean_products * cosines.inverse / length).clamp(-1, 1)  # rounding, where g0 is zero
    one, none = torch.ones_like(length), torch.zeros_like(length)
    body = torch.cat([cosines.matrix, axis.unsqueeze(-1)], -1)
    bordered = torch.cat([body, torch.cat([axis, one], -1).unsqueeze(-2)], -2)
    # At c = 1 the price is infinite and w no longer matters.
    c = min(c, 1 - 1e-6)
    # The least value is at most one: half of it, as `minimise_norm` asks.
    linear = torch.cat([torch.zeros_like(axis), none - c / 2], -1)
    least = minimise_norm(bordered, linear, one / 2, torch.cat([scales, none], -1), steps=28)
    weights, price = least.x[..., :-1], least.x[..., -1:]
    towards = (weights * cosines.inverse * length + price / weights.shape[-1]) / least.radius
    weights = weights * scales
    return weights / weights.sum(-1, keepdim=True), towards
