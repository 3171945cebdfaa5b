"""Running means of statistics between two lines of the log."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


class Means:
    """Means of named tensors over the updates since the last `take`; it is part of a checkpoint."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = defaultdict(int)

    def add(self, statistics: dict[str, Tensor]) -> None:
        """Add one observation of each name."""
        for name, value in statistics.items():
            self._counts[name] += 1
            if name in self._sums:
                self._sums[name] += value
            else:
                self._sums[name] = value.detach().to(torch.float64, copy=True)

    def take(self) -> dict[str, Tensor]:
        """Return the means on the CPU, and start over."""
        means = {name: (total / self._counts[name]).cpu() for name, total in self._sums.items()}
        self._sums.clear()
        self._counts.clear()
        return means

    def state_dict(self) -> dict[str, Any]:
        """Return the sums and counts so far."""
        return {"sums": dict(self._sums), "counts": dict(self._counts)}

    def load_state_dict(self, saved: dict[str, Any], device: torch.device) -> None:
        """Continue from a `state_dict`."""
        self._sums = {name: total.to(device, copy=True) for name, total in saved["sums"].items()}
        self._counts = defaultdict(int, saved["counts"])


def plain(value: Tensor, task_names: Sequence[str]) -> Any:
    """Convert a tensor to JSON values: (K,) by task name, a scalar to a number, anything else to nested lists."""
    if value.dim() == 1 and len(value) == len(task_names):
        return dict(zip(task_names, value.tolist(), strict=True))
    return value.tolist()
