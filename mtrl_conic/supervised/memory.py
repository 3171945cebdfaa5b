"""How much memory a run took at its highest."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import torch

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class PeakMemory:
    """The peak since this object was made: of the GPU's allocations, or of the process's resident memory.

    On Linux the process's own record is reset first, so that runs in one process do not hide each other;
    elsewhere it is the peak of the process's life.
    """

    def __init__(self, device: torch.device) -> None:
        self._device, self._earlier = device, 0
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        else:
            try:
                _CLEAR.write_text("5")
            except OSError:  # another system than Linux, or not allowed
                return

    def at_least(self, peak: int) -> None:
        """Take in the peak of an earlier sitting."""
        self._earlier = max(self._earlier, peak)

    def peak(self) -> int:
        """Bytes."""
        if self._device.type == "cuda":
            return max(self._earlier, torch.cuda.max_memory_allocated(self._device))
        return max(self._earlier, _resident())


def _resident() -> int:
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
