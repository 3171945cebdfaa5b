"""Zhou et al., On the convergence of stochastic multi-objective gradient manipulation and beyond, NeurIPS 2022."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import AfterValidator, Field
from torch import Tensor
from typing_extensions import override

from mtrl_conic.balancers.base import Balance
from mtrl_conic.balancers.contained import Contained, Container, canonical
from mtrl_conic.balancers.registry import register
from mtrl_conic.errors import UserError


def _smoothable(text: str) -> str:
    return canonical(text, lambda method: method.has_weights, "has no weights of its own that could be smoothed")


@register("crmogm")
class CRMOGM(Container):
    """CR-MOGM: the running mean of another method's weights.

    lambda <- beta lambda + (1 - beta) w, with w the weights that the method has for this update; lambda starts at the
    first w, for each task, and d = J^T lambda.

    Reduction: that of the method.
    Guarantees: only those that a mean preserves, such as a sum of one. The guarantees of the method are checked on w.
    Cost: that of the method. State: lambda, and that of the method.

    Statistics: those of the method, and `unsmoothed`, its w (K,).

    Args:
        num_tasks: K.
        seed: seed of the method's random numbers.
        of: the method with its options, colons between them: `cagrad:c=0.9:rescale=square`.
        beta: share of the running mean that is kept.
    """

    contains = ("of",)
    paper = (
        "Zhou et al., On the convergence of stochastic multi-objective gradient manipulation and beyond, NeurIPS 2022"
    )

    def __init__(
        self,
        num_tasks: int,
        *,
        seed: int = 0,
        of: Annotated[
            str,
            AfterValidator(_smoothable),
            Field(description="the method whose weights are smoothed, written cagrad:c=0.9:rescale=square"),
        ] = "mgda",
        beta: Annotated[float, Field(ge=0, lt=1, description="share of the running mean that is kept")] = 0.9,
    ) -> None:
        self._of, self.beta = Contained("of", _smoothable(of), num_tasks, seed), beta
        method = self._of.method
        if method.batches > 1:
            raise UserError(f"{method.name} takes {method.batches} batches, and its weights are means already")
        super().__init__(num_tasks, self._of, seed=seed)

    @override
    def initial_state(self) -> dict[str, Tensor]:
        own = {"lambda": self._full(0.0), "begun": self._full(0.0).bool()}
        return own | super().initial_state()

    @override
    def balance(self, gramian: Tensor, losses: Tensor | None = None) -> Balance:
        weights, statistics = self._of.bound(self).settle(gramian, losses)
        begun = self.state["begun"]
        smoothed = torch.where(begun, weights.lerp(self.state["lambda"], self.beta), weights)
        self._store(**{"lambda": smoothed, "begun": torch.ones_like(self.state["begun"])})
        return Balance(smoothed, {**statistics, "unsmoothed": weights})
