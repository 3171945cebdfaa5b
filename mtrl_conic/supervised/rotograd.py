"""Javaloy and Valera, RotoGrad: gradient homogenization in multitask learning, ICLR 2022."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from mtrl_conic.errors import UserError


class RotoGrad(nn.Module):
    """Rotates the shared representation for each task, and evens out the gradients that come back.

    A module between trunk and heads, not a balancer: task k's head gets r_k = R_k z with R_k orthogonal.
    Going back, with u_k = R_k^T dL_k/dr_k the gradient of task k in the trunk's own axes:

    - Scale: each u_k is given the common length sum_j a_j ||u_j||, a_j = (||u_j|| / ||u_j(0)||) over its sum,
      so that tasks which learn slowly count more; ||u(0)|| are the lengths of the first backward.
    - Rotation: R_k is learned to turn u_k towards v, the mean of the unit u_j: its gradient is that of
      -sum_k u_k.v / ||u_k||, whatever the losses are.

    Give `rotations()` to an optimiser of their own, with a smaller step than the network's, as the paper asks
    for the two games to settle.

    Args:
        num_tasks: K.
        dim: dimension of the representation z; rotations cost K dim^2 numbers.
        scale: whether lengths are evened out; off is the paper's rotation alone ("Rotate only").
    """

    first: Tensor

    def __init__(self, num_tasks: int, dim: int, *, scale: bool = True) -> None:
        super().__init__()
        if num_tasks < 1 or dim < 1:
            raise UserError(f"RotoGrad needs at least one task and one dimension, not {num_tasks} and {dim}")
        self.num_tasks, self.dim, self.scale = num_tasks, dim, scale
        self.rotation = nn.Parameter(torch.eye(dim).repeat(num_tasks, 1, 1))
        parametrizations.orthogonal(self, "rotation")
        self.register_buffer("first", torch.zeros(num_tasks))

    def rotations(self) -> list[nn.Parameter]:
        """The parameters behind the rotations."""
        return list(self.parameters())

    def forward(self, representation: Tensor) -> Tensor:
        """Task k's view R_k z, (K, B, dim), of a representation (B, dim) or of rows (K, B, dim) of each task."""
        if representation.shape[-1] != self.dim or representation.dim() not in (2, 3):
            raise UserError(f"RotoGrad was made for (..., {self.dim}), not {tuple(representation.shape)}")
        views = representation.expand(self.num_tasks, -1, -1) if representation.dim() == 2 else representation
        apply: Callable[..., Tensor] = _Rotate.apply
        return apply(views, self.rotation, self.first, self.scale)


class _Rotate(torch.autograd.Function):
    """r = z R^T per task, with RotoGrad's own backward."""

    @staticmethod
    def forward(ctx: Any, views: Tensor, rotation: Tensor, first: Tensor, scale: bool) -> Tensor:
        ctx.save_for_backward(rotation)
        ctx.first, ctx.scale = first, scale
        return views @ rotation.mT

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        (gradient,) = gradients
        (rotation,) = ctx.saved_tensors
        first: Tensor = ctx.first
        back = gradient @ rotation
        lengths = torch.linalg.vector_norm(back, dim=(-2, -1))
        safe = torch.where(lengths > 0, lengths, 1.0)
        first.copy_(torch.where(first > 0, first, lengths))
        units = back / safe[:, None, None]
        # d/dR of -<g R, v> / ||g R||, the length held fixed: R has no say in it.
        turn = -(gradient / safe[:, None, None]).mT @ units.mean(0)
        if ctx.scale:
            pace = lengths / torch.where(first > 0, first, 1.0)
            common = (pace * lengths).sum() / torch.where(pace.sum() > 0, pace.sum(), 1.0)
            back = units * common
        return back, turn, None, None
