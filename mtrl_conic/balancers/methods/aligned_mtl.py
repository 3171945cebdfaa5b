"""Senushkin et al., Independent component alignment for multi-task learning, CVPR 2023."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from mtrl_conic.balancers import guarantees
from mtrl_conic.balancers.base import Balance, Balancer
from mtrl_conic.balancers.guarantees import Outcome
from mtrl_conic.balancers.preference import Preference, on, shares
from mtrl_conic.balancers.registry import register
from mtrl_conic.linalg.vectors import positive

_ROUNDING = 1e-14
"""Relative rounding error of an eigenvalue, per task."""


@register("aligned_mtl")
class AlignedMTL(Balancer):
    """Aligned-MTL: the gradients are replaced by the nearest ones that are orthogonal and of equal length.

    B = sqrt(l) V S^(-1/2) V^T over the eigenpairs (S, V) of M above a tolerance; w = B 1/K, or B p with a preference p.
    The aligned gradients B G have a linear system of condition number one. l is the smallest eigenvalue (`min`), the
    median or the mean (`rmse`).

    Reduction: the mean over tasks.
    Guarantees: condition number one: no conflict and no dominance between the aligned gradients.
    Cost: one eigendecomposition, which on a GPU waits for the device and cannot be captured.

    The direction is at most as long as ||p|| times the root of the sum of the gradients' squared norms. If it is
    longer, which only rounding can cause, the mean gradient is used.

    Statistics: `rank`, the number of eigenpairs used; `condition`, of the linear system before; `fallback`.

    Args:
        num_tasks: K.
        seed: not used.
        mode: which eigenvalue is kept.
        preference: weights of the tasks.
    """

    paper = "Senushkin et al., Independent component alignment for multi-task learning, CVPR 2023"
    waits = True  # torch's eigenvalues are checked on the host

    def __init__(
        self,
        num_tasks: int,
        *,
        seed: int = 0,
        mode: Annotated[
            Literal["min", "median", "rmse"],
            Field(description="eigenvalue that all principal directions are scaled to"),
        ] = "min",
        preference: Preference = "",
    ) -> None:
        super().__init__(num_tasks, seed=seed)
        self.mode, self.preference = mode, shares(preference, num_tasks)

    @override
    def balance(self, gramian: Tensor, losses: Tensor | None = None) -> Balance:
        values, vectors = torch.linalg.eigh(gramian)
        largest = values[..., -1:]
        # Eigenvalues below zero are rounding: they tell how large that is.
        noise = torch.maximum(self.num_tasks * _ROUNDING * largest, -10 * values[..., :1])
        kept = values > noise
        rank = kept.sum(-1, keepdim=True)
        least = torch.where(kept, values, torch.inf).amin(-1, keepdim=True)
        if self.mode == "min":
            level = least
        elif self.mode == "median":
            level = torch.where(kept, values, torch.nan).nanmedian(-1, keepdim=True).values
        else:
            level = torch.where(kept, values, 0.0).sum(-1, keepdim=True) / rank
        stretch = torch.where(kept, (level / positive(values)).sqrt(), 0.0)
        if self.preference is None:
            wanted = vectors.mT.mean(-1, keepdim=True)
        else:
            wanted = vectors.mT @ on(vectors, self.preference).unsqueeze(-1)
        weights = (vectors * stretch.unsqueeze(-2)) @ wanted
        condition = (largest / least).sqrt()
        return Balance(weights.squeeze(-1), {"rank": rank.squeeze(-1), "condition": condition.squeeze(-1)})

    @override
    def guarantees(self, outcome: Outcome) -> dict[str, Tensor]:
        wanted = (1 / self.num_tasks,) * self.num_tasks if self.preference is None else self.preference
        square = sum(share**2 for share in wanted)
        bound = (outcome.norms.square().sum(-1, keepdim=True) * square).sqrt()
        return {
            "length": guarantees.longer(outcome, bound),
            "cancellation": guarantees.cancellation(outcome, bound),
        }
