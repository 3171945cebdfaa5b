"""Soft modularisation: shared modules that a routing network mixes for each task and state."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from mtrl_conic.envs.spec import TaskSpec
from mtrl_conic.errors import UserError
from mtrl_conic.gradients import Linear
from mtrl_conic.networks.hidden import Hidden
from mtrl_conic.networks.registry import register_network

Modules = Annotated[int, Field(ge=1, description="number of modules in each layer")]


@register_network("soft_modularization")
class SoftModularization(nn.Module):
    """Modules and a network that routes between them by task and state; all parameters are shared.

    Yang et al., Multi-task RL with soft modularization, 2020, section 4. With u = f(s) * h(task) the routing logits of
    a layer to the next are p^1 = W(relu(u)) and p^(l+1) = W(relu(V p^l * u)), (n, n) each; module i of the next layer
    reads sum_j softmax_j(p_ij) relu(W_j x_j).

    Args:
        spec: names and sizes of the tasks.
        extra: number of features beside the observation, those of an action.
        hidden: `width` of a module's output and `depth`, the number of layers of modules, at least 2. No layer is
            normalised, and all products are in float32.
        generator: random generator for the initial values.
        modules: n, the number of modules in a layer.

    Raises:
        UserError: `depth` is 1.
    """

    own_output: ClassVar[bool] = False

    def __init__(
        self, spec: TaskSpec, extra: int, hidden: Hidden, *, generator: torch.Generator, modules: Modules = 4
    ) -> None:
        super().__init__()
        if hidden.depth < 2:
            raise UserError(
                f"network=soft_modularization routes between layers: depth must be at least 2, not {hidden.depth}"
            )
        num_tasks = len(spec.task_names)
        self.bare, self.one_hot = spec.bare_dim, spec.one_hot
        self.count = modules
        features, width = self.bare + extra, hidden.width

        def linear(inputs: int, outputs: int) -> Linear:
            return Linear(inputs, outputs, generator=generator)

        self.state = linear(features, width)
        self.task = linear(num_tasks, width)
        self.first = nn.ModuleList(linear(features, width) for _ in range(self.count))
        self.layers = nn.ModuleList(
            nn.ModuleList(linear(width, width) for _ in range(self.count)) for _ in range(hidden.depth - 1)
        )
        self.down = nn.ModuleList(linear(width, self.count**2) for _ in range(hidden.depth - 1))
        self.up = nn.ModuleList(linear(self.count**2, width) for _ in range(hidden.depth - 2))

    def _tasks(self, observations: Tensor) -> Tensor:
        """Return one-hot codes (K, B, K) of the tasks; without codes in the observations, rows are ordered by task."""
        if self.one_hot:
            return observations[..., self.bare :]
        return (
            torch.eye(len(observations), device=observations.device).unsqueeze(1).expand(-1, observations.shape[1], -1)
        )

    def forward(self, observations: Tensor, *extra: Tensor) -> Tensor:
        """(K, B, O), in a critic with actions (K, B, A) -> (K, B, width), the sum over the last layer's modules."""
        state = torch.cat([observations[..., : self.bare], *extra], dim=-1)
        code = self.state(state) * self.task(self._tasks(observations))
        outputs = torch.stack([torch.relu(module(state)) for module in self.first], dim=-2)  # (K, B, n, width)
        logits = code  # the first layer has no routing logits
        for index, layer in enumerate(self.layers):
            mixed = self.up[index - 1](logits) * code if index else code
            logits = self.down[index](torch.relu(mixed))
            routes = logits.unflatten(-1, (self.count, self.count)).softmax(-1)
            assert isinstance(layer, nn.ModuleList)
            inputs = (routes @ outputs).unbind(-2)
            outputs = torch.stack([torch.relu(module(x)) for module, x in zip(layer, inputs, strict=True)], dim=-2)
        return outputs.sum(-2)
