"""Numbers that went bad: found before they take the place of good ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

REMEDY = "lower the learning rate, or bring the task's rewards or losses to a smaller scale"
TAKE_UP = "the last checkpoint is kept, and --allow-changes goes on from it with other settings"


def unsound(state: Any, name: str = "") -> str:
    """The name of the first tensor in a state that holds a number which is not finite; empty where none does.

    Args:
        state: nested mappings and sequences.
        name: of the state.
    """
    if isinstance(state, torch.Tensor):
        return name if state.is_floating_point() and not state.isfinite().all() else ""
    items = state.items() if isinstance(state, Mapping) else enumerate(state) if isinstance(state, list | tuple) else ()
    return next(filter(None, (unsound(value, f"{name}.{key}".lstrip(".")) for key, value in items)), "")
