"""How many processor cores this process may use, and what asks for too many."""

from __future__ import annotations

import os
import sys

from mtrl_conic.errors import UserError

_MOST_PER_CORE = 4
"""Threads and processes on a core, more of which only take room."""


def available_cores() -> int:
    """The cores this process is allowed on; all of the machine's where the system does not say."""
    return len(os.sched_getaffinity(0)) if sys.platform.startswith("linux") else os.cpu_count() or 1


def check_fits_cores(name: str, count: int | None) -> None:
    """That so many threads or processes are something this machine can carry.

    Args:
        name: of the setting that says how many.
        count: how many; None: nothing is said.

    Raises:
        UserError: they are not.
    """
    cores = os.cpu_count() or 1
    if count is not None and count > _MOST_PER_CORE * cores:
        of_these = "one core" if cores == 1 else f"{cores} cores"
        raise UserError(f"{name}={count}: this machine has {of_these}; {available_cores()} fits")
