"""MOORE: experts with orthonormal representations of each row, mixed separately by each task."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from mtrl_conic.envs.spec import TaskSpec
from mtrl_conic.errors import UserError
from mtrl_conic.networks.hidden import Hidden
from mtrl_conic.networks.layers import Layer, Layers, TaskVectors
from mtrl_conic.networks.registry import register_network

Experts = Annotated[int, Field(ge=1, description="number of experts; the paper uses 4 on MT10 and 6 on MT50")]

_LEAST_LENGTH = 1e-4
"""The smallest length of an expert's output that is scaled to unit length."""
_LEAST_PART = 1e-3
"""The smallest orthogonal share of an expert's output that is scaled to unit length; rounding alone gives 1e-7."""


@register_network("moore")
class MOORE(nn.Module):
    """Experts that are orthonormalised for each row and mixed by a vector of each task, with a head per task.

    Hendawy et al., Multi-task RL with mixture of orthogonal experts, ICLR 2024. Experts h_1, ..., h_n read only the
    state. Gram-Schmidt turns their outputs into an orthonormal basis V(s), and the trunk computes tanh(V(s) w_k). The
    task encoder of the paper is a linear map of the one-hot code without an offset, of which task k uses column k, its
    vector w_k. The paper uses three layers of 400 units in each expert, the last without activation, as does the
    classic base. The paper specifies neither the initial w (here uniform on the unit sphere) nor the treatment of
    dependent experts (see `orthonormal`).

    Args:
        spec: names and sizes of the tasks.
        extra: number of features beside the observation, those of an action.
        hidden: settings of the layers of each expert; the last has no normalisation.
        generator: random generator for the initial values.
        experts: n.

    Raises:
        UserError: there are more experts than dimensions.
    """

    own_output: ClassVar[bool] = True

    def __init__(
        self, spec: TaskSpec, extra: int, hidden: Hidden, *, generator: torch.Generator, experts: Experts = 4
    ) -> None:
        super().__init__()
        if experts > hidden.width:
            raise UserError(f"network=moore: experts={experts} cannot be orthogonal in width={hidden.width}")
        self.bare = spec.bare_dim
        layers = Layers(None, generator, hidden.products)
        self.experts = nn.ModuleList(_expert(self.bare + extra, hidden, layers) for _ in range(experts))
        self.mixture = TaskVectors(len(spec.task_names), experts, generator=generator)

    def basis(self, observations: Tensor, *extra: Tensor) -> Tensor:
        """(K, B, D), in a critic with actions (K, B, A) -> orthonormal vectors of each row, (K, B, n, width)."""
        return orthonormal(self._outputs(observations, *extra))

    def forward(self, observations: Tensor, *extra: Tensor) -> Tensor:
        """(K, B, D), in a critic with actions (K, B, A) -> (K, B, width)."""
        outputs = self._outputs(observations, *extra)
        # w_k (T V) is (w_k T) V: the basis itself, n vectors for each row, is never stored.
        weights = self.mixture(observations).unsqueeze(-2)  # (K, 1, 1, n)
        mixed = weights.double() @ orthonormal_coordinates(inner_products(outputs))
        return torch.tanh((mixed.to(outputs.dtype) @ outputs).squeeze(-2))

    def _outputs(self, observations: Tensor, *extra: Tensor) -> Tensor:
        """Return the outputs of the experts, (K, B, n, width)."""
        rows = torch.cat([observations[..., : self.bare], *extra], dim=-1)
        return torch.stack([expert(rows) for expert in self.experts], dim=-2)


def _expert(inputs: int, hidden: Hidden, layers: Layers) -> nn.Sequential:
    sizes = [inputs, *[hidden.width] * (hidden.depth - 1)]
    stack: list[nn.Module] = [
        Layer(size, hidden.width, norm=hidden.norm, layers=layers, first=place == 0)
        for place, size in enumerate(sizes[:-1])
    ]
    last = layers.hidden if stack else layers.linear
    return nn.Sequential(*stack, last(sizes[-1], hidden.width))


def orthonormal(vectors: Tensor) -> Tensor:
    """Orthonormalise n vectors (..., n, F) one after another; see `orthonormal_coordinates`."""
    return orthonormal_coordinates(inner_products(vectors)).to(vectors.dtype) @ vectors


def inner_products(vectors: Tensor) -> Tensor:
    """Return the Gram matrix (..., n, n) of n vectors (..., n, F) in float64.

    Float64, because the orthogonal part of two nearly parallel vectors is a small difference of its entries.
    """
    exact = vectors.double()
    return exact @ exact.mT


def orthonormal_coordinates(gramian: Tensor) -> Tensor:
    """Return T (..., n, n), so that the rows of T V are orthonormal, for the Gram matrix of n vectors V.

    This is the modified Gram-Schmidt process with vectors represented by their coordinates in V. The component of a
    vector that is orthogonal to the previous vectors is scaled to unit length. If it is shorter than a thousandth of
    the vector, it is scaled up by at most a factor of one thousand, so that dependent vectors give zero instead of
    rounding errors, and finite gradients.
    """
    inverse = _inverse_length(gramian.diagonal(dim1=-2, dim2=-1), _LEAST_LENGTH)
    cosines = inverse.unsqueeze(-1) * gramian * inverse.unsqueeze(-2)
    rest = torch.eye(gramian.shape[-1], dtype=gramian.dtype, device=gramian.device).expand_as(gramian)
    basis: list[Tensor] = []
    for _ in range(gramian.shape[-1]):
        first, rest = rest[..., :1, :], rest[..., 1:, :]
        first = first * _inverse_length((first @ cosines * first).sum(-1, keepdim=True), _LEAST_PART)
        basis.append(first)
        rest = rest - (rest @ cosines @ first.mT) * first
    return torch.cat(basis, dim=-2) * inverse.unsqueeze(-2)


def _inverse_length(square: Tensor, least: float) -> Tensor:
    """Return the factors that scale vectors with these squared lengths to unit length, at most 1 / least."""
    return square.clamp_min(least**2).rsqrt()
