"""What a trainer needs of the place where a run is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol


class Run(Protocol):
    """Keeps lines and checkpoints, so that a kill at any moment leaves a run that goes on."""

    @property
    def config(self) -> Mapping[str, Any]:
        """The complete configuration, plain values."""

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoint and the replay's file."""

    def append(self, name: str, record: dict[str, Any]) -> None:
        """Add a line to the records called `name`."""

    def rewind(self, name: str, step: int) -> None:
        """Drop the records called `name` that came after `step`."""

    def save_checkpoint(self, state: dict[str, Any], name: str = "latest") -> None:
        """Replace the checkpoint called `name`, all or nothing; a run goes on from the latest."""

    def resume(self, use: Callable[[dict[str, Any]], None]) -> bool:
        """Go on from the latest checkpoint that is whole; False where there is none at all.

        `use` takes up the state; where it raises `Damaged`, the checkpoint before is tried.
        """

    def load_checkpoint(self, name: str = "latest") -> dict[str, Any] | None:
        """The checkpoint called `name`, or None."""
