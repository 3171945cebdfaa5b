"""CARE: encoders of the state, mixed by attention to a description of the task."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from mtrl_conic.envs.spec import TaskSpec
from mtrl_conic.gradients import Linear
from mtrl_conic.networks.hidden import Hidden
from mtrl_conic.networks.layers import Layer, Layers, TaskVectors
from mtrl_conic.networks.metadata import read_metadata
from mtrl_conic.networks.registry import register_network

Encoders = Annotated[
    int, Field(ge=1, description="number of encoders of the state, which are mixed by task; 6 for MT10, 10 for MT50")
]
Size = Annotated[
    int,
    Field(ge=1, description="number of units of the encodings of state and task, and of the layers that compute them"),
]
Metadata = Annotated[
    str,
    Field(
        description=(
            "JSON file with a vector per task; names: vectors computed from the names of Meta-World's tasks; empty: "
            "a learned vector per task"
        )
    ),
]


@register_network("care")
class CARE(nn.Module):
    """Encoders of the state, mixed by attention to a vector that describes the task.

    Sodhani et al., Multi-task RL with context-based representations, ICML 2021. A context network turns the vector of
    a task into z_k, an attention network turns z_k into weights a_k that sum to 1, and the following layers read
    (sum_i a_ki f_i(s), z_k). As in the authors' code, the attention passes no gradient to z_k, and encoders, context
    and attention are networks with one hidden layer of 50 units and 50 outputs. Their MT10 command uses 4 encoders; the
    baselines of Meta-World+ use 6, and 10 on MT50. Here the actor and the critics have separate encoders; in the
    authors' code they share those of the critic. The authors' vectors come from a language model applied to task
    descriptions.

    Args:
        spec: names and sizes of the tasks.
        extra: number of features beside the observation, those of an action.
        hidden: settings of the layers after the encoders; the encoders are neither normalised nor rounded.
        generator: random generator for the initial values.
        encoders: number of encoders of the state.
        size: size of the encodings.
        metadata: source of the vectors, see `read_metadata`; learned vectors start on the unit sphere.

    Raises:
        UserError: metadata that cannot be read, or lacks a task.
    """

    own_output: ClassVar[bool] = False
    metadata: Tensor | None

    def __init__(
        self,
        spec: TaskSpec,
        extra: int,
        hidden: Hidden,
        *,
        generator: torch.Generator,
        encoders: Encoders = 6,
        size: Size = 50,
        metadata: Metadata = "",
    ) -> None:
        super().__init__()
        self.bare = spec.bare_dim
        self.vectors: TaskVectors | None = None
        self.register_buffer("metadata", read_metadata(metadata, spec.task_names) if metadata else None)
        if self.metadata is None:
            self.vectors = TaskVectors(len(spec.task_names), size, generator=generator)
        described = size if self.metadata is None else self.metadata.shape[-1]

        def network(inputs: int, outputs: int) -> nn.Sequential:
            first, last = (Linear(*sizes, generator=generator) for sizes in ((inputs, size), (size, outputs)))
            return nn.Sequential(first, nn.ReLU(), last)

        self.context = network(described, size)
        self.attention = network(size, encoders)
        # One product for the first layers of all encoders.
        self.first = Linear(self.bare + extra, encoders * size, generator=generator)
        self.second = nn.ModuleList(Linear(size, size, generator=generator) for _ in range(encoders))
        layers = Layers(None, generator, hidden.products)
        sizes = [2 * size, *[hidden.width] * (hidden.depth - 1)]
        self.layers = nn.Sequential(
            *(
                Layer(inputs, hidden.width, norm=hidden.norm, layers=layers, first=place == 0)
                for place, inputs in enumerate(sizes)
            )
        )

    def mixture(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """(K, B, D) -> the code of each task (K, 1, size), and its weights for the encoders (K, 1, n)."""
        if self.vectors is not None:
            described = self.vectors(observations)
        else:
            assert self.metadata is not None
            described = self.metadata.unsqueeze(1)
        code: Tensor = self.context(described)
        return code, self.attention(code.detach()).softmax(-1)

    def encodings(self, rows: Tensor) -> Tensor:
        """States, in a critic with actions, (K, B, inputs) -> the output of each encoder, (K, n, B, size)."""
        parts = torch.relu(self.first(rows)).chunk(len(self.second), dim=-1)
        return torch.stack([layer(part) for layer, part in zip(self.second, parts, strict=True)], dim=1)

    def forward(self, observations: Tensor, *extra: Tensor) -> Tensor:
        """(K, B, D), in a critic with actions (K, B, A) -> (K, B, width)."""
        rows = torch.cat([observations[..., : self.bare], *extra], dim=-1)
        code, weights = self.mixture(observations)
        encodings = self.encodings(rows)
        mixed = (weights @ encodings.flatten(2)).view(encodings[:, 0].shape)
        y: Tensor = self.layers(torch.cat([mixed, code.expand(-1, rows.shape[1], -1)], dim=-1))
        return y
