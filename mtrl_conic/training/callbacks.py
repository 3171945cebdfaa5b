"""Callbacks of the training loop: displays, recorders and your own logic."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtrl_conic.schema import flat_items

if TYPE_CHECKING:
    from torch import Tensor

    from mtrl_conic.training.trainer import Trainer

HEADLINES = ("evaluation/mean_success", "evaluation/mean_return")
"""The numbers by which services compare runs; mean success is missing if no task defines success."""


class Callback:
    """The base of callbacks. Every method does nothing by default. Callbacks must not change the records."""

    def on_start(self, trainer: Trainer) -> None:
        """Training starts or resumes at `trainer.step`."""

    def on_step(self, trainer: Trainer) -> None:
        """All tasks took a step, and the updates of the step are done."""

    def on_update(self, trainer: Trainer, statistics: dict[str, Tensor]) -> None:
        """An update was made; `statistics` are the tensors that the agent returned, by name."""

    def on_metrics(self, trainer: Trainer, record: dict[str, Any]) -> None:
        """A line was added to `metrics.jsonl`."""

    def on_evaluation(self, trainer: Trainer, record: dict[str, Any]) -> None:
        """A line was added to `evaluations.jsonl`."""

    def on_doing(self, trainer: Trainer, words: str) -> None:
        """An activity besides the steps started, such as `compiling` or `evaluating 12 of 50`; empty when it ended."""

    def on_stop(self, trainer: Trainer) -> None:
        """Training ended, was interrupted or failed."""


class TensorBoard(Callback):
    """Writes TensorBoard events to the run directory, including the configuration as hyperparameters.

    Args:
        directory: directory of the run.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def on_start(self, trainer: Trainer) -> None:
        """Open the event file; events after the step of the resumed checkpoint are hidden."""
        from torch.utils.tensorboard.writer import SummaryWriter

        self._writer = SummaryWriter(str(self._directory), purge_step=trainer.step + 1)
        if trainer.run is not None:
            self._add_hyperparameters(trainer.run.config)

    def on_metrics(self, trainer: Trainer, record: dict[str, Any]) -> None:
        """Write one scalar per number and task, and for cosine matrices their mean and the share below zero."""
        for name, number in scalars(record).items():
            self._writer.add_scalar(name, number, trainer.step)

    def on_evaluation(self, trainer: Trainer, record: dict[str, Any]) -> None:
        """Write success, success at the last step and return, by task and as means."""
        for name, number in evaluation_scalars(record).items():
            self._writer.add_scalar(name, number, trainer.step)

    def on_stop(self, trainer: Trainer) -> None:
        """Close the event file."""
        self._writer.close()

    def _add_hyperparameters(self, config: Mapping[str, Any]) -> None:
        # `SummaryWriter.add_hparams` would create another folder, which appears as a second, empty run.
        from torch.utils.tensorboard.summary import hparams

        fields = flat_items(config)
        values = {key: value if isinstance(value, bool | int | float | str) else str(value) for key, value in fields}
        for summary in hparams(values, dict.fromkeys(HEADLINES, 0.0)):
            self._writer._get_file_writer().add_summary(summary)


def evaluation_scalars(record: dict[str, Any]) -> dict[str, float]:
    """Return the numbers of a line of evaluations by name, such as `evaluation/returns/<task>`.

    Undefined means are left out.
    """
    told = {name: value for name, value in record.items() if name != "episodes_per_task" and value is not None}
    return {f"evaluation/{name}": number for name, number in scalars(told).items()}


def scalars(record: dict[str, Any]) -> dict[str, float]:
    """Return the numbers of a line of metrics by name, `<name>/<task>` for a task.

    A matrix of cosines is reduced to its mean over the pairs of tasks and the share of them below zero.
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
