"""The most memory that this process has held."""

from __future__ import annotations

import re
import resource
import sys
from pathlib import Path

_MEBIBYTE = 1 << 20


def peak_resident_mib() -> float:
    """The largest resident set of this process so far, in MiB.

    Linux counts it for the program that runs now (`VmHWM`); what `getrusage` tells there may be the peak of the
    process that started this one.
    """
    status = Path("/proc/self/status")
    if status.exists():
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        if found:
            return int(found[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / _MEBIBYTE if sys.platform == "darwin" else peak / 1024
