"""Wang et al., Gradient vaccine, ICLR 2021."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from mtrl_conic.balancers.base import Balance, Balancer
from mtrl_conic.balancers.random import random_orders
from mtrl_conic.balancers.registry import register
from mtrl_conic.linalg.cosines import conflicts
from mtrl_conic.linalg.vectors import positive


@register("gradvac")
class GradVac(Balancer):
    """Gradient vaccine: gradients are turned towards each other until their usual cosine is reached.

    For task i, v starts as g_i; for every other task j in random order, with cosine p of v and g_j and its
    running mean t_ij: where p < t_ij,

        v <- v + ||v|| (t sqrt(1 - p^2) - p sqrt(1 - t^2)) / (||g_j|| sqrt(1 - t^2)) g_j

    after which the cosine is t_ij; then t_ij <- (1 - beta) t_ij + beta p, for every pair. d is the mean of
    the K results.

    Reduction: the mean over tasks (the paper sums; its direction is K times this one).
    Guarantees: with beta = 0 and targets of zero this is PCGrad.
    Cost: O(K^3) in K - 1 sequential steps. State: the K x K running cosines.

    Statistics: `conflicts`, the number of pairs with a negative inner product.

    Args:
        num_tasks: K.
        seed: seed of the orders.
        beta: rate of the running means.
        target: cosines at the start.
    """

    paper = "Wang et al., Gradient vaccine, ICLR 2021"
    draws = True

    def __init__(
        self,
        num_tasks: int,
        *,
        seed: int = 0,
        beta: Annotated[float, Field(ge=0, le=1, description="rate of the running means of the cosines")] = 0.01,
        target: Annotated[float, Field(ge=-1, lt=1, description="initial value of the cosines")] = 0.0,
    ) -> None:
        self.target = target
        super().__init__(num_tasks, seed=seed)
        self.beta = beta

    @override
    def initial_state(self) -> dict[str, Tensor]:
        shape = (*self.batch_shape, self.num_tasks, self.num_tasks)
        return {"targets": torch.full(shape, self.target, dtype=torch.float64)}

    @override
    def balance(self, gramian: Tensor, losses: Tensor | None = None) -> Balance:
        order = random_orders(self._uniform(tuple(gramian.shape)))
        # Row i of everything below is task i's own problem, its axes in the order of its visits.
        square = gramian.diagonal(dim1=-2, dim2=-1)
        lengths = square.clamp_min(0).sqrt()
        others = lengths.unsqueeze(-2).expand(gramian.shape).gather(-1, order)
        targets = self.state["targets"].gather(-1, order)
        cube = gramian.unsqueeze(-3).expand(*order.shape[:-1], *gramian.shape[-2:])
        rows = cube.gather(-2, order.unsqueeze(-1).expand(*order.shape, self.num_tasks))
        rows = rows.gather(-1, order.unsqueeze(-2).expand(*order.shape, order.shape[-1]))
        inner = gramian.gather(-1, order)
        own = square.unsqueeze(-1)
        taken, seen = [], []
        for step, row in enumerate(rows.unbind(-2)):
            product = inner[..., step : step + 1]
            other = others[..., step : step + 1]
            target = targets[..., step : step + 1]
            length = own.clamp_min(0).sqrt()
            cosine = (product / positive(length * other)).clamp(-1, 1)
            root = (1 - target * target).clamp_min(1e-12).sqrt()
            turn = length / positive(other) * (target * (1 - cosine * cosine).sqrt() / root - cosine)
            coefficient = torch.where((cosine < target) & (other > 0), turn, 0.0)
            own = own + coefficient * (2 * product + coefficient * other * other)
            inner = inner + coefficient * row
            taken.append(coefficient)
            seen.append(cosine)
        weights = torch.full_like(square, 1 / self.num_tasks)
        if taken:
            weights = weights + torch.zeros_like(gramian).scatter(-1, order, torch.cat(taken, -1)).mean(-2)
            moved = targets.lerp(torch.cat(seen, -1), self.beta)
            self._store(targets=self.state["targets"].scatter(-1, order, moved))
        return Balance(weights, {"conflicts": conflicts(gramian)})
