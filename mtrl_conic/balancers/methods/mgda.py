"""Désidéri, Multiple-gradient descent algorithm, 2012; Sener and Koltun, NeurIPS 2018."""

from __future__ import annotations

from torch import Tensor
from typing_extensions import override

from mtrl_conic.balancers import guarantees
from mtrl_conic.balancers.base import Balance, Balancer
from mtrl_conic.balancers.guarantees import Outcome
from mtrl_conic.balancers.registry import register
from mtrl_conic.linalg.simplex import shortest
from mtrl_conic.linalg.vectors import dot, matvec, positive


@register("mgda")
class MGDA(Balancer):
    """Multiple-gradient descent: the shortest vector in the convex hull of the gradients.

    w minimises ||G^T w||^2 over the simplex: (M w)_i >= w^T M w, with equality where w_i > 0.

    Reduction: the weights sum to one.
    Guarantees: every loss falls, at least by ||d||^2 to first order; d = 0 only on the Pareto front. Small gradients
    dominate: progress stops where one task's gradient vanishes.
    Cost: 18 factors of a K x K matrix.

    If the optimality conditions are not met, the mean gradient is used.

    Statistics: `dual_gap`, (w^T M w - min_i (M w)_i) over the mean of diag(M); `fallback`.
    """

    paper = "Désidéri, MGDA, C. R. Math. 2012; Sener and Koltun, NeurIPS 2018"

    @override
    def balance(self, gramian: Tensor, losses: Tensor | None = None) -> Balance:
        weights = shortest(gramian)
        products = matvec(gramian, weights)
        mean = positive(gramian.diagonal(dim1=-2, dim2=-1).mean(-1))
        gap = dot(weights, products).squeeze(-1) - products.amin(-1)
        return Balance(weights, {"dual_gap": gap / mean})

    @override
    def guarantees(self, outcome: Outcome) -> dict[str, Tensor]:
        return {
            "simplex": guarantees.off_the_simplex(outcome.weights),
            "optimal": guarantees.worse_than_its_length(outcome),
        }
