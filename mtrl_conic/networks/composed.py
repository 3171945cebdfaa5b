"""Layers whose parameters are composed for each task from sets that all tasks share."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mtrl_conic.gradients.factors import Composition, Uses
from mtrl_conic.gradients.layers import SharedLayer, keep_signature, rows_of_tasks
from mtrl_conic.networks.layers import TaskVectors


class _Compose(torch.autograd.Function):
    """sum_i w[k, i] sets[i] for vectors w (K, n) and a (K, n, *S) view of one block of sets -> (K, *S).

    The gradient of the view is that of each task, w[k, i] times the gradient of its composition. If `uses` is given,
    the backward pass stores both there and returns no gradient.
    """

    @staticmethod
    @keep_signature
    def forward(vectors: Tensor, sets: Tensor, uses: Uses | None) -> Tensor:
        return composed(vectors, sets[0])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Uses | None], output: Tensor) -> None:
        vectors, sets, ctx.uses = inputs
        ctx.save_for_backward(vectors, sets)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        vectors, sets = ctx.saved_tensors
        of_vectors = of_sets = None
        gradient = grad_outputs[0].flatten(1)
        if ctx.needs_input_grad[0]:
            of_vectors = gradient @ sets[0].flatten(1).mT
        if ctx.needs_input_grad[1]:
            found = Composition(grad_outputs[0], vectors.detach())
            if ctx.uses is None:
                of_sets = found.product()
            else:
                ctx.uses.found.append(found)
        return of_vectors, of_sets, None


def composed(vectors: Tensor, sets: Tensor) -> Tensor:
    """sum_i w[k, i] sets[i] for vectors w (K, n) and sets (n, *S) -> (K, *S)."""
    return (vectors @ sets.flatten(1)).view(-1, *sets.shape[1:])


class _Composed(SharedLayer):
    """The base of composed layers: `weight` and `bias` have a leading axis of n sets."""

    leaves_factors = True
    weight: nn.Parameter
    bias: nn.Parameter

    def parameters_of_tasks(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Return the weight and the bias of each task, (K, *S), for vectors (K, 1, n)."""
        flat = vectors.squeeze(1)
        if self.bias.dim() == 3:  # a view of the sets for each task
            pairs = ((self.weight, self.uses), (self.bias, None))
            weight, bias = (_Compose.apply(flat, sets, uses) for sets, uses in pairs)  # type: ignore[no-untyped-call]  # torch has no types for it
            return weight, bias
        return composed(flat, self.weight), composed(flat, self.bias)


class ComposedLinear(_Composed):
    """y = x W_k + b_k for task k, with W_k = sum_i w_ki W_i and b_k likewise.

    A composition costs as much as n rows; the products of the rows cost as much as in one linear layer.

    Args:
        sets: n.
        inputs: number of input features.
        outputs: number of output features.
        generator: random generator for the initial values, which are uniform in +-1/sqrt(inputs) for each set.
        products: as in `mtrl_conic.gradients.Linear`.
    """

    def __init__(
        self,
        sets: int,
        inputs: int,
        outputs: int,
        *,
        generator: torch.Generator,
        products: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.products = products
        bound = 1 / math.sqrt(inputs)
        # In the layout of the products of its gradient, so that nothing has to be transposed.
        self.weight = nn.Parameter(torch.empty(sets, inputs, outputs).uniform_(-bound, bound, generator=generator))
        self.bias = nn.Parameter(torch.empty(sets, outputs).uniform_(-bound, bound, generator=generator))

    def forward(self, x: Tensor, vectors: Tensor) -> Tensor:
        """(K, B, inputs) and vectors (K, 1, n) -> (K, B, outputs)."""
        products = self.products or x.dtype
        weight, bias = self.parameters_of_tasks(vectors)
        rows = rows_of_tasks(self, x, len(weight)).to(products)
        return torch.baddbmm(bias.unsqueeze(1).to(products), rows, weight.to(products)).to(x.dtype)


class ComposedLayerNorm(_Composed):
    """Layer normalisation over the last axis, with gain 1 + sum_i w_ki g_i and offset sum_i w_ki o_i for task k.

    Args:
        sets: n.
        features: size of the last axis.
        eps: added to the variance.
    """

    def __init__(self, sets: int, features: int, *, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.zeros(sets, features))
        self.bias = nn.Parameter(torch.zeros(sets, features))

    def forward(self, x: Tensor, vectors: Tensor) -> Tensor:
        """(K, B, features) and vectors (K, 1, n) -> (K, B, features)."""
        gain, offset = self.parameters_of_tasks(vectors)
        normal = functional.layer_norm(rows_of_tasks(self, x, len(gain)), x.shape[-1:], eps=self.eps)
        return torch.addcmul(normal + offset.unsqueeze(1), normal, gain.unsqueeze(1))


class ComposedOutput(nn.Module):
    """A last layer that is composed with the vectors of a trunk.

    Args:
        vectors: vectors of the trunk.
        inputs: number of input features.
        outputs: number of output features.
        generator: random generator for the initial values.
    """

    def __init__(self, vectors: TaskVectors, inputs: int, outputs: int, *, generator: torch.Generator) -> None:
        super().__init__()
        self.vectors = vectors
        self.linear = ComposedLinear(vectors.weight.shape[1], inputs, outputs, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        """(K, B, inputs) -> (K, B, outputs)."""
        y: Tensor = self.linear(x, self.vectors(x))
        return y
