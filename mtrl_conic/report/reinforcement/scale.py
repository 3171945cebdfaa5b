"""One scale for the returns of all tasks: 0 is what a random policy gets, 1 what a reference gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtrl_conic.errors import UserError
from mtrl_conic.reading import read_yaml

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Scale:
    """The returns of a random policy and of a reference, by task."""

    random: Mapping[str, float]
    reference: Mapping[str, float]

    def normalised(self, returns: Array, tasks: Sequence[str]) -> Array:
        """(return - random) / (reference - random) of each task.

        Args:
            returns: (..., K).
            tasks: K of them.
        """
        low, high = (np.array([of[task] for task in tasks]) for of in (self.random, self.reference))
        return np.asarray((returns - low) / (high - low))


def read_scale(random: Path | None, reference: Path | None, tasks: Sequence[str]) -> Scale | None:
    """The scale that two files of returns make, None where neither is given.

    Args:
        random: returns of a random policy, `mtrl-conic evaluate <preset> --policy random --json FILE`, or a YAML or
            JSON file of `task: return`.
        reference: returns of what counts as 1, in the same form.
        tasks: tasks of the runs.

    Raises:
        UserError: one file without the other, a file that cannot be read or lacks a task, or the same return in both.
    """
    if random is None and reference is None:
        return None
    if random is None or reference is None:
        raise UserError("--random-returns and --reference-returns go together: they are the 0 and the 1 of one scale")
    scale = Scale(_read(random, tasks), _read(reference, tasks))
    for task in tasks:
        if scale.random[task] == scale.reference[task]:
            raise UserError(f"{random} and {reference} have the same return of {task}: there is no scale between them")
    return scale


def _read(file: Path, tasks: Sequence[str]) -> dict[str, float]:
    values: Any = read_yaml(file)  # JSON is YAML, too
    if isinstance(values, dict) and isinstance(values.get("returns"), dict):
        values = values["returns"]
    if not isinstance(values, dict) or not all(_is_number(value) for value in values.values()):
        raise UserError(f"{file} holds no returns: it needs `task: return` for each task")
    missing = [task for task in tasks if task not in values]
    if missing:
        raise UserError(f"{file} has no return of {', '.join(missing)}; it has those of {', '.join(map(str, values))}")
    return {task: float(values[task]) for task in tasks}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))
