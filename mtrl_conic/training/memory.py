"""Keeping the pages that an update frees, for the next update."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_MEBIBYTE = 1 << 20


def keep_freed_memory() -> bool:
    """Tell glibc not to give freed blocks back to the kernel; returns whether it listened.

    An update frees and allocates the same tens of megabytes again. By default glibc maps and unmaps
    large blocks each time, and the page faults cost up to 40 % of a small update.
    A setting of the whole process, so programs call it, not importing the library.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # another C library than glibc
        return False
    settings = ((_M_MMAP_THRESHOLD, 32), (_M_TRIM_THRESHOLD, 1024), (_M_TOP_PAD, 64))
    return all(mallopt(name, size * _MEBIBYTE) == 1 for name, size in settings)


def peak_memory() -> float | None:
    """The largest resident set of this process so far, in MiB; None where the system does not tell."""
    if sys.platform == "win32":
        return None
    import resource

    # Linux counts kibibytes, macOS bytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (_MEBIBYTE if sys.platform == "darwin" else 1024)
