"""The interface of a supervised multi-task problem: data, a network with shared and own parameters, losses, metrics."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple, Protocol

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from mtrl_conic.supervised.network import Outputs, TaskNetwork

Selection = Literal["last", "best_validation", "mean_of_last_10"]
"""The epoch whose test metrics are reported: the last one, the best one on the validation split, or the mean of the
last ten epochs (of all, if there are fewer)."""
Gradients = Literal["parameters", "representation"]
"""The gradients that a balancer receives: of the shared parameters, or of the representation."""


class Batch(NamedTuple):
    """A batch of rows that all tasks share."""

    inputs: tuple[Tensor, ...]
    """Inputs of the trunk, each (B, ...)."""
    targets: tuple[Tensor, ...]
    """Inputs of the losses and metrics, each (B, ...)."""


class Source(Protocol):
    """A split of a data set."""

    def __len__(self) -> int:
        """Return the number of rows."""

    def batches(self, size: int, *, seed: int | None = None) -> Iterator[Batch]:
        """Yield batches of `size` rows.

        Args:
            size: number of rows of a batch.
            seed: seed of the order and of the augmentation; rows that do not fill a batch are then dropped. Without
                a seed all rows are returned in order and without augmentation.
        """


@dataclass(frozen=True)
class Metric:
    """A measure of performance that belongs to one task."""

    name: str
    """A name that is unique within the problem, such as `income auc`."""
    task: str
    higher_is_better: bool = True
    selects: bool = True
    """Whether the metric is used to select an epoch on the validation split."""


class Meter(ABC):
    """Accumulates predictions batch by batch and computes metrics from them."""

    @abstractmethod
    def add(self, outputs: Outputs, targets: Sequence[Tensor]) -> None:
        """Add the outputs and targets of a batch."""

    @abstractmethod
    def values(self) -> dict[str, float]:
        """Return a dictionary from metric names to values over all batches added."""


class Settings(BaseModel):
    """The training protocol of a problem: the values used where the user gives none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int
    batch_size: int
    learning_rate: float
    halve_every: int | None = None
    gradients: Gradients = "parameters"
    selection: Selection = "last"


class Options(BaseModel):
    """Base class of the options that are specific to a problem."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Problem(ABC):
    """A supervised multi-task problem: data splits, a network, losses and metrics.

    Instances are created by `load`, which checks the files and raises a `UserError` that names a faulty one.
    """

    name: ClassVar[str]
    options_model: ClassVar[type[Options]] = Options
    settings: ClassVar[Settings]
    source: ClassVar[str]
    """Origin of the data and of the protocol, in one sentence."""

    tasks: tuple[str, ...]
    metrics: tuple[Metric, ...]
    training: Source
    validation: Source | None
    test: Source

    @classmethod
    @abstractmethod
    def load(cls, data: Path, options: Options, *, seed: int, workers: int) -> Problem:
        """Read the data and create the problem.

        Args:
            data: folder or file that the user named.
            options: an instance of `options_model`.
            seed: seed of splits that are drawn at random.
            workers: number of processes that read files; 0 reads them in the calling process.

        Raises:
            UserError: the data are missing or faulty.
        """

    @abstractmethod
    def network(self, tasks: Sequence[int]) -> TaskNetwork:
        """Create a network with heads for these tasks. Initial parameters use torch's generator."""

    @abstractmethod
    def losses(self, outputs: Outputs, targets: Sequence[Tensor]) -> Tensor:
        """Return the mean loss of each task over a batch, (K,). The losses are positive."""

    @abstractmethod
    def meter(self) -> Meter:
        """Return an empty meter."""

    def facts(self) -> list[str]:
        """Return sentences for the report that describe the data."""
        validation = (
            f"{len(self.validation):,} for validation" if self.validation is not None else "none for validation"
        )
        return [
            f"{self.source}",
            f"Rows: {len(self.training):,} for training, {validation}, {len(self.test):,} for testing.",
        ]


def stacked(outputs: Outputs) -> Tensor:
    """Return the outputs of all tasks as one tensor (K, B, ...)."""
    return outputs if isinstance(outputs, Tensor) else torch.stack(tuple(outputs))
