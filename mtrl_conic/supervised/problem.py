"""What a supervised multi-task problem is: data, a network in a shared and a private part, losses, metrics."""

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
"""Which epoch a test number is of: the last; the one best on validation; the mean of the last ten (of all, if
there are fewer)."""
Gradients = Literal["parameters", "representation"]
"""What a balancer sees: gradients of the shared parameters, or of what the trunk hands to the heads."""


class Batch(NamedTuple):
    """Rows that all tasks share."""

    inputs: tuple[Tensor, ...]
    """What the trunk takes, each (B, ...)."""
    targets: tuple[Tensor, ...]
    """What the losses and metrics take, each (B, ...)."""


class Source(Protocol):
    """A split of a data set."""

    def __len__(self) -> int:
        """Its rows."""

    def batches(self, size: int, *, seed: int | None = None) -> Iterator[Batch]:
        """Batches of `size` rows.

        Args:
            size: rows of a batch.
            seed: seed of the order and of the augmentation, the rest that fills no batch is left out then; without
                one all rows come, in order and as they are.
        """


@dataclass(frozen=True)
class Metric:
    """A number by which a task is judged."""

    name: str
    """Unique within the problem, such as `income auc`."""
    task: str
    higher_is_better: bool = True
    selects: bool = True
    """Whether it takes part in choosing an epoch on validation."""


class Meter(ABC):
    """Collects predictions batch by batch and makes metrics of them."""

    @abstractmethod
    def add(self, outputs: Outputs, targets: Sequence[Tensor]) -> None:
        """Take in a batch."""

    @abstractmethod
    def values(self) -> dict[str, float]:
        """Name of a metric -> its value over all batches."""


class Settings(BaseModel):
    """How a problem is trained where the user does not say."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int
    batch_size: int
    learning_rate: float
    halve_every: int | None = None
    gradients: Gradients = "parameters"
    selection: Selection = "last"


class Options(BaseModel):
    """The choices that belong to a problem alone."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Problem(ABC):
    """Data in splits, and what is learned from them.

    Made by `load`, which checks the files and raises a `UserError` that names the one that is wrong.
    """

    name: ClassVar[str]
    options_model: ClassVar[type[Options]] = Options
    settings: ClassVar[Settings]
    source: ClassVar[str]
    """Where the data and the protocol come from, in a sentence."""

    tasks: tuple[str, ...]
    metrics: tuple[Metric, ...]
    training: Source
    validation: Source | None
    test: Source

    @classmethod
    @abstractmethod
    def load(cls, data: Path, options: Options, *, seed: int, workers: int) -> Problem:
        """Read the data.

        Args:
            data: the folder or file that the user named.
            options: options of `options_model`.
            seed: seed of splits that are drawn at random.
            workers: processes that read files; 0 reads them in this one.
        """

    @abstractmethod
    def network(self, tasks: Sequence[int]) -> TaskNetwork:
        """A fresh network with heads for these tasks, its initial values from torch's generator."""

    @abstractmethod
    def losses(self, outputs: Outputs, targets: Sequence[Tensor]) -> Tensor:
        """(K,): the mean loss of each task over a batch, positive."""

    @abstractmethod
    def meter(self) -> Meter:
        """An empty meter."""

    def facts(self) -> list[str]:
        """What was read, in sentences, for the report."""
        validation = (
            f"{len(self.validation):,} for validation" if self.validation is not None else "none for validation"
        )
        return [
            f"{self.source}",
            f"Rows: {len(self.training):,} for training, {validation}, {len(self.test):,} for the test.",
        ]


def stacked(outputs: Outputs) -> Tensor:
    """The outputs of all tasks as one tensor (K, B, ...)."""
    return outputs if isinstance(outputs, Tensor) else torch.stack(tuple(outputs))
