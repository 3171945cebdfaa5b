"""What each task counts, as an option of a method: numbers in the order of the tasks, or by their names."""

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
    """A text, a list or a mapping as one text, the same for all that mean the same."""
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
"""One number of each task, not negative; empty: none is given."""
Preference = Annotated[
    PerTask,
    Field(
        description="weight of each task, normalised to sum to 1, as 0.7+0.3 or reach-v3:2+push-v3:1; empty: equal "
        "weights"
    ),
]


def in_order(option: str, text: str, task_names: Sequence[str]) -> str:
    """The numbers in the order of the tasks, where they are written by name.

    Args:
        option: what they are, for errors.
        text: a checked `PerTask`.
        task_names: of the tasks; none, where they have no names.

    Raises:
        UserError: a name that is no task's, or a task that is not named.
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
    """The K numbers of a checked text; None where it is empty.

    Raises:
        UserError: another count of them, or names that `in_order` has not seen to.
    """
    if not text:
        return None
    found = tuple(float(part) for part in in_order(option, text, ()).split("+"))
    if len(found) != num_tasks:
        raise UserError(f"{option}={text}: {len(found)} numbers for {num_tasks} tasks")
    return found


def shares(text: str, num_tasks: int) -> tuple[float, ...] | None:
    """The point of the simplex that a preference stands for; None: all tasks alike.

    Raises:
        UserError: as `numbers`, or all of them are zero.
    """
    found = numbers("preference", text, num_tasks)
    if found is not None and sum(found) <= 0:
        raise UserError(f"preference={text}: some task must count")
    return None if found is None else tuple(number / sum(found) for number in found)


def among(preference: tuple[float, ...] | None, tasks: Sequence[int]) -> tuple[float, ...] | None:
    """The same preference among some of the tasks; all alike where none of them counts."""
    left = [] if preference is None else [preference[task] for task in tasks]
    return tuple(share / sum(left) for share in left) if sum(left) else None


def on(like: Tensor, values: tuple[float, ...]) -> Tensor:
    """K numbers as a tensor (K,) of the type and on the device of `like`."""
    return _tensor(values, like.dtype, like.device)


@cache
def _tensor(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    # Kept, for a list reaches a GPU only by waiting for it.
    return torch.tensor(values, dtype=dtype, device=device)
