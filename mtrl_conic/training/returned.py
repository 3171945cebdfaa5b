"""Checks of what a user-defined agent returns to the training loop, before anything is done with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from mtrl_conic.agents.protocol import ERRORS
from mtrl_conic.errors import UserError, first_line


def array_of(method: str, value: ArrayLike, shape: tuple[int, ...], dtype: type[np.floating[Any]]) -> NDArray[Any]:
    """Return the result of an agent's method as an array.

    Args:
        method: name of the method.
        value: what it returned.
        shape: shape that it must have.
        dtype: type of the array.

    Raises:
        UserError: it has another shape, or is no array.
    """
    wanted = f"the agent's {method}() must return an array {shape}"
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
    try:
        found = np.asarray(value, dtype)
    except (TypeError, ValueError) as error:
        raise UserError(f"{wanted}: {first_line(error)}") from None
    if found.shape != shape:
        what = type(value).__name__ if found.ndim == 0 else found.shape
        raise UserError(f"{wanted}, not {what}")
    return found


def check_statistics(
    statistics: Any, components: Sequence[str], num_tasks: int, *, errors: tuple[int, ...] | None = None
) -> None:
    """Check what an agent's `update` returned.

    Args:
        statistics: what it returned.
        components: the agent's components.
        num_tasks: K.
        errors: shape of the errors of the batch's rows, (K, B), if transitions have priorities.

    Raises:
        UserError: it is no mapping of tensors, the errors are missing, or a tensor has another shape.
    """
    if not isinstance(statistics, Mapping):
        raise UserError(f"the agent's update() must return tensors by name, not {type(statistics).__name__}")
    for name, value in statistics.items():
        if not isinstance(value, torch.Tensor):
            raise UserError(f"the agent's update() must return tensors: {name!r} is {type(value).__name__}")
    for name in (f"{component}/loss" for component in components):
        if name in statistics and statistics[name].shape != (num_tasks,):
            shape = tuple(statistics[name].shape)
            raise UserError(f"the agent's update() must return {name!r} of each task, ({num_tasks},), not {shape}")
    if errors is not None and (ERRORS not in statistics or statistics[ERRORS].shape != errors):
        found = tuple(statistics[ERRORS].shape) if ERRORS in statistics else "nothing"
        raise UserError(
            f"the agent's update() must return {ERRORS!r} of each row, {errors}, not {found}: its schedule has a "
            "priority_exponent"
        )
