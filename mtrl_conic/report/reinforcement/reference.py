"""Published curves that are drawn with our own, always labelled with the protocol by which they were measured."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mtrl_conic.errors import UserError
from mtrl_conic.reading import read_text

STEPS, MEAN = "number_of_environment_steps", "mean"
_BAND = ("ci_low", "ci_high")


@dataclass(frozen=True)
class ReferencePoint:
    """One point of a published curve."""

    curve: str
    """Name of the curve: its group, if the file has groups, and its protocol."""
    step: float
    """Environment steps per task."""
    success: float


def read_reference(argument: str, num_tasks: int) -> list[ReferencePoint]:
    """Read the curves given as `PROTOCOL=FILE`.

    Args:
        argument: protocol and CSV file. The file needs the columns `number_of_environment_steps` (of all tasks
            together) and `mean` (success in [0, 1]). Other columns name the curve, except `ci_low` and `ci_high`, which
            are ignored.
        num_tasks: number of tasks K, by which the steps are divided.

    Raises:
        UserError: the protocol is missing, the file does not exist, or it has other columns.
    """
    protocol, equals, name = argument.partition("=")
    if not equals or not protocol:
        raise UserError(f"--reference {argument}: name the protocol of the curves, as in PROTOCOL=FILE")
    try:
        rows = list(csv.DictReader(read_text(Path(name)).splitlines()))
        return [_point(row, protocol, num_tasks) for row in rows]
    except UserError:
        raise
    except (KeyError, ValueError, TypeError, csv.Error):
        raise UserError(f"{name} is not a reference curve: it needs numeric columns {STEPS} and {MEAN}") from None


def within(points: Sequence[ReferencePoint], last_step: float) -> list[ReferencePoint]:
    """Return the points up to `last_step`. Published curves are often much longer than our runs."""
    kept = [point for point in points if point.step <= last_step]
    if points and not kept:
        first = min(point.step for point in points)
        raise UserError(
            f"the reference curves start at {first:.0f} steps per task, but the runs end at {last_step:.0f}"
        )
    return kept


def _point(row: dict[str, str], protocol: str, num_tasks: int) -> ReferencePoint:
    others = {key.replace("_", " "): value for key, value in row.items() if key not in (STEPS, MEAN, *_BAND)}
    group = ", ".join(f"{key} {value}" for key, value in others.items())
    return ReferencePoint(
        f"{group} ({protocol})" if group else protocol, float(row[STEPS]) / num_tasks, float(row[MEAN])
    )
