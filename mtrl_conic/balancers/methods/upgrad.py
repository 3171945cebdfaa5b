"""Quinton and Rey, Jacobian descent for multi-objective optimization, 2024."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from mtrl_conic.balancers import guarantees
from mtrl_conic.balancers.base import Balancer, Proposal
from mtrl_conic.balancers.guarantees import Outcome
from mtrl_conic.balancers.preference import Preference, on, shares
from mtrl_conic.balancers.registry import register
from mtrl_conic.linalg.cosines import conflicts, normalise
from mtrl_conic.linalg.quadratic import minimise_quadratic
from mtrl_conic.linalg.simplex import as_quadratic


@register("upgrad")
class UPGrad(Balancer):
    """UPGrad: the mean of the projections of all gradients on the cone of directions that conflict with none.

    The projection of g_i on {d : G d >= 0} is G^T v with v the minimiser of ||G^T v|| over v >= e_i: K quadratic
    problems, solved as one batch in the cosines.

    Reduction: the mean over tasks; with a preference p, the mean that weighs projection i by p_i.
    Guarantees: d conflicts with no gradient and is no longer than that mean of their norms; each projection grows
    linearly with its own gradient. If this fails, MGDA's direction is used.
    Cost: 18 batches of K + 1 factors of a K x K matrix.

    Statistics: `conflicts`, the number of pairs with a negative inner product; `fallback`.

    Args:
        num_tasks: K.
        seed: not used.
        preference: weights of the tasks.
    """

    paper = "Quinton and Rey, Jacobian descent for multi-objective optimization, 2024"

    def __init__(self, num_tasks: int, *, seed: int = 0, preference: Preference = "") -> None:
        super().__init__(num_tasks, seed=seed)
        self.preference = shares(preference, num_tasks)

    @override
    def balance(self, gramian: Tensor, losses: Tensor | None = None) -> Proposal:
        cosines = normalise(gramian)
        # Row i is the problem of the unit gradient i: v = e_i + x, x >= 0, with the linear term C e_i; the last MGDA's.
        shortest = as_quadratic(cosines)
        matrices = cosines.matrix.unsqueeze(-3).expand(*cosines.matrix.shape, self.num_tasks)
        found = minimise_quadratic(
            torch.cat([matrices, shortest.matrix.unsqueeze(-3)], -3),
            torch.cat([cosines.matrix, shortest.linear.unsqueeze(-2)], -2),
        )
        units = cosines.norms.unsqueeze(-1) * found[..., :-1, :]
        instead = shortest.weights(found[..., -1, :])
        if self.preference is None:
            weights = (torch.ones_like(cosines.norms) + units.sum(-2) * cosines.inverse) / self.num_tasks
        else:
            share = on(gramian, self.preference)
            weights = share + (share.unsqueeze(-1) * units).sum(-2) * cosines.inverse
        return Proposal(weights, {"conflicts": conflicts(gramian)}, instead)

    @override
    def guarantees(self, outcome: Outcome) -> dict[str, Tensor]:
        return {
            "no conflict": guarantees.conflict(outcome),
            "length": guarantees.longer(outcome, self._mean_norm(outcome)),
            "cancellation": guarantees.cancellation(outcome, outcome.mean_norm),
        }

    def _mean_norm(self, outcome: Outcome) -> Tensor:
        if self.preference is None:
            return outcome.mean_norm
        return (outcome.norms * on(outcome.norms, self.preference)).sum(-1, keepdim=True)
