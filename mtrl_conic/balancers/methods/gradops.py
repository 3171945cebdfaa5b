"""Zhu et al., Gradient deconfliction via orthogonal projections onto subspaces for multi-task learning, 2025."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from mtrl_conic.balancers import guarantees
from mtrl_conic.balancers.base import Balancer, Proposal
from mtrl_conic.balancers.guarantees import Outcome
from mtrl_conic.balancers.preference import Preference, on, shares
from mtrl_conic.balancers.random import random_orders
from mtrl_conic.balancers.registry import register
from mtrl_conic.linalg.cosines import conflicts, normalise
from mtrl_conic.linalg.inverse import ridged_inverse
from mtrl_conic.linalg.simplex import shortest
from mtrl_conic.linalg.surgery import surgery
from mtrl_conic.linalg.vectors import dot, matvec, positive

_VANISHED = 1e-9
"""||g'_i||^2 / ||g_i||^2 below which the rest of g_i is rounding."""
_LEAST_RATIO = 1e-6
"""Lower bound of r_i: with alpha < 0 a task without projection would otherwise get all the weight."""
_ALPHAS = tuple(step / 2 for step in range(-10, 5))
"""The values among which `alpha="auto"` chooses."""


@register("gradops")
class GradOPS(Balancer):
    """GradOPS: gradients that conflict are made orthogonal to all others, then weighted by their projections.

    g'_i is g_i less its projection on the span of all other gradients where g_i conflicts with any of them, and g_i
    elsewhere. With G' = sum g'_i, R_i = G'.g_i / ||g_i|| and r_i = R_i / mean(R),

        d = sum_i w_i g'_i,  w_i = r_i^alpha / mean(r^alpha).

    A preference p gives static weights: p_i r_i^alpha replaces r_i^alpha. With `reweight` the dynamic weights are those
    of other gradients g'_i: PCGrad's, or the tasks' own.

    From M = D C D: column i of C^-1 over its diagonal entry, scaled back by D, is that residual of g_i. If nothing
    remains of any gradient (K - 1 >= rank), or the guarantee fails, d is MGDA's direction times K.

    `alpha="auto"` takes for each update that of -5, -4.5, ..., 2 for which the smallest cosine between d and a gradient
    is largest. (The paper leaves open how alpha should be chosen.)

    Reduction: the sum over tasks.
    Guarantees (unless `reweight` names other gradients): g'_i.g_j >= 0 for all i and j, so d conflicts with no
    gradient, whatever alpha; alpha moves the solution along the Pareto front: negative favours tasks with small
    projections. Independent of the order of tasks; for K = 2 and alpha = 0 it is PCGrad.
    Cost: one inverse, and MGDA's cost for the fallback.

    Statistics: `conflicts`, the number of pairs with a negative inner product; `fallback`; `alpha`, if it is chosen.

    Args:
        num_tasks: K.
        seed: seed of the order in which PCGrad visits the tasks, if its gradients are reweighted.
        alpha: published: -3 (census income), -1 or -.5 (NYUv2), 0 or -.5 (recommendation). Or `auto`.
        preference: weights of the tasks.
        reweight: the gradients that are weighted.
    """

    paper = "Zhu et al., Gradient deconfliction via orthogonal projections onto subspaces for multi-task learning, 2025"

    def __init__(
        self,
        num_tasks: int,
        *,
        seed: int = 0,
        alpha: Annotated[
            Annotated[float, Field(ge=-10, le=10)] | Literal["auto"],
            Field(
                description="trade-off: negative values favour tasks with small projections; auto: chosen for each "
                "update between -5 and 2"
            ),
        ] = 0.0,
        preference: Preference = "",
        reweight: Annotated[
            Literal["own", "pcgrad", "uniform"],
            Field(
                description=(
                    "gradients that the dynamic weights are computed from: those of GradOPS, those of PCGrad, or the "
                    "unmodified gradients of the tasks"
                )
            ),
        ] = "own",
    ) -> None:
        self.reweight = reweight
        super().__init__(num_tasks, seed=seed)
        self.alpha, self.preference = alpha, shares(preference, num_tasks)

    @override
    def initial_state(self) -> dict[str, Tensor]:
        return {"draws": torch.zeros((), dtype=torch.int64)} if self.reweight == "pcgrad" else {}

    @override
    def balance(self, gramian: Tensor, losses: Tensor | None = None) -> Proposal:
        cosines = normalise(gramian)
        units = self._units(cosines.matrix, gramian)
        # Row i: the weights of g'_i.
        parts = cosines.norms.unsqueeze(-1) * units * cosines.inverse.unsqueeze(-2)
        projections = matvec(gramian, parts.sum(-2)) * cosines.inverse
        ratios = projections / positive(projections.mean(-1, keepdim=True))
        chosen: dict[str, Tensor] = {}
        if self.alpha == "auto":
            alphas = on(ratios, _ALPHAS)
            candidates = self._mixed(ratios.unsqueeze(-2), parts.unsqueeze(-3), alphas.unsqueeze(-1))
            best = _fairest(candidates, gramian, cosines.inverse)
            weights = candidates.gather(-2, best[..., None, None].expand_as(candidates[..., :1, :])).squeeze(-2)
            chosen["alpha"] = alphas.take(best)  # an index of one number would wait for the device
        else:
            weights = self._mixed(ratios, parts, self.alpha)

        left = (units * (units @ cosines.matrix)).sum(-1)
        vanished = (left <= _VANISHED).all(-1)
        instead = self.num_tasks * shortest(gramian)
        weights = torch.where(vanished.unsqueeze(-1), instead, weights)
        return Proposal(weights, {"conflicts": conflicts(gramian), "fallback": vanished, **chosen}, instead)

    def _mixed(self, ratios: Tensor, parts: Tensor, alpha: float | Tensor) -> Tensor:
        """Return the weights (..., K) of sum_i w_i g'_i, for ratios r (..., K) and the weights `parts` of the g'_i."""
        wanted = ratios.clamp_min(_LEAST_RATIO) ** alpha
        if self.preference is not None:
            wanted = wanted * on(wanted, self.preference)
        return matvec(parts.mT, wanted / wanted.mean(-1, keepdim=True))

    def _units(self, cosines: Tensor, gramian: Tensor) -> Tensor:
        """(..., K, K): row i has the weights, of the unit gradients, of g'_i over ||g_i||."""
        eye = torch.eye(self.num_tasks, dtype=gramian.dtype, device=gramian.device)
        if self.reweight == "uniform":
            return eye.expand_as(gramian)
        if self.reweight == "pcgrad":
            return eye - surgery(cosines, random_orders(self._uniform(gramian.shape)))
        inverse = ridged_inverse(cosines).mT
        apart = inverse / inverse.diagonal(dim1=-2, dim2=-1).unsqueeze(-1)
        return torch.where((gramian < 0).any(-1, keepdim=True), apart, eye)

    @override
    def guarantees(self, outcome: Outcome) -> dict[str, Tensor]:
        promised = {"cancellation": guarantees.cancellation(outcome, outcome.mean_norm)}
        return promised | ({"no conflict": guarantees.conflict(outcome)} if self.reweight == "own" else {})


def _fairest(candidates: Tensor, gramian: Tensor, inverse: Tensor) -> Tensor:
    """Return the index (...) of the candidate (..., A, K) whose smallest cosine with a gradient is largest."""
    products = candidates @ gramian
    lengths = dot(candidates, products).clamp_min(0).sqrt()
    return (products * inverse.unsqueeze(-2) / positive(lengths)).amin(-1).argmax(-1)
