"""Layers that compute the gradient of every task in one backward pass.

Each row of a multi-task batch belongs to one task, so computing the K gradients of a shared weight separately takes as
many operations as computing their sum. Rows have the shape (K, B, features). The layer receives a shared parameter of
shape S as a (K, *S) view of itself (`expand`, no copy), and its backward pass fills a (K, *S) gradient. Without such a
view the layers are ordinary ones.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from mtrl_conic.errors import UserError
from mtrl_conic.gradients.factors import Factors, Uses


def keep_signature(forward: Callable[..., Any]) -> Callable[..., Any]:
    """Cache the signature of an autograd function's `forward`, which `apply` would compute at every call."""
    forward.__signature__ = inspect.signature(forward)  # type: ignore[attr-defined]
    return forward


class _LinearPerTask(torch.autograd.Function):
    """y = x W^T + b for rows (K, B, in) and a (K, out, in) view of one W, with one product forward and K for dW.

    The factors of the products are rounded to `products`; x, y and all gradients keep the type of x. If `uses` is
    given, the backward pass stores the factors of dW there and computes no dW.
    """

    @staticmethod
    @keep_signature
    def forward(x: Tensor, weight: Tensor, bias: Tensor, products: torch.dtype, uses: Uses | None) -> Tensor:
        y: Tensor = functional.linear(*(t.to(products) for t in (x, weight[0], bias[0])))
        # The output is not a view, so that an activation may overwrite it in place.
        y = torch.ops.aten._unsafe_view(y, y.shape)
        return y.to(x.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, weight, _, ctx.products, ctx.uses = inputs
        ctx.save_for_backward(x, weight)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None, None]:
        (dy,) = grad_outputs
        x, weight = ctx.saved_tensors
        rounded, rows, dx = dy.to(ctx.products), x.detach().to(ctx.products), None
        if ctx.needs_input_grad[0]:
            dx = (rounded.flatten(0, 1) @ weight[0].to(ctx.products)).view(x.shape).to(dy.dtype)
        offset = dy.sum(-2) if ctx.needs_input_grad[2] else None
        if not ctx.needs_input_grad[1]:
            return dx, None, offset, None, None
        if ctx.uses is None:
            return dx, (rounded.mT @ rows).to(dy.dtype), offset, None, None
        ctx.uses.found.append(Factors(rounded, rows))
        return dx, None, offset, None, None


class _LayerNormPerTask(torch.autograd.Function):
    """Layer normalisation of rows (K, B, F) with (K, F) views of one gain and one offset."""

    @staticmethod
    @keep_signature
    def forward(x: Tensor, gain: Tensor, offset: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        return torch.native_layer_norm(x, x.shape[-1:], gain[0], offset[0], eps)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
        x, gain, _, _ = inputs
        _, mean, rstd = output
        ctx.mark_non_differentiable(mean, rstd)
        ctx.save_for_backward(x, mean, rstd, gain)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, Tensor, Tensor, None]:
        dy = grad_outputs[0]
        x, mean, rstd, gain = ctx.saved_tensors
        dx, _, _ = torch.ops.aten.native_layer_norm_backward(
            dy, x, x.shape[-1:], mean, rstd, gain[0], gain[0], [True, False, False]
        )
        normal = (x - mean).mul_(rstd)
        return dx, normal.mul_(dy).sum(-2), dy.sum(-2), None


class SharedLayer(nn.Module):
    """A layer whose parameters all tasks share; it also accepts them with a leading task axis."""

    leaves_factors: ClassVar[bool] = False
    """Whether the backward pass of the layer supports `uses`."""
    uses: Uses | None = None
    """The place where a backward pass stores the factors of the weight's K gradients, if they are wanted."""


class TaskLayer(nn.Module):
    """A layer whose parameters have a leading task axis: row k belongs to task k alone."""


def rows_of_tasks(layer: nn.Module, x: Tensor, num_tasks: int) -> Tensor:
    """Reshape (K, ..., F) to (K, B, F).

    Raises:
        UserError: x does not have rows of each task.
    """
    if x.dim() < 3 or len(x) != num_tasks:
        raise UserError(
            f"{type(layer).__name__} was given {tuple(x.shape)} instead of rows of each task, ({num_tasks}, B, "
            "features): for losses of one batch that all tasks share take mtrl_conic.gradients.backward"
        )
    return x if x.dim() == 3 else x.flatten(1, -2)


