"""Liu et al., ConFIG: towards conflict-free training of physics informed neural networks, ICLR 2025."""

from __future__ import annotations

from torch import Tensor
from typing_extensions import override

from mtrl_conic.balancers import guarantees
from mtrl_conic.balancers.base import Balancer, Proposal
from mtrl_conic.balancers.guarantees import Outcome
from mtrl_conic.balancers.registry import register
from mtrl_conic.linalg.cosines import normalise
from mtrl_conic.linalg.inverse import ridged_solve
from mtrl_conic.linalg.simplex import shortest
from mtrl_conic.linalg.vectors import dot, matvec, positive


@register("config")
class ConFIG(Balancer):
    r"""ConFIG: the unit direction with equal cosines to all gradients, as long as the gradients' projections on it.

    With the unit gradients as rows of U, u = U^+ 1 / ||U^+ 1|| and d = (sum_i g_i.u) u (the paper's equation 2). In
    Gram form u = U^T a / sqrt(a^T C a) with C a = 1, where M = D C D, so w = D^-1 a (sum_i g_i.u) / sqrt(a^T C a). It
    is IMTL-G's direction, with a length that is never negative.

    Reduction: the sum of the projections.
    Guarantees: g_i.d / ||g_i|| is the same for all tasks and not negative, so d conflicts with no gradient. If this
    fails, near a Pareto front, MGDA's direction is used.
    Cost: one inverse, and MGDA's cost for the fallback.

    Statistics: `fallback`.
    """

    paper = "Liu et al., ConFIG: towards conflict-free training of physics informed neural networks, ICLR 2025"

    @override
    def balance(self, gramian: Tensor, losses: Tensor | None = None) -> Proposal:
        cosines = normalise(gramian)
        # A zero gradient takes no part: the system has a row of its own for it.
        equal = ridged_solve(cosines.matrix, (cosines.norms > 0).to(cosines.norms))
        products = matvec(cosines.matrix, equal)
        length = positive(dot(equal, products)).sqrt()
        projections = dot(products, cosines.norms) / length
        return Proposal(cosines.inverse * equal * (projections / length), {}, shortest(gramian))

    @override
    def guarantees(self, outcome: Outcome) -> dict[str, Tensor]:
        length = outcome.square.clamp_min(0).sqrt()
        return {
            # Relative to the length of d. With more tasks than directions no d has equal projections; its parts then
            # cancel, and relative to their lengths the difference would appear small.
            "equal projections": guarantees.unequal_projections(outcome, length),
            "no conflict": guarantees.conflict(outcome),
            "cancellation": guarantees.cancellation(outcome, length),
        }
