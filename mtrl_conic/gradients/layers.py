"""Layers whose one ordinary backward yields the gradient of every task.

A row of a multi-task batch belongs to one task, so the K gradients of a shared weight cost as many
operations as their sum: the products are only not added up. Rows come as (K, B, features). A shared
parameter of shape S is handed to the layer as a (K, *S) view of itself (`expand`, no copy), and the
layer's backward fills a (K, *S) gradient. Without such a view the layers are ordinary ones.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mtrl_conic.gradients.factors import Factors, Uses


class _LinearPerTask(torch.autograd.Function):
    """y = x W^T + b for rows (K, B, in) and a (K, out, in) view of one W: one product forward, K for dW.

    The factors of the products are rounded to `products`; x, y and all gradients keep the type of x. Where a list
    `factors` is given, the backward adds the factors of dW to it and gives no dW.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, products: torch.dtype, factors: list[Factors] | None
    ) -> Tensor:
        rows, matrix = x.to(products), weight[0].to(products)
        ctx.save_for_backward(rows, matrix)
        ctx.factors = factors
        return functional.linear(rows, matrix, bias[0].to(products)).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor, None, None]:
        (dy,) = grad_outputs
        rows, matrix = ctx.saved_tensors
        rounded = dy.to(rows.dtype)
        dx = (rounded @ matrix).to(dy.dtype) if ctx.needs_input_grad[0] else None
        if ctx.factors is None:
            return dx, torch.bmm(rounded.mT, rows).to(dy.dtype), dy.sum(-2), None, None
        ctx.factors.append(Factors(rounded, rows.detach()))
        return dx, None, dy.sum(-2), None, None


class _LayerNormPerTask(torch.autograd.Function):
    """Layer normalisation of rows (K, B, F) with (K, F) views of one gain and one offset."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: Tensor, offset: Tensor, eps: float) -> Tensor:
        y, mean, rstd = torch.native_layer_norm(x, x.shape[-1:], gain[0], offset[0], eps)
        ctx.save_for_backward(x, mean, rstd, gain, offset)
        return y

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, Tensor, Tensor, None]:
        (dy,) = grad_outputs
        x, mean, rstd, gain, offset = ctx.saved_tensors
        dx, _, _ = torch.ops.aten.native_layer_norm_backward(
            dy, x, x.shape[-1:], mean, rstd, gain[0], offset[0], [True, False, False]
        )
        normal = (x - mean).mul_(rstd)
        return dx, normal.mul_(dy).sum(-2), dy.sum(-2), None


class SharedLayer(nn.Module):
    """A layer whose parameters all tasks share; it also takes them with a leading task axis."""


class TaskLayer(nn.Module):
    """A layer whose parameters have a leading task axis: row k belongs to task k alone."""


class Linear(SharedLayer):
    """y = x W^T + b, shared by all tasks.

    Args:
        inputs: features of x (..., inputs).
        outputs: features of y (..., outputs).
        generator: of the initial values, uniform in +-1/sqrt(inputs) as in `torch.nn.Linear`.
        products: type that the factors of the products are rounded to; none is that of x. Weights, gradients and
            what goes in and out stay as they are.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        generator: torch.Generator | None = None,
        products: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.products = products
        self.uses: Uses | None = None
        """Where a backward leaves the factors of the weight's K gradients, where those are wanted."""
        bound = 1 / math.sqrt(inputs)
        self.weight = nn.Parameter(torch.empty(outputs, inputs).uniform_(-bound, bound, generator=generator))
        self.bias = nn.Parameter(torch.empty(outputs).uniform_(-bound, bound, generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs); rows must be (K, B, inputs) for per-task gradients."""
        products = self.products or x.dtype
        if self.weight.dim() == 3:
            uses = self.uses
            factors = uses.found if uses is not None and uses.want(x.shape, self.weight.shape[1]) else None
            y: Tensor = _LinearPerTask.apply(x, self.weight, self.bias, products, factors)  # type: ignore[no-untyped-call]  # torch has no types for it
            return y
        return functional.linear(x.to(products), self.weight.to(products), self.bias.to(products)).to(x.dtype)


class LayerNorm(SharedLayer):
    """Layer normalisation over the last axis (Ba et al., 2016), gain and offset shared by all tasks.

    Args:
        features: size of the last axis.
        eps: added to the variance.
    """

    def __init__(self, features: int, *, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))

    def forward(self, x: Tensor) -> Tensor:
        """(..., features) -> (..., features); rows must be (K, B, features) for per-task gradients."""
        if self.weight.dim() == 2:
            y: Tensor = _LayerNormPerTask.apply(x, self.weight, self.bias, self.eps)  # type: ignore[no-untyped-call]  # torch has no types for it
            return y
        return functional.layer_norm(x, x.shape[-1:], self.weight, self.bias, self.eps)


class TaskEmbedding(TaskLayer):
    """K vectors of unit length, one per task, appended to the rows of their task.

    Args:
        num_tasks: K.
        features: of a vector.
        generator: of the initial values, uniform on the sphere.
    """

    def __init__(self, num_tasks: int, features: int, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(functional.normalize(torch.randn(num_tasks, features, generator=generator), dim=-1))

    def forward(self, x: Tensor) -> Tensor:
        """(K, B, inputs) -> (K, B, inputs + features); whatever the length of a vector became, it enters with 1."""
        unit = functional.normalize(self.weight, dim=-1)
        return torch.cat([x, unit.unsqueeze(1).expand(-1, x.shape[1], -1)], dim=-1)


class TaskLinear(TaskLayer):
    """K linear maps, one per task: rows (K, B, inputs) of task k meet weight k alone.

    Args:
        num_tasks: K.
        inputs: features in.
        outputs: features out.
        generator: of the initial values, uniform in +-1/sqrt(inputs).
    """

    def __init__(self, num_tasks: int, inputs: int, outputs: int, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        bound = 1 / math.sqrt(inputs)
        self.weight = nn.Parameter(torch.empty(num_tasks, outputs, inputs).uniform_(-bound, bound, generator=generator))
        self.bias = nn.Parameter(torch.empty(num_tasks, outputs).uniform_(-bound, bound, generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        """(K, B, inputs) -> (K, B, outputs)."""
        return torch.baddbmm(self.bias.unsqueeze(1), x, self.weight.mT)


class TaskLayerNorm(TaskLayer):
    """K layer normalisations over the last axis, one per task.

    Args:
        num_tasks: K.
        features: size of the last axis.
        eps: added to the variance.
    """

    def __init__(self, num_tasks: int, features: int, *, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(num_tasks, features))
        self.bias = nn.Parameter(torch.zeros(num_tasks, features))

    def forward(self, x: Tensor) -> Tensor:
        """(K, B, features) -> (K, B, features)."""
        normal = functional.layer_norm(x, x.shape[-1:], eps=self.eps)
        return torch.addcmul(self.bias.unsqueeze(1), normal, self.weight.unsqueeze(1))
