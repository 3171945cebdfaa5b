"""Zhang et al., PMGDA: a preference-based multiple gradient descent algorithm, 2024."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from mtrl_conic.balancers import guarantees
from mtrl_conic.balancers.base import Balance, Balancer
from mtrl_conic.balancers.guarantees import Outcome
from mtrl_conic.balancers.kinds import given
from mtrl_conic.balancers.positive_losses import raised
from mtrl_conic.balancers.preference import Preference, on, shares
from mtrl_conic.balancers.registry import register
from mtrl_conic.errors import UserError
from mtrl_conic.linalg.cone import Axis, least_favourable, steepest
from mtrl_conic.linalg.cosines import unit_scale
from mtrl_conic.linalg.simplex import shortest
from mtrl_conic.linalg.vectors import dot, matvec, positive

_VANISHED = 1e-12
"""Below this share of the squared sum of its parts, ||grad h||^2 is rounding."""


@register("pmgda")
class PMGDA(Balancer):
    r"""The Pareto point whose losses are inversely proportional to a preference, by prediction and correction.

    The imbalance h is zero where all p_i L_i are equal. With l_i = p_i L_i / sum_j p_j L_j, it is the divergence of l
    from equal shares, h = sum_i l_i log(K l_i): the constraint of Mahapatra and Rajan (Exact Pareto Optimal search,
    ICML 2020). Its gradient sum_i (dh/dL_i) g_i is a combination of the tasks' gradients.

    Where h is at most `tolerance` (prediction), d is the shortest sum_i mu_i g_i + nu grad h with mu on the simplex:
    all losses fall, and h does not change to first order. Elsewhere (correction), d maximises min_i g_i.d subject to
    cos(d, grad h) >= sigma, so that h falls even if some loss has to rise. This is solved exactly, as the problem of
    `conicgrad` with another axis; the paper restricts d to combinations with nonnegative weights, a linear program.

    Reduction: the prediction has the length of MGDA's direction; the correction has the mean length of the gradients.
    Guarantees: those of the current step, as above. The direction is zero only at a Pareto point with h <= `tolerance`.
    Cost: 18 factors of a K x K matrix and 28 of K + 1 equations. Needs losses that are not negative.

    Statistics: `imbalance`, h; `correcting`, 1 where h is corrected; `fallback`, 1 where d is the mean gradient.

    Args:
        num_tasks: K.
        seed: not used.
        preference: p, all positive; a task with twice the preference gets half the loss.
        sigma: smallest cosine between the correction and grad h.
        tolerance: largest imbalance that is not corrected.

    Raises:
        UserError: the preference of a task is zero.
    """

    paper = "Zhang et al., PMGDA: a preference-based multiple gradient descent algorithm, 2024"
    needs_losses = True
    positive_losses = True
    refuses_negative = True

    def __init__(
        self,
        num_tasks: int,
        *,
        seed: int = 0,
        preference: Preference = "",
        sigma: Annotated[
            float,
            Field(gt=0, le=1, description="smallest cosine between the correction and the gradient of the imbalance"),
        ] = 0.5,
        tolerance: Annotated[float, Field(gt=0, description="largest imbalance that is not corrected")] = 1e-4,
    ) -> None:
        super().__init__(num_tasks, seed=seed)
        self.preference, self.sigma, self.tolerance = shares(preference, num_tasks), sigma, tolerance
        if self.preference is not None and min(self.preference) == 0:
            raise UserError(f"pmgda: preference={preference}: every task needs a positive preference")

    @override
    def balance(self, gramian: Tensor, losses: Tensor | None = None) -> Balance:
        gramian = unit_scale(gramian)
        imbalance, slope = self._imbalance(given(losses))
        products = matvec(gramian, slope)
        square = dot(slope, products)
        parts = dot(slope.abs(), gramian.diagonal(dim1=-2, dim2=-1).clamp_min(0).sqrt())
        exists = square > _VANISHED * parts * parts
        axis = Axis(slope, products, torch.where(exists, square, 1.0))
        correcting = exists & (imbalance > self.tolerance)
        weights = torch.where(correcting, _correction(gramian, axis, self.sigma), _prediction(gramian, axis, exists))
        statistics = {"imbalance": imbalance.squeeze(-1), "correcting": correcting.squeeze(-1)}
        return Balance(weights, statistics)

    @override
    def guarantees(self, outcome: Outcome) -> dict[str, Tensor]:
        return {"cancellation": guarantees.cancellation(outcome, outcome.mean_norm)}

    def _imbalance(self, losses: Tensor) -> tuple[Tensor, Tensor]:
        """Return h (..., 1) and a multiple of its derivatives with respect to the losses (..., K)."""
        scales = torch.ones_like(losses) if self.preference is None else on(losses, self.preference)
        scaled = scales * raised(losses)
        fractions = scaled / scaled.sum(-1, keepdim=True)
        logs = (self.num_tasks * fractions).log()
        imbalance = dot(fractions, logs)
        slope = scales * (logs - imbalance)
        return imbalance, slope / positive(slope.abs().amax(-1, keepdim=True))


def _prediction(gramian: Tensor, axis: Axis, exists: Tensor) -> Tensor:
    """Return the weights of MGDA's direction for the parts of the gradients that are perpendicular to the axis."""
    shares = torch.where(exists, axis.products / axis.square, 0.0)
    of_rest = shortest(gramian - shares.unsqueeze(-1) * axis.products.unsqueeze(-2))
    return of_rest - dot(of_rest, shares) * axis.weights


def _correction(gramian: Tensor, axis: Axis, sigma: float) -> Tensor:
    """Return the weights of the best direction in the cone around the axis, with the mean length of the gradients."""
    _, towards = least_favourable(gramian, axis, sigma)
    ray = steepest(gramian, towards, axis, sigma).ray
    mean_length = gramian.diagonal(dim1=-2, dim2=-1).clamp_min(0).sqrt().mean(-1, keepdim=True)
    return ray * (mean_length / positive(dot(ray, matvec(gramian, ray))).sqrt())
