"""Memory: free memory, peak memory of a run, and reuse of the pages that an update frees."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import torch

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_MEBIBYTE = 1 << 20
_STATUS, _CLEAR, _MEMINFO = Path("/proc/self/status"), Path("/proc/self/clear_refs"), Path("/proc/meminfo")
_GROUP, _GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def keep_freed_memory() -> bool:
    """Configure glibc to keep freed blocks instead of returning them to the kernel; return whether this worked.

    An update frees and allocates the same tens of megabytes again. By default glibc maps and unmaps large blocks each
    time, and the page faults take up to 40 % of a small update. The setting applies to the whole process, so programs
    call this function, and importing the library does not.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # another C library than glibc
        return False
    settings = ((_M_MMAP_THRESHOLD, 32), (_M_TRIM_THRESHOLD, 1024), (_M_TOP_PAD, 64))
    return all(mallopt(name, size * _MEBIBYTE) == 1 for name, size in settings)


class PeakMemory:
    """The peak since this object was created, of the GPU's allocations or of the process's resident memory.

    On Linux the record of the process is reset first, so that runs in one process are measured separately; elsewhere it
    is the peak since the process started.
    """

    def __init__(self, device: torch.device) -> None:
        self._device, self._earlier = device, 0
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        else:
            with suppress(OSError):  # another system than Linux, or not allowed
                _CLEAR.write_text("5")

    def at_least(self, peak: int) -> None:
        """Include the peak that was measured before the run was resumed."""
        self._earlier = max(self._earlier, peak)

    def peak(self) -> int:
        """Return the peak in bytes."""
        if self._device.type == "cuda":
            return max(self._earlier, torch.cuda.max_memory_allocated(self._device))
        return max(self._earlier, _resident())


def _resident() -> int:
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        import resource  # not on Windows

        unit = 1 if sys.platform == "darwin" else 1024
        return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])


def free_memory(device: torch.device) -> int:
    """Return the bytes that this process may still allocate, on the GPU, or on the machine with swap and within the
    limits of its control group and of `ulimit -v`.
    """
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        lines = dict(line.split(":") for line in _MEMINFO.read_text().splitlines())
        free = sum(1024 * int(lines[name].split()[0]) for name in ("MemAvailable", "SwapFree"))
    except (OSError, KeyError, ValueError):  # another system than Linux
        free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min(free, *_group_limits(), _address_space_left())


def _group_limits() -> Iterator[int]:
    """Return the remaining memory of each control group (version 2) of this process."""
    with suppress(OSError, ValueError):
        inner = Path(_GROUP.read_text().splitlines()[-1].rpartition("::")[2].lstrip("/"))
        for group in (inner, *inner.parents):
            with suppress(OSError, ValueError):  # at the top, or `max`
                folder = _GROUPS / group
                most, now = (int((folder / f"memory.{name}").read_text()) for name in ("max", "current"))
                statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
                yield max(0, most - now + int(statistics["inactive_file"]))


def _address_space_left() -> int:
    import resource  # not on Windows

    most = resource.getrlimit(resource.RLIMIT_AS)[0]
    return sys.maxsize if most == resource.RLIM_INFINITY else most
