"""The number of processor cores for this process, and checks against using too many."""

from __future__ import annotations

import os
import sys

from mtrl_conic.errors import UserError

_MOST_PER_CORE = 4
"""The largest useful number of threads and processes per core."""


def available_cores() -> int:
    """Return the number of cores that this process may use; all cores if the system does not say."""
    return len(os.sched_getaffinity(0)) if sys.platform.startswith("linux") else os.cpu_count() or 1


def check_fits_cores(name: str, count: int | None) -> None:
    """Check that this machine can run a number of threads or processes.

    Args:
        name: name of the setting that gives the number.
        count: the number; None if it is not given.

    Raises:
        UserError: the number is too large.
    """
    cores = os.cpu_count() or 1
    if count is not None and count > _MOST_PER_CORE * cores:
        of_these = "one core" if cores == 1 else f"{cores} cores"
        raise UserError(f"{name}={count}: this machine has {of_these}; {available_cores()} fits")
