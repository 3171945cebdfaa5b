"""Preferences over the tasks as an option of a method: numbers in the order of the tasks, or by task name."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Annotated, Any

import torch
from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError
from torch import Tensor

from mtrl_conic.errors import UserError, unknown

_FORM = "write a number of each task, 0.7+0.3, or name:number of each, reach-v3:2+push-v3:1"
PER_TASK = ("preference", "ideal")
"""Options that are written so."""


def _canonical(given: Any) -> str:
    """Convert a text, a list or a mapping to one canonical text."""
    if isinstance(given, Mapping):
        parts = [(str(name), number) for name, number in given.items()]
    elif isinstance(given, list | tuple):
        parts = [("", number) for number in given]
    else:
        parts = [_split(part) for part in str(given).split("+")] if given != "" else []
    try:
        numbers = [(name, float(number)) for name, number in parts]
    except (TypeError, ValueError):
        raise PydanticCustomError("per_task", _FORM) from None
    if any(not math.isfinite(number) or number < 0 for _, number in numbers):
        raise PydanticCustomError("per_task", "numbers must be finite and not negative")
    names = [name for name, _ in numbers if name]
    if names and len(set(names)) < len(numbers):  # some have none, or one stands there twice
        raise PydanticCustomError("per_task", _FORM)
    return "+".join(f"{name}:{_text(number)}" if name else _text(number) for name, number in numbers)


def _split(part: str) -> tuple[str, str]:
    name, _, number = part.strip().rpartition(":")  # names may have colons
    return name, number


def _text(number: float) -> str:
    return repr(number).removesuffix(".0")


PerTask = Annotated[str, BeforeValidator(_canonical)]
"""One nonnegative number per task; empty if no preference is given."""
Preference = Annotated[
    PerTask,
    Field(
        description="weight of each task, normalised to sum to 1, as 0.7+0.3 or reach-v3:2+push-v3:1; empty: equal "
        "weights"
    ),
]


def in_order(option: str, text: str, task_names: Sequence[str]) -> str:
    """Write numbers that are given by name in the order of the tasks.

    Args:
        option: name of the option, for errors.
        text: a checked `PerTask`.
        task_names: names of the tasks; None if they have no names.

    Raises:
        UserError: a name is not that of a task, or a task is missing.
    """
    numbers = dict(_split(part) for part in text.split("+"))
    if "" in numbers:
        return text
    if not task_names:
        raise UserError(f"{option}={text}: these tasks have no names, give a number of each in their order")
    for name in numbers:
        if name not in task_names:
            raise unknown(f"task of {option}", name, task_names)
    missing = [name for name in task_names if name not in numbers]
    if missing:
        raise UserError(f"{option}={text}: {', '.join(missing)} is missing, give a number of each task")
    return "+".join(numbers[name] for name in task_names)


def numbers(option: str, text: str, num_tasks: int) -> tuple[float, ...] | None:
    """Return the K numbers of a checked text; None if it is empty.

    Raises:
        UserError: the text does not have K numbers, or it still contains names.
    """
    if not text:
        return None
    found = tuple(float(part) for part in in_order(option, text, ()).split("+"))
    if len(found) != num_tasks:
        raise UserError(f"{option}={text}: {len(found)} numbers for {num_tasks} tasks")
    return found


def shares(text: str, num_tasks: int) -> tuple[float, ...] | None:
    """Return the point of the simplex that a preference stands for; None means equal weights.

    Raises:
        UserError: as for `numbers`, or all numbers are zero.
    """
    found = numbers("preference", text, num_tasks)
    if found is not None and sum(found) <= 0:
        raise UserError(f"preference={text}: some task must count")
    return None if found is None else tuple(number / sum(found) for number in found)


def among(preference: tuple[float, ...] | None, tasks: Sequence[int]) -> tuple[float, ...] | None:
    """Restrict a preference to some of the tasks; the weights are equal if all of theirs are zero."""
    left = [] if preference is None else [preference[task] for task in tasks]
    return tuple(share / sum(left) for share in left) if sum(left) else None


def on(like: Tensor, values: tuple[float, ...]) -> Tensor:
    """Return K numbers as a tensor (K,) with the type and the device of `like`."""
    return _tensor(values, like.dtype, like.device)


@cache
def _tensor(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    # Cached, because copying a list to a GPU waits for the device.
    return torch.tensor(values, dtype=dtype, device=device)
