"""What an agent asks of the hidden layers of a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Hidden:
    """Sizes and kind of the hidden layers."""

    width: int
    """Units of each layer, and of what the trunk gives to the last layer."""
    depth: int
    """Layers; a network says what it counts as one."""
    norm: bool = False
    """Whether layers are normalised, where the network has a place for it."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the products in layers that tasks share, where the network has them."""

    @property
    def products(self) -> torch.dtype | None:
        """`precision` as `mtrl_conic.gradients.Linear` takes it."""
        import torch

        return torch.bfloat16 if self.precision == "bfloat16" else None
