"""Detection of numbers that are not finite before they overwrite good ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

REMEDY = "lower the learning rate, or bring the task's rewards or losses to a smaller scale"
RESUME = "the last checkpoint is kept, and --allow-changes resumes it with other settings"


def unsound(state: Any, name: str = "") -> str:
    """Return the name of the first tensor in a state with a number that is not finite; empty if there is none.

    Args:
        state: nested mappings and sequences of tensors.
        name: name of the state.
    """
    if isinstance(state, torch.Tensor):
        return name if state.is_floating_point() and not state.isfinite().all() else ""
    items = state.items() if isinstance(state, Mapping) else enumerate(state) if isinstance(state, list | tuple) else ()
    return next(filter(None, (unsound(value, f"{name}.{key}".lstrip(".")) for key, value in items)), "")
