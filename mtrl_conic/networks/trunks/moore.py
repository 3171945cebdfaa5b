"""MOORE: experts whose representations of a row are made orthonormal, mixed by each task in its own way."""

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
"""Of an expert that is scaled to unit length."""
_LEAST_PART = 1e-3
"""Of an expert's length that must be new to be scaled to unit length: rounding alone leaves 1e-7 of it."""


@register_network("moore")
class MOORE(nn.Module):
    """Experts made orthonormal for each row, mixed by a vector of each task's own, with a head per task.

    Hendawy et al., Multi-task RL with mixture of orthogonal experts, ICLR 2024. Experts h_1, ..., h_n see the state
    alone; Gram-Schmidt turns their values into an orthonormal basis V(s), and the trunk is tanh(V(s) w_k). Their task
    encoder is a linear map of the one-hot without an offset, of which task k reads column k alone: w_k, the task's own.
    Three layers of 400 in each expert, the last without activation, are the paper's, and the classic base. What it
    leaves open: how w starts (here uniform on the unit sphere), and dependent experts (see `orthonormal`).

    Args:
        spec: of the tasks.
        extra: features beside the observation, an action's.
        hidden: what the layers of each expert are to be; the last has no normalisation.
        generator: of the initial values.
        experts: n.

    Raises:
        UserError: more experts than there can be directions.
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
        """(K, B, D) and, say, actions (K, B, A) -> orthonormal vectors of each row, (K, B, n, width)."""
        rows = torch.cat([observations[..., : self.bare], *extra], dim=-1)
        return orthonormal(torch.stack([expert(rows) for expert in self.experts], dim=-2))

    def forward(self, observations: Tensor, *extra: Tensor) -> Tensor:
        """(K, B, D) and, say, actions (K, B, A) -> (K, B, width)."""
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
    """n vectors (..., n, F) made orthonormal one after another, by the modified process of Gram and Schmidt.

    What a vector adds to those before it is scaled to unit length. Where that is less than a thousandth of the vector,
    it is scaled up a thousandfold and no more: dependent vectors give zero in the place of rounding errors, and finite
    gradients.
    """
    rest = _unit(vectors, _LEAST_LENGTH)
    basis: list[Tensor] = []
    for _ in range(vectors.shape[-2]):
        first, rest = _unit(rest[..., :1, :], _LEAST_PART), rest[..., 1:, :]
        basis.append(first)
        rest = rest - (rest @ first.mT) * first
    return torch.cat(basis, dim=-2)


def _unit(x: Tensor, least: float) -> Tensor:
    """Vectors (..., F) of unit length; those shorter than `least` stay shorter than 1."""
    return x * x.square().sum(-1, keepdim=True).clamp_min(least**2).rsqrt()
