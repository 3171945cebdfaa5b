"""PaCo: every task's network is composed, parameter by parameter, from sets that all tasks share."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from mtrl_conic.envs.spec import TaskSpec
from mtrl_conic.networks.composed import ComposedLayerNorm, ComposedLinear, ComposedOutput
from mtrl_conic.networks.hidden import Hidden
from mtrl_conic.networks.layers import TaskVectors
from mtrl_conic.networks.registry import register_network

Sets = Annotated[int, Field(ge=1, description="number of parameter sets that each task's network is composed of")]


@register_network("paco")
class PaCo(nn.Module):
    """Each task's network, last layer included, is composed from shared sets of parameters by a vector of its own.

    Sun et al., PaCo: parameter-compositional multi-task RL, NeurIPS 2022: theta_k = sum_i w_ki phi_i, for n sets phi_i
    of the whole network and w_k learned with the rest. Networks see the state alone. Five sets and three layers of 400
    are the paper's on MT10. Actor and critics have vectors of their own here, where the authors' code has one for all
    of them. How w starts is not stated: here uniform on the unit sphere, so that a composed weight has the variance of
    each set's.

    Args:
        spec: of the tasks.
        extra: features beside the observation, an action's.
        hidden: what the layers are to be.
        generator: of the initial values.
        sets: n.
    """

    own_output: ClassVar[bool] = False

    def __init__(
        self, spec: TaskSpec, extra: int, hidden: Hidden, *, generator: torch.Generator, sets: Sets = 5
    ) -> None:
        super().__init__()
        self.bare, self.width = spec.bare_dim, hidden.width
        self.vectors = TaskVectors(len(spec.task_names), sets, generator=generator)
        self.layers = nn.ModuleList()
        self.norms = nn.ModuleList()
        for place in range(hidden.depth):
            inputs, products = (hidden.width, hidden.products) if place else (self.bare + extra, None)
            self.layers.append(ComposedLinear(sets, inputs, hidden.width, generator=generator, products=products))
            if hidden.norm:
                self.norms.append(ComposedLayerNorm(sets, hidden.width))

    def make_output(self, outputs: int, generator: torch.Generator) -> ComposedOutput:
        """The last layer, composed as the others are."""
        return ComposedOutput(self.vectors, self.width, outputs, generator=generator)

    def forward(self, observations: Tensor, *extra: Tensor) -> Tensor:
        """(K, B, D) and, say, actions (K, B, A) -> (K, B, width)."""
        x, vectors = torch.cat([observations[..., : self.bare], *extra], dim=-1), self.vectors(observations)
        for place, layer in enumerate(self.layers):
            x = layer(x, vectors)
            if self.norms:
                x = self.norms[place](x, vectors)
            x = torch.relu(x)
        return x
