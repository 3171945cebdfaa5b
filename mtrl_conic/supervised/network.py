"""A network in two parts: a trunk that all tasks share, and a head per task."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence

from torch import Tensor, nn

Representation = tuple[Tensor, ...]
"""What the trunk hands to the heads: one tensor (B, ...) or several, from layers at several depths."""
Outputs = Tensor | Sequence[Tensor]
"""A prediction for each task: (K, B, ...), or K tensors where their shapes differ."""

SHARED = "shared"
"""A submodule of this name inside heads is used by all of them: its parameters are shared like the trunk's."""


class Heads(nn.Module):
    """The private part of a network: output k depends on copy k of the representation alone.

    Copies are a flat list of tensors, so that gradients can stop at them task by task.
    """

    @abstractmethod
    def copies(self, representation: Representation, num_tasks: int) -> list[Tensor]:
        """The representation as each task sees it. No memory is copied."""

    @abstractmethod
    def by_task(self, copies: Sequence[Tensor]) -> list[Representation]:
        """Gradients, shaped like the copies -> for each task a tensor per part of the representation."""

    @abstractmethod
    def forward(self, copies: Sequence[Tensor]) -> Outputs:
        """Copies -> outputs."""


class BatchedHeads(Heads):
    """Heads of one shape on one vector, all in one product.

    Args:
        layers: (K, B, F) -> (K, B, outputs), built from `TaskLinear` and functions.
    """

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def copies(self, representation: Representation, num_tasks: int) -> list[Tensor]:
        """One (K, B, F) view."""
        (vector,) = representation
        return [vector.expand(num_tasks, *vector.shape)]

    def by_task(self, copies: Sequence[Tensor]) -> list[Representation]:
        """The slices."""
        return [(part,) for part in copies[0].unbind(0)]

    def forward(self, copies: Sequence[Tensor]) -> Tensor:
        """(K, B, outputs), without its last axis where that is one."""
        made: Tensor = self.layers(copies[0])
        return made.squeeze(-1)


class SeparateHeads(Heads):
    """A module per task, for heads that differ: head k takes all parts of the representation.

    Args:
        heads: heads of the tasks.
        shared: what the heads take from each other, if anything: head k is then called with it first.
    """

    def __init__(self, heads: Iterable[nn.Module], shared: nn.Module | None = None) -> None:
        super().__init__()
        self.heads = nn.ModuleList(heads)
        self.shared = shared

    def copies(self, representation: Representation, num_tasks: int) -> list[Tensor]:
        """The parts, task after task."""
        return [part.view_as(part) for _ in range(num_tasks) for part in representation]

    def by_task(self, copies: Sequence[Tensor]) -> list[Representation]:
        """The list in K parts."""
        parts = len(copies) // len(self.heads)
        return [tuple(copies[start : start + parts]) for start in range(0, len(copies), parts)]

    def forward(self, copies: Sequence[Tensor]) -> list[Tensor]:
        """K outputs."""
        common = () if self.shared is None else (self.shared,)
        return [head(*common, *parts) for head, parts in zip(self.heads, self.by_task(copies), strict=True)]


class TaskNetwork(nn.Module):
    """A shared trunk under K heads.

    Args:
        trunk: inputs -> tensor (B, ...), or a tuple of such. All its parameters are shared.
        heads: representation -> outputs. Its parameters belong to one task each, but for `SHARED`.
        num_tasks: K.
    """

    def __init__(self, trunk: nn.Module, heads: Heads, num_tasks: int) -> None:
        super().__init__()
        self.trunk, self.heads, self.num_tasks = trunk, heads, num_tasks

    def represent(self, inputs: Sequence[Tensor]) -> Representation:
        """The shared representation of a batch."""
        made = self.trunk(*inputs)
        return (made,) if isinstance(made, Tensor) else tuple(made)

    def forward(self, *inputs: Tensor) -> Outputs:
        """Predictions of all tasks."""
        outputs: Outputs = self.heads(self.heads.copies(self.represent(inputs), self.num_tasks))
        return outputs

    def trunk_parameters(self) -> dict[str, nn.Parameter]:
        """Shared, below the representation."""
        return dict(self.trunk.named_parameters("trunk"))

    def branch_parameters(self) -> dict[str, nn.Parameter]:
        """Shared, above the representation."""
        return {name: p for name, p in self.heads.named_parameters("heads") if name.startswith(f"heads.{SHARED}.")}

    def own_parameters(self) -> dict[str, nn.Parameter]:
        """Those that belong to one task each."""
        branch = self.branch_parameters()
        return {name: p for name, p in self.heads.named_parameters("heads") if name not in branch}


class SingleTaskNetworks(nn.Module):
    """K networks of one task each, side by side: the baseline without any sharing."""

    def __init__(self, networks: Iterable[TaskNetwork]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, *inputs: Tensor) -> list[Tensor]:
        """Predictions, each from a network of its own."""
        return [network(*inputs)[0] for network in self.networks]
