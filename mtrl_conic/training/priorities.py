"""The priorities of the transitions in a replay."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

CANDIDATES = 8
"""Number of transitions drawn uniformly for each one that is chosen by priority."""
_OFFSET = 0.01
"""Added to every error, so that a transition whose error is zero is drawn again."""
_RATE = 0.01
"""Rate at which the priority of new transitions follows the largest one of a batch."""


class Priorities:
    """Priorities that rise with the critic's error (Schaul et al., Prioritized experience replay, 2016).

    The priority of a transition is (|error| + 0.01)^alpha with the error of the last update that it was part of (their
    section 3.3). A new transition has an exponential average of the largest priorities of batches. Their sum tree is
    replaced by a choice among uniformly drawn candidates in proportion to their priorities, which takes a few gathers:
    no transition is drawn more than `CANDIDATES` times as often as in a uniform draw. The losses are not weighted by
    importance.

    Args:
        alpha: the exponent; larger ones favour large errors more.
        num_tasks: K.
        rows: number of rows of each task's ring.
        device: device of the replay.
    """

    def __init__(self, alpha: float, num_tasks: int, rows: int, *, device: torch.device | str) -> None:
        self._alpha = alpha
        self._values = torch.ones(num_tasks, rows, device=device)
        self._of_new = torch.ones((), device=device)

    def add(self, first: int, count: int) -> None:
        """Give new transitions, in the rows from `first` on, their first priority."""
        self._values[:, first : first + count] = self._of_new

    def choose(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        """Return the places (K, B) of those that are chosen among candidates (K, B `CANDIDATES`), each at most once.

        Args:
            rows: the rows of the candidates, counted over all tasks.
            generator: draws the choice.
        """
        return torch.multinomial(self._values.view(-1)[rows], rows.shape[1] // CANDIDATES, generator=generator)

    def take(self, rows: Tensor, errors: Tensor) -> None:
        """Take over the absolute errors (K, B) of the transitions in `rows` (K, B), counted over all tasks."""
        values = (errors.nan_to_num(0) + _OFFSET) ** self._alpha
        self._values.view(-1)[rows.flatten()] = values.flatten()
        self._of_new.lerp_(values.max(), _RATE)

    def state_dict(self, rows: Any) -> dict[str, Tensor]:
        """Return the priorities of these rows of each ring, and that of new transitions."""
        return {"values": self._values[:, rows].cpu(), "of_new": self._of_new.cpu()}

    def load_state_dict(self, saved: dict[str, Tensor], rows: Any) -> None:
        """Restore a `state_dict` of the same rows."""
        self._values[:, rows] = saved["values"].to(self._values.device)
        self._of_new.copy_(saved["of_new"])
