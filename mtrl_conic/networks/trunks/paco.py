"""PaCo: the network of every task is composed from parameter sets that all tasks share."""

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
    """Composes the network of each task, including its last layer, from shared parameter sets by a vector of the task.

    Sun et al., PaCo: parameter-compositional multi-task RL, NeurIPS 2022: theta_k = sum_i w_ki phi_i, for n sets phi_i
    of the whole network; the w_k are learned with the rest. The networks read only the state. The paper uses five sets
    and three layers of 400 units on MT10. Here the actor and the critics have separate vectors; the authors' code has
    one for all of them. The initial w is not specified; here it is uniform on the unit sphere, so that a composed
    weight has the variance of each set's weights.

    Args:
        spec: names and sizes of the tasks.
        extra: number of features beside the observation, those of an action.
        hidden: settings of the layers.
        generator: random generator for the initial values.
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
        """Make the last layer, which is composed like the others."""
        return ComposedOutput(self.vectors, self.width, outputs, generator=generator)

    def forward(self, observations: Tensor, *extra: Tensor) -> Tensor:
        """(K, B, D), in a critic with actions (K, B, A) -> (K, B, width)."""
        x, vectors = torch.cat([observations[..., : self.bare], *extra], dim=-1), self.vectors(observations)
        for place, layer in enumerate(self.layers):
            x = layer(x, vectors)
            if self.norms:
                x = self.norms[place](x, vectors)
            x = torch.relu(x)
        return x
