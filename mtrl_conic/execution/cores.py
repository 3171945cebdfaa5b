"""How many processor cores this process may use."""

from __future__ import annotations

import os
import sys


def available_cores() -> int:
    """The cores this process is allowed on; all of the machine's where the system does not say."""
    return len(os.sched_getaffinity(0)) if sys.platform.startswith("linux") else os.cpu_count() or 1
