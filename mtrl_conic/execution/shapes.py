"""The shapes of an update's inputs, for which it is compiled or recorded."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from torch import Tensor
from torch.utils import _pytree as pytree

Shapes = tuple[Hashable, ...]
"""Structure, shapes and types of nested tuples and dicts of tensors."""

MOST_SHAPES = 2
"""The number of shapes for which a function is compiled or recorded: that of most batches, and one for the last."""


def shapes(inputs: tuple[Any, ...]) -> Shapes:
    """Return what a function that is compiled or recorded for inputs depends on, except for their values."""
    leaves, structure = pytree.tree_flatten(inputs)
    return structure, *((leaf.shape, leaf.dtype) if isinstance(leaf, Tensor) else leaf for leaf in leaves)
