"""A network in two parts: a trunk that all tasks share, and one head per task."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence

from torch import Tensor, nn

Representation = tuple[Tensor, ...]
"""Output of the trunk: one tensor (B, ...), or several from layers at different depths."""
Outputs = Tensor | Sequence[Tensor]
"""One prediction per task: a tensor (K, B, ...), or K tensors if their shapes differ."""

SHARED = "shared"
"""Name of a submodule that all heads use. Its parameters are shared, like those of the trunk."""


class Heads(nn.Module):
    """The task-specific part of a network. Output k depends on copy k of the representation only.

    The copies are a flat list of tensors, so that a backward pass can stop at each task's copy.
    """

    @abstractmethod
    def copies(self, representation: Representation, num_tasks: int) -> list[Tensor]:
        """Return the representation as each task receives it, as views that do not copy memory."""

    @abstractmethod
    def by_task(self, copies: Sequence[Tensor]) -> list[Representation]:
        """Regroup gradients with the shapes of the copies: for each task, one tensor per part of the representation."""

    @abstractmethod
    def forward(self, copies: Sequence[Tensor]) -> Outputs:
        """Compute the outputs of all tasks from the copies."""


class BatchedHeads(Heads):
    """Heads of equal shape on one vector, computed as batched matrix products.

    Args:
        layers: a module (K, B, F) -> (K, B, outputs), built from `TaskLinear` and elementwise functions.
    """

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def copies(self, representation: Representation, num_tasks: int) -> list[Tensor]:
        """Return one view (K, B, F) of the representation."""
        (vector,) = representation
        return [vector.expand(num_tasks, *vector.shape)]

    def by_task(self, copies: Sequence[Tensor]) -> list[Representation]:
        """Return the K slices (B, F)."""
        return [(part,) for part in copies[0].unbind(0)]

    def forward(self, copies: Sequence[Tensor]) -> Tensor:
        """Return outputs (K, B, outputs); the last axis is dropped if it has length 1."""
        made: Tensor = self.layers(copies[0])
        return made.squeeze(-1)


class SeparateHeads(Heads):
    """One module per task, for heads that differ. Head k receives all parts of the representation.

    Args:
        heads: one head per task.
        shared: a module that all heads use, if any. Each head is then called with it as the first argument.
    """

    def __init__(self, heads: Iterable[nn.Module], shared: nn.Module | None = None) -> None:
        super().__init__()
        self.heads = nn.ModuleList(heads)
        self.shared = shared

    def copies(self, representation: Representation, num_tasks: int) -> list[Tensor]:
        """Return the parts of the representation, repeated for each task."""
        return [part.view_as(part) for _ in range(num_tasks) for part in representation]

    def by_task(self, copies: Sequence[Tensor]) -> list[Representation]:
        """Split the list into one list per task."""
        parts = len(copies) // len(self.heads)
        return [tuple(copies[start : start + parts]) for start in range(0, len(copies), parts)]

    def forward(self, copies: Sequence[Tensor]) -> list[Tensor]:
        """Return K outputs."""
        common = () if self.shared is None else (self.shared,)
        return [head(*common, *parts) for head, parts in zip(self.heads, self.by_task(copies), strict=True)]


class TaskNetwork(nn.Module):
    """A shared trunk with K heads.

    Args:
        trunk: maps inputs to a tensor (B, ...) or a tuple of tensors. All its parameters are shared.
        heads: maps the representation to outputs. Each parameter belongs to one task, except those below `SHARED`.
        num_tasks: number of tasks K.
    """

    def __init__(self, trunk: nn.Module, heads: Heads, num_tasks: int) -> None:
        super().__init__()
        self.trunk, self.heads, self.num_tasks = trunk, heads, num_tasks

    def represent(self, inputs: Sequence[Tensor]) -> Representation:
        """Compute the shared representation of a batch."""
        made = self.trunk(*inputs)
        return (made,) if isinstance(made, Tensor) else tuple(made)

    def forward(self, *inputs: Tensor) -> Outputs:
        """Compute the predictions of all tasks."""
        outputs: Outputs = self.heads(self.heads.copies(self.represent(inputs), self.num_tasks))
        return outputs

    def trunk_parameters(self) -> dict[str, nn.Parameter]:
        """Return the parameters of the trunk, by name."""
        return dict(self.trunk.named_parameters("trunk"))

    def branch_parameters(self) -> dict[str, nn.Parameter]:
        """Return the parameters above the representation that all heads share, by name."""
        return {name: p for name, p in self.heads.named_parameters("heads") if name.startswith(f"heads.{SHARED}.")}

    def own_parameters(self) -> dict[str, nn.Parameter]:
        """Return the parameters that belong to a single task, by name."""
        branch = self.branch_parameters()
        return {name: p for name, p in self.heads.named_parameters("heads") if name not in branch}


class SingleTaskNetworks(nn.Module):
    """K networks of one task each, evaluated on the same inputs: the baseline without shared parameters."""

    def __init__(self, networks: Iterable[TaskNetwork]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, *inputs: Tensor) -> list[Tensor]:
        """Return one prediction per task, each from its own network."""
        return [network(*inputs)[0] for network in self.networks]
