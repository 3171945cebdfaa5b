"""What else happens while an agent trains: displays, recorders, a user's own logic."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtrl_conic.schema import flat_items

if TYPE_CHECKING:
    from torch import Tensor

    from mtrl_conic.training.trainer import Trainer

HEADLINES = ("evaluation/mean_success", "evaluation/mean_return")
"""What services compare runs by; the mean success is missing where no task defines success."""


class Callback:
    """Called by the trainer; every method does nothing until it is overridden. Do not change the records."""

    def on_start(self, trainer: Trainer) -> None:
        """Training starts, or goes on, at `trainer.step`."""

    def on_step(self, trainer: Trainer) -> None:
        """All tasks took a step, and the updates that belong to it are done."""

    def on_update(self, trainer: Trainer, statistics: dict[str, Tensor]) -> None:
        """An update was made; its statistics by name, tensors as the agent returned them."""

    def on_metrics(self, trainer: Trainer, record: dict[str, Any]) -> None:
        """A line of `metrics.jsonl`."""

    def on_evaluation(self, trainer: Trainer, record: dict[str, Any]) -> None:
        """A line of `evaluations.jsonl`."""

    def on_doing(self, trainer: Trainer, words: str) -> None:
        """What goes on beside the steps: `compiling`, `evaluating 12 of 50`; empty when it is over."""

    def on_stop(self, trainer: Trainer) -> None:
        """Training ended, was interrupted or failed."""


class TensorBoard(Callback):
    """Writes TensorBoard events into the run directory, its configuration as hyperparameters among them.

    Args:
        directory: directory of the run.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def on_start(self, trainer: Trainer) -> None:
        """Open the event file; events after the step that is taken up again are hidden."""
        from torch.utils.tensorboard.writer import SummaryWriter

        self._writer = SummaryWriter(str(self._directory), purge_step=trainer.step + 1)
        if trainer.run is not None:
            self._add_hyperparameters(trainer.run.config)

    def on_metrics(self, trainer: Trainer, record: dict[str, Any]) -> None:
        """One scalar per number and task; of the cosine matrices their mean and the share below zero."""
        for name, number in scalars(record).items():
            self._writer.add_scalar(name, number, trainer.step)

    def on_evaluation(self, trainer: Trainer, record: dict[str, Any]) -> None:
        """Success, success at the last step and return: by task, and their means."""
        for name, number in evaluation_scalars(record).items():
            self._writer.add_scalar(name, number, trainer.step)

    def on_stop(self, trainer: Trainer) -> None:
        """Close the event file."""
        self._writer.close()

    def _add_hyperparameters(self, config: Mapping[str, Any]) -> None:
        # `SummaryWriter.add_hparams` would make a folder of its own, named by the time: a second, unreadable run.
        from torch.utils.tensorboard.summary import hparams

        fields = flat_items(config)
        values = {key: value if isinstance(value, bool | int | float | str) else str(value) for key, value in fields}
        for summary in hparams(values, dict.fromkeys(HEADLINES, 0.0)):
            self._writer._get_file_writer().add_summary(summary)


def evaluation_scalars(record: dict[str, Any]) -> dict[str, float]:
    """The numbers of a line of evaluations by name, `evaluation/returns/<task>` among them.

    A mean that is not defined is left out.
    """
    told = {name: value for name, value in record.items() if name != "episodes_per_task" and value is not None}
    return {f"evaluation/{name}": number for name, number in scalars(told).items()}


def scalars(record: dict[str, Any]) -> dict[str, float]:
    """The numbers of a line of metrics by name: a task's under `<name>/<task>`, of a matrix of cosines the mean over
    the pairs of tasks and the share below zero.
    """
    found: dict[str, float] = {}
    for name, value in record.items():
        if isinstance(value, dict):
            found |= {f"{name}/{task}": number for task, number in value.items()}
        elif isinstance(value, list):
            pairs = [cosine for i, row in enumerate(value) for cosine in row[:i]]
            if pairs:
                found[f"{name}_mean"] = sum(pairs) / len(pairs)
                found[f"{name}_negative_share"] = sum(cosine < 0 for cosine in pairs) / len(pairs)
        elif name not in ("step", "time"):
            found[name] = value
    return found
