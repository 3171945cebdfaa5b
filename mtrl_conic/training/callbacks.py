"""What else happens while an agent trains: displays, recorders, a user's own logic."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mtrl_conic.training.trainer import Trainer


class Callback:
    """Called by the trainer; every method does nothing until it is overridden. Do not change the records."""

    def on_start(self, trainer: Trainer) -> None:
        """Training starts, or goes on, at `trainer.step`."""

    def on_step(self, trainer: Trainer) -> None:
        """All tasks took a step, and the updates that belong to it are done."""

    def on_metrics(self, trainer: Trainer, record: dict[str, Any]) -> None:
        """A line of `metrics.jsonl`."""

    def on_evaluation(self, trainer: Trainer, record: dict[str, Any]) -> None:
        """A line of `evaluations.jsonl`."""

    def on_stop(self, trainer: Trainer) -> None:
        """Training ended, was interrupted or failed."""


class TensorBoard(Callback):
    """Writes TensorBoard events into the run directory.

    Args:
        directory: of the run.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def on_start(self, trainer: Trainer) -> None:
        """Open the event file; events after the step that is taken up again are hidden."""
        from torch.utils.tensorboard.writer import SummaryWriter

        self._writer = SummaryWriter(str(self._directory), purge_step=trainer.step + 1)

    def on_metrics(self, trainer: Trainer, record: dict[str, Any]) -> None:
        """One scalar per number and task; of the cosine matrices their mean and the share below zero."""
        for name, value in record.items():
            if name in ("step", "time"):
                continue
            if isinstance(value, dict):
                for task, number in value.items():
                    self._writer.add_scalar(f"{name}/{task}", number, trainer.step)
            elif isinstance(value, list):
                self._add_cosines(name, value, trainer.step)
            else:
                self._writer.add_scalar(name, value, trainer.step)

    def on_evaluation(self, trainer: Trainer, record: dict[str, Any]) -> None:
        """Success by task and its mean."""
        self._writer.add_scalar("evaluation/mean_success", record["mean_success"], trainer.step)
        for task, rate in record["success"].items():
            self._writer.add_scalar(f"evaluation/success/{task}", rate, trainer.step)

    def on_stop(self, trainer: Trainer) -> None:
        """Close the event file."""
        self._writer.close()

    def _add_cosines(self, name: str, matrix: list[list[float]], step: int) -> None:
        pairs = [cosine for i, row in enumerate(matrix) for cosine in row[:i]]
        if pairs:
            self._writer.add_scalar(f"{name}_mean", sum(pairs) / len(pairs), step)
            self._writer.add_scalar(f"{name}_negative_share", sum(c < 0 for c in pairs) / len(pairs), step)
