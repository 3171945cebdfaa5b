"""Lopez-Paz and Ranzato, Gradient episodic memory for continual learning, NeurIPS 2017."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from mtrl_conic.balancers import guarantees
from mtrl_conic.balancers.base import Balancer, Proposal
from mtrl_conic.balancers.guarantees import Outcome
from mtrl_conic.balancers.registry import register
from mtrl_conic.linalg.cosines import conflicts, normalise
from mtrl_conic.linalg.quadratic import minimise_quadratic
from mtrl_conic.linalg.simplex import as_quadratic
from mtrl_conic.linalg.vectors import matvec, positive


@register("dualproj")
class DualProj(Balancer):
    """DualProj: the mean gradient, projected on the cone of directions that conflict with no gradient.

    d is the point of {d : G d >= 0} nearest to g0 (the paper's equation 11, with g0 instead of the new task's
    gradient): d = G^T (1/K + x), with x the minimiser of ||G^T (1/K + x)|| over x >= 0. UPGrad solves such a problem
    for each gradient, this is one for their mean.

    Reduction: that of the mean gradient.
    Guarantees: d conflicts with no gradient and is no longer than the mean norm; it is g0 where g0 conflicts with none.
    If this fails, MGDA's direction is used.
    Cost: 18 pairs of factors of a K x K matrix.

    Statistics: `conflicts`, the number of pairs with a negative inner product; `fallback`.
    """

    paper = "Lopez-Paz and Ranzato, Gradient episodic memory for continual learning, NeurIPS 2017"

    @override
    def balance(self, gramian: Tensor, losses: Tensor | None = None) -> Proposal:
        cosines = normalise(gramian)
        # In y = D x over the mean of the norms the problem is one in cosines; the second one is MGDA's.
        size = positive(cosines.norms.mean(-1, keepdim=True))
        mean = cosines.norms / size / self.num_tasks
        nearest = as_quadratic(cosines)
        added, least = minimise_quadratic(
            torch.stack([cosines.matrix, nearest.matrix]),
            torch.stack([matvec(cosines.matrix, mean), nearest.linear]),
        )
        weights = 1 / self.num_tasks + added * size * cosines.inverse
        return Proposal(weights, {"conflicts": conflicts(gramian)}, nearest.weights(least))

    @override
    def guarantees(self, outcome: Outcome) -> dict[str, Tensor]:
        return {
            "no conflict": guarantees.conflict(outcome),
            "length": guarantees.longer(outcome, outcome.mean_norm),
            "cancellation": guarantees.cancellation(outcome, outcome.mean_norm),
        }
