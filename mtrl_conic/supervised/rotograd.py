"""Javaloy and Valera, RotoGrad: gradient homogenization in multitask learning, ICLR 2022."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from mtrl_conic.errors import UserError


class RotoGrad(nn.Module):
    """Rotates the shared representation for each task and homogenises the gradients that return through it.

    RotoGrad is a module between trunk and heads, not a balancer: the head of task k receives r_k = R_k z with an
    orthogonal R_k. In the backward pass, let u_k = R_k^T dL_k/dr_k be the gradient of task k in the coordinates of
    the trunk:

    - Scale: each u_k gets the common length sum_j a_j ||u_j||, with a_j = ||u_j|| / ||u_j(0)||, normalised to sum 1,
      so that tasks which learn slowly count more. ||u_j(0)|| is the length in the first backward pass.
    - Rotation: R_k learns to turn u_k towards v, the mean of the unit vectors u_j / ||u_j||. Its gradient is that of
      -sum_k u_k.v / ||u_k||; the losses do not contribute to it.

    Pass `rotations()` to an optimiser of its own with a smaller learning rate than the network's, as the paper
    requires for convergence.

    Args:
        num_tasks: number of tasks K.
        dim: dimension of the representation z; the rotations have K dim^2 parameters.
        scale: whether the lengths are equalised; without it the method is the paper's "Rotate only".
    """

    first: Tensor

    def __init__(self, num_tasks: int, dim: int, *, scale: bool = True) -> None:
        super().__init__()
        if num_tasks < 1 or dim < 1:
            raise UserError(f"RotoGrad needs num_tasks and dim of at least 1, not {num_tasks} and {dim}")
        self.num_tasks, self.dim, self.scale = num_tasks, dim, scale
        self.rotation = nn.Parameter(torch.eye(dim).repeat(num_tasks, 1, 1))
        parametrizations.orthogonal(self, "rotation")
        self.register_buffer("first", torch.zeros(num_tasks))

    def rotations(self) -> list[nn.Parameter]:
        """Return the parameters of the rotations."""
        return list(self.parameters())

    def forward(self, representation: Tensor) -> Tensor:
        """Return R_k z for each task, (K, B, dim), for a representation (B, dim) or one per task (K, B, dim)."""
        if representation.shape[-1] != self.dim or representation.dim() not in (2, 3):
            raise UserError(f"RotoGrad was built for inputs (..., {self.dim}), not {tuple(representation.shape)}")
        views = representation.expand(self.num_tasks, -1, -1) if representation.dim() == 2 else representation
        apply: Callable[..., Tensor] = _Rotate.apply
        return apply(views, self.rotation, self.first, self.scale)


class _Rotate(torch.autograd.Function):
    """r = z R^T per task, with the backward pass of RotoGrad."""

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
        # d/dR of -<g R, v> / ||g R|| with the length held constant, because a rotation does not change it.
        turn = -(gradient / safe[:, None, None]).mT @ units.mean(0)
        if ctx.scale:
            pace = lengths / torch.where(first > 0, first, 1.0)
            common = (pace * lengths).sum() / torch.where(pace.sum() > 0, pace.sum(), 1.0)
            back = units * common
        return back, turn, None, None
