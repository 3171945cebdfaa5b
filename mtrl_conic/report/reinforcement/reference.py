"""Published curves to lay over our own, never without the protocol that they were measured by."""

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
    """A point of a published curve."""

    curve: str
    """Its group, where the file has some, and its protocol."""
    step: float
    """Environment steps per task."""
    success: float


def read_reference(argument: str, num_tasks: int) -> list[ReferencePoint]:
    """The curves of `PROTOCOL=FILE`.

    Args:
        argument: the file is a CSV with the columns `number_of_environment_steps` (of all tasks together), `mean`
            (success in [0, 1]), and any others that name the curve; `ci_low` and `ci_high` are passed over.
        num_tasks: K, by which the steps are divided.

    Raises:
        UserError: no protocol, no such file, or other columns.
    """
    protocol, equals, name = argument.partition("=")
    if not equals or not protocol:
        raise UserError(f"--reference {argument}: say the protocol of the curves, PROTOCOL=FILE")
    try:
        rows = list(csv.DictReader(read_text(Path(name)).splitlines()))
        return [_point(row, protocol, num_tasks) for row in rows]
    except UserError:
        raise
    except (KeyError, ValueError, TypeError, csv.Error):
        raise UserError(f"{name} is not a reference curve: it needs columns {STEPS} and {MEAN} of numbers") from None


def within(points: Sequence[ReferencePoint], last_step: float) -> list[ReferencePoint]:
    """The points up to `last_step`: a published curve goes on long after most of ours."""
    kept = [point for point in points if point.step <= last_step]
    if points and not kept:
        first = min(point.step for point in points)
        raise UserError(f"the reference curves start at {first:.0f} steps per task, these runs end at {last_step:.0f}")
    return kept


def _point(row: dict[str, str], protocol: str, num_tasks: int) -> ReferencePoint:
    others = {key.replace("_", " "): value for key, value in row.items() if key not in (STEPS, MEAN, *_BAND)}
    group = ", ".join(f"{key} {value}" for key, value in others.items())
    return ReferencePoint(
        f"{group} ({protocol})" if group else protocol, float(row[STEPS]) / num_tasks, float(row[MEAN])
    )
