"""Yu et al., Gradient surgery for multi-task learning, NeurIPS 2020."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from mtrl_conic.balancers import guarantees
from mtrl_conic.balancers.base import Balance, Balancer
from mtrl_conic.balancers.guarantees import Outcome
from mtrl_conic.balancers.random import random_orders
from mtrl_conic.balancers.registry import register
from mtrl_conic.linalg.cosines import conflicts
from mtrl_conic.linalg.surgery import surgery


@register("pcgrad")
class PCGrad(Balancer):
    """Each gradient is projected off every other gradient that it conflicts with; then the mean.

    For task i, v starts as g_i; for every other task j in random order, where v.g_j < 0, v <- v - (v.g_j / ||g_j||^2)
    g_j, with the original g_j; d is the mean of the K results.

    In Gram form v = G^T e_i keeps a row of K coefficients, and only r_j = v.g_j / ||g_j||^2 is followed: visiting j
    adds -min(r_j, 0) to coefficient j and -min(r_j, 0) M_jk / M_kk to every r_k.

    Reduction: the mean over tasks (the paper sums; its direction is K times this one).
    Guarantees: a gradient that meets no conflict is kept as it is; for two tasks the direction conflicts with neither.
    For more tasks a later projection may bring back an earlier conflict. d is no longer than the mean norm of the
    gradients. If this fails, the mean gradient is used.
    Cost: O(K^3) in K - 1 sequential steps.

    Statistics: `conflicts`, the number of pairs with a negative inner product; `fallback`.
    """

    paper = "Yu et al., Gradient surgery for multi-task learning, NeurIPS 2020"
    draws = True

    @override
    def balance(self, gramian: Tensor, losses: Tensor | None = None) -> Balance:
        order = random_orders(self._uniform(gramian.shape))
        weights = torch.full_like(gramian[..., 0], 1 / self.num_tasks) - surgery(gramian, order).mean(-2)
        return Balance(weights, {"conflicts": conflicts(gramian)})

    @override
    def guarantees(self, outcome: Outcome) -> dict[str, Tensor]:
        promised = {"length": guarantees.longer(outcome, outcome.mean_norm)}
        return promised | ({"no conflict": guarantees.conflict(outcome)} if self.num_tasks == 2 else {})
