"""A common scale for the returns of all tasks: 0 for a random policy, 1 for a reference."""

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

_NOT_THE_EPISODE = ("copies", "goal_stream", "one_hot")
"""Fields of a task set that do not change the return of an episode."""


@dataclass(frozen=True)
class Scale:
    """The returns of a random policy and of a reference, by task."""

    random: Mapping[str, float]
    reference: Mapping[str, float]

    def normalised(self, returns: Array, tasks: Sequence[str]) -> Array:
        """Return (return - random) / (reference - random) for each task.

        Args:
            returns: returns (..., K).
            tasks: names of the K tasks.
        """
        low, high = (np.array([of[task] for task in tasks]) for of in (self.random, self.reference))
        return np.asarray((returns - low) / (high - low))


def read_scale(
    random: Path | None, reference: Path | None, tasks: Sequence[str], run: Mapping[str, Any]
) -> Scale | None:
    """Read the scale from two files of returns; return None if neither is given.

    Args:
        random: returns of a random policy, from `mtrl-conic evaluate <preset> --policy random --json FILE`, or a YAML
            or JSON file of `task: return`.
        reference: returns that count as 1, in the same format.
        tasks: tasks of the runs.
        run: configuration of a run, with dotted keys.

    Raises:
        UserError: only one file is given, a file cannot be read or lacks a task, it comes from other environments, or
            both contain the same return.
    """
    if random is None and reference is None:
        return None
    if random is None or reference is None:
        raise UserError(
            "--random-returns and --reference-returns must be given together: they define 0 and 1 of a scale"
        )
    scale = Scale(_read(random, tasks, run), _read(reference, tasks, run))
    for task in tasks:
        if scale.random[task] == scale.reference[task]:
            raise UserError(f"{random} and {reference} contain the same return of {task}, so they define no scale")
    return scale


def _read(file: Path, tasks: Sequence[str], run: Mapping[str, Any]) -> dict[str, float]:
    values: Any = read_yaml(file)  # JSON is a subset of YAML
    if isinstance(values, dict) and isinstance(values.get("returns"), dict):
        _check_environment(file, values.get("environment"), run)
        values = values["returns"]
    if not isinstance(values, dict) or not all(_is_number(value) for value in values.values()):
        raise UserError(f"{file} contains no returns: it needs `task: return` for each task")
    missing = [task for task in tasks if task not in values]
    if missing:
        raise UserError(f"{file} lacks the return of {', '.join(missing)}; it contains {', '.join(map(str, values))}")
    return {task: float(values[task]) for task in tasks}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))


def _check_environment(file: Path, environment: object, run: Mapping[str, Any]) -> None:
    """Check that an evaluation used the environments of the runs; earlier ones do not say which they used."""
    if not isinstance(environment, dict):
        return
    for name, value in environment.items():
        if name not in _NOT_THE_EPISODE and run.get(f"environment.{name}", value) != value:
            raise UserError(
                f"{file} is of environments with {name}={value}, and the runs have "
                f"{run[f'environment.{name}']}: evaluate that policy on the directory of a run"
            )
