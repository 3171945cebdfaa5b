"""The settings of an agent for the hidden layers of a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Hidden:
    """The sizes and the kind of hidden layers."""

    width: int
    """The number of units of each layer and of the trunk's output."""
    depth: int
    """The number of layers; each network defines what counts as a layer."""
    norm: bool = False
    """Whether layers are normalised, in networks that support it."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """The precision of the products in shared layers, in networks that support it."""

    @property
    def products(self) -> torch.dtype | None:
        """`precision` in the form for `mtrl_conic.gradients.Linear`."""
        import torch

        return torch.bfloat16 if self.precision == "bfloat16" else None
