"""The interface of a run directory for the trainer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol


class Run(Protocol):
    """Stores records and checkpoints, so that a run can be resumed after a kill at any moment."""

    @property
    def config(self) -> Mapping[str, Any]:
        """The complete configuration, plain values."""

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoint and the replay's file."""

    def append(self, name: str, record: dict[str, Any]) -> None:
        """Add a line to the records called `name`."""

    def rewind(self, name: str, step: int) -> None:
        """Remove the records called `name` after `step`."""

    def save_checkpoint(self, state: dict[str, Any], name: str = "latest") -> None:
        """Replace the checkpoint called `name` completely or not at all; a run resumes from the latest."""

    def resume(self, use: Callable[[dict[str, Any]], None]) -> bool:
        """Resume from the latest undamaged checkpoint; return False if there are no checkpoints.

        `use` loads the state; if it raises `Damaged`, the previous checkpoint is tried.
        """

    def load_checkpoint(self, name: str = "latest") -> dict[str, Any] | None:
        """Return the checkpoint called `name`, or None."""
