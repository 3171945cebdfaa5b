"""Liu et al., FAMO: fast adaptive multitask optimization, NeurIPS 2023."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from mtrl_conic.balancers.adam import adam_state, adam_step
from mtrl_conic.balancers.base import Balance
from mtrl_conic.balancers.kinds import LossBalancer
from mtrl_conic.balancers.positive_losses import LEAST
from mtrl_conic.balancers.registry import register
from mtrl_conic.linalg.vectors import dot


@register("famo")
class FAMO(LossBalancer):
    """FAMO: the losses' logarithms fall at equal rates, learned from the losses before and after each step.

    z = softmax(xi); w_i = (z_i / L'_i) / sum_j (z_j / L'_j) with L' = L - min + 1e-8. After the optimiser's step,
    `observe` takes the losses of the same batch, and xi an Adam step (weight decay gamma) on the softmax's Jacobian^T
    (log L' - log L'_new).

    The minimum is zero while losses are positive; for negative losses it is the smallest loss seen, minus a tenth of
    its size, so that they give no NaN.

    Reduction: the weights sum to one.
    Cost: O(K), and one more forward pass per update. State: xi, its Adam moments, the last losses.

    Args:
        num_tasks: K.
        seed: not used.
        gamma: weight decay of xi.
        lr: step size of xi.
        components: `critic` leaves components whose losses may be negative to the mean, as the paper does.
    """

    paper = "Liu et al., FAMO: fast adaptive multitask optimization, NeurIPS 2023"
    positive_losses = True
    every_task = True
    observes = True

    def __init__(
        self,
        num_tasks: int,
        *,
        seed: int = 0,
        gamma: Annotated[float, Field(ge=0, description="weight decay of the logits")] = 0.01,
        lr: Annotated[float, Field(gt=0, description="step size of the logits")] = 0.025,
        components: Annotated[
            Literal["critic", "both"],
            Field(description="balance only positive losses (those of the critic), or all losses"),
        ] = "critic",
    ) -> None:
        super().__init__(num_tasks, seed=seed)
        self.gamma, self.lr = gamma, lr
        self.positive_losses = components == "critic"

    @override
    def initial_state(self) -> dict[str, Tensor]:
        called = torch.zeros(self.batch_shape, dtype=torch.bool)
        return adam_state("xi", self._full(0.0)) | {
            "losses": self._full(1.0),
            "least": self._full(0.0),
            "called": called,
        }

    @override
    def weigh(self, losses: Tensor) -> Balance:
        self._lower(losses)
        self._store(losses=losses, called=torch.ones_like(self.state["called"]))
        shares = self.state["xi"].softmax(-1)
        weights = shares / self._shifted(losses)
        return Balance(weights / weights.sum(-1, keepdim=True), {})

    @override
    def adapt(self, losses: Tensor) -> None:
        # Without weights from the step before (none was made, or it was skipped), nothing can be learned.
        called = self.state["called"].clone()
        self._only_where(called, lambda: self._learn(losses))
        self.state["called"].zero_()

    def _learn(self, losses: Tensor) -> None:
        self._lower(losses)
        fall = self._shifted(self.state["losses"]).log() - self._shifted(losses).log()
        shares = self.state["xi"].softmax(-1)
        adam_step(self.state, "xi", shares * (fall - dot(shares, fall)), self.lr, self.gamma)

    def _lower(self, losses: Tensor) -> None:
        self._store(least=torch.minimum(self.state["least"], torch.minimum(losses, 1.1 * losses)))

    def _shifted(self, losses: Tensor) -> Tensor:
        return losses - self.state["least"] + LEAST