class Linear(SharedLayer):
    """y = x W^T + b, shared by all tasks.

    Args:
        inputs: number of features of x (..., inputs).
        outputs: number of features of y (..., outputs).
        generator: random generator for the initial values, uniform in +-1/sqrt(inputs) as in `torch.nn.Linear`.
        products: type that the factors of the products are rounded to; None: the type of x. Weights, gradients, inputs
            and outputs keep their types.
    """

    leaves_factors = True

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
        bound = 1 / math.sqrt(inputs)
        self.weight = nn.Parameter(torch.empty(outputs, inputs).uniform_(-bound, bound, generator=generator))
        self.bias = nn.Parameter(torch.empty(outputs).uniform_(-bound, bound, generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs); for per-task gradients the first axis is that of the tasks."""
        products = self.products or x.dtype
        if self.weight.dim() == 3:
            rows, uses = rows_of_tasks(self, x, len(self.weight)), self.uses
            if uses is not None and not uses.want(rows.shape, self.weight.shape[1]):
                uses = None
            y: Tensor = _LinearPerTask.apply(rows, self.weight, self.bias, products, uses)  # type: ignore[no-untyped-call]  # torch has no types for it
            return y if x.dim() == 3 else y.unflatten(1, x.shape[1:-1])
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
        """(..., features) -> (..., features); for per-task gradients the first axis is that of the tasks."""
        if self.weight.dim() == 2:
            rows = rows_of_tasks(self, x, len(self.weight))
            y: Tensor = _LayerNormPerTask.apply(rows, self.weight, self.bias, self.eps)[0]  # type: ignore[no-untyped-call]  # torch has no types for it
            return y if x.dim() == 3 else y.unflatten(1, x.shape[1:-1])
        return functional.layer_norm(x, x.shape[-1:], self.weight, self.bias, self.eps)


class TaskEmbedding(TaskLayer):
    """K vectors of unit length, one per task, appended to the rows of their task.

    Args:
        num_tasks: K.
        features: number of features of a vector.
        generator: random generator for the initial values, uniform on the sphere.
    """

    def __init__(self, num_tasks: int, features: int, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(functional.normalize(torch.randn(num_tasks, features, generator=generator), dim=-1))

    def forward(self, x: Tensor) -> Tensor:
        """(K, ..., inputs) -> (K, ..., inputs + features); the vectors are normalised to unit length."""
        rows, unit = rows_of_tasks(self, x, len(self.weight)), functional.normalize(self.weight, dim=-1)
        y = torch.cat([rows, unit.unsqueeze(1).expand(-1, rows.shape[1], -1)], dim=-1)
        return y if x.dim() == 3 else y.unflatten(1, x.shape[1:-1])


class TaskLinear(TaskLayer):
    """K linear maps, one per task: the rows (B, inputs) of task k are multiplied by weight k.

    Args:
        num_tasks: K.
        inputs: number of input features.
        outputs: number of output features.
        generator: random generator for the initial values, uniform in +-1/sqrt(inputs).
    """

    def __init__(self, num_tasks: int, inputs: int, outputs: int, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        bound = 1 / math.sqrt(inputs)
        self.weight = nn.Parameter(torch.empty(num_tasks, outputs, inputs).uniform_(-bound, bound, generator=generator))
        self.bias = nn.Parameter(torch.empty(num_tasks, outputs).uniform_(-bound, bound, generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        """(K, ..., inputs) -> (K, ..., outputs)."""
        y = torch.baddbmm(self.bias.unsqueeze(1), rows_of_tasks(self, x, len(self.weight)), self.weight.mT)
        return y if x.dim() == 3 else y.unflatten(1, x.shape[1:-1])


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
        """(K, ..., features) -> (K, ..., features)."""
        normal = functional.layer_norm(rows_of_tasks(self, x, len(self.weight)), x.shape[-1:], eps=self.eps)
        return torch.addcmul(self.bias.unsqueeze(1), normal, self.weight.unsqueeze(1)).view_as(x)
