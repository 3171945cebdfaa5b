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
"""The smallest new share of an expert's output that is scaled to unit length; rounding alone leaves 1e-7."""


@register_network("moore")
class MOORE(nn.Module):
    """Experts that are orthonormalised for each row and mixed by a vector of each task, with a head per task.

    Hendawy et al., Multi-task RL with mixture of orthogonal experts, ICLR 2024. Experts h_1, ..., h_n read only the
    state. Gram-Schmidt turns their outputs into an orthonormal basis V(s), and the trunk computes tanh(V(s) w_k). The
    task encoder of the paper is a linear map of the one-hot code without an offset, of which task k uses column k, its
    vector w_k. The paper uses three layers of 400 units in each expert, the last without activation, as does the
    classic base. The paper does not specify the initial w (here uniform on the unit sphere) and dependent experts (see
    `orthonormal`).

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
        rows = torch.cat([observations[..., : self.bare], *extra], dim=-1)
        return orthonormal(torch.stack([expert(rows) for expert in self.experts], dim=-2))

    def forward(self, observations: Tensor, *extra: Tensor) -> Tensor:
        """(K, B, D), in a critic with actions (K, B, A) -> (K, B, width)."""
        weights = self.mixture(observations).unsqueeze(-2)  # (K, 1, 1, n)
        return torch.tanh((weights @ self.basis(observations, *extra)).squeeze(-2))


def _expert(inputs: int, hidden: Hidden, layers: Layers) -> nn.Sequential:
    sizes = [inputs, *[hidden.width] * (hidden.depth - 1)]
    stack: list[nn.Module] = [
        Layer(size, hidden.width, norm=hidden.norm, layers=layers, first=place == 0)
        for place, size in enumerate(sizes[:-1])
    ]
    last = layers.hidden if stack else layers.linear
    return nn.Sequential(*stack, last(sizes[-1], hidden.width))


def orthonormal(vectors: Tensor) -> Tensor:
    """Orthonormalise n vectors (..., n, F) one after another by the modified Gram-Schmidt process.

    The component of a vector that is orthogonal to the previous vectors is scaled to unit length. If it is shorter than
    a thousandth of the vector, it is scaled up by at most a factor of one thousand, so that dependent vectors give zero
    instead of rounding errors, and finite gradients.
    """
    rest = _unit(vectors, _LEAST_LENGTH)
    basis: list[Tensor] = []
    for _ in range(vectors.shape[-2]):
        first, rest = _unit(rest[..., :1, :], _LEAST_PART), rest[..., 1:, :]
        basis.append(first)
        rest = rest - (rest @ first.mT) * first
    return torch.cat(basis, dim=-2)


def _unit(x: Tensor, least: float) -> Tensor:
    """Scale vectors (..., F) to unit length; vectors shorter than `least` remain shorter than 1."""
    return x * x.square().sum(-1, keepdim=True).clamp_min(least**2).rsqrt()
