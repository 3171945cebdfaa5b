"""Per-task gradients of many parameters in a few blocks, each of which takes one product."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from mtrl_conic.gradients.factors import Part
from mtrl_conic.linalg.gram import combine, sum_of_gramians

_SMALL = 8192
"""The number of columns below which the gradients of a parameter are joined with those of others."""


class Blocks:
    """Per-task gradients of parameters of shapes S: (K, *S) each, or factors of these.

    A large parameter is a separate block. Small ones are concatenated, because a call costs more than their products.
    """

    def __init__(self, parts: Mapping[str, Part]) -> None:
        self._factors = {name: part for name, part in parts.items() if not isinstance(part, Tensor)}
        self._whole = {name: part for name, part in parts.items() if isinstance(part, Tensor)}
        small = [name for name, part in self._whole.items() if part[0].numel() < _SMALL]
        groups = [[name] for name in self._whole if name not in small] + ([small] if small else [])
        self._joined = [(names, _side_by_side([self._whole[name] for name in names])) for names in groups]

    def gramians(self) -> Iterator[Tensor]:
        """Return Gram matrices (K, K) in float64: one of all blocks, and one of each weight with factors."""
        if self._joined:
            yield sum_of_gramians([joined for _, joined in self._joined])
        for factors in self._factors.values():
            yield factors.gramian()

    def combine(self, weights: Tensor) -> dict[str, Tensor]:
        """Return, by name of a parameter, the weighted sum of its K gradients; `weights` is (K,)."""
        combined = {name: factors.combine(weights) for name, factors in self._factors.items()}
        for names, joined in self._joined:
            combined |= split(combine(weights, joined), {name: self._whole[name] for name in names})
        return combined


def _side_by_side(parts: list[Tensor]) -> Tensor:
    flat = [rows(part) for part in parts]
    return flat[0] if len(flat) == 1 else torch.cat(flat, dim=1)


def rows(part: Tensor) -> Tensor:
    """Return the gradients (K, *S) of a parameter, also of a scalar, as rows (K, P)."""
    return part.reshape(len(part), part[0].numel())


def split(flat: Tensor, gradients: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Split a vector (P,) of concatenated parameters into their shapes, given their (K, *S) gradients."""
    parts = flat.split([block[0].numel() for block in gradients.values()])
    return {name: part.view_as(block[0]) for (name, block), part in zip(gradients.items(), parts, strict=True)}
