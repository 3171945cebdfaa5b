"""A data set whose rows are read from files, optionally by worker processes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from mtrl_conic.errors import first_line
from mtrl_conic.supervised.data.rows import shuffled
from mtrl_conic.supervised.problem import Batch
from mtrl_conic.workers import TIMEOUT, end_with, leave_requests_to_parent

Sample = tuple[tuple[Tensor, ...], tuple[Tensor, ...]]
"""The inputs and the targets of one row."""
_SIGNAL = 1.0
"""Seconds within which the system tells this process that another one has died."""


class Reader(Protocol):
    """Reads single rows of a data set. Readers are pickled and sent to worker processes."""

    def __len__(self) -> int:
        """Rows."""

    def read(self, row: int, generator: np.random.Generator | None) -> Sample:
        """Read row number `row`; with a `generator`, augment it with random numbers drawn from it.

        Raises:
            UserError: a file is missing or broken; the message names it.
        """


class _Request(NamedTuple):
    row: int
    seed: int | None


class _Samples(Dataset[Sample]):
    def __init__(self, reader: Reader) -> None:
        self.reader = reader

    def __len__(self) -> int:
        return len(self.reader)

    def __getitem__(self, request: _Request) -> Sample:
        row, seed = request
        return self.reader.read(row, None if seed is None else np.random.default_rng((seed, row)))


class Files:
    """A split that is read row by row from files.

    The augmentation of a row depends only on the seed of the pass and on the row, so the number of workers does
    not affect the data.

    Args:
        reader: reader of the rows.
        workers: number of worker processes; 0 reads the rows in the calling process.
        augment: whether rows are augmented in passes that have a seed.
    """

    def __init__(self, reader: Reader, *, workers: int, augment: bool = False) -> None:
        self.reader, self.workers, self.augment = reader, workers, augment

    def __len__(self) -> int:
        return len(self.reader)

    def batches(self, size: int, *, seed: int | None = None) -> Iterator[Batch]:
        """Yield batches as `Source.batches` does; fewer rows than `size` form a single batch."""
        rows = torch.arange(len(self)).split(size) if seed is None else shuffled(len(self), size, seed)
        drawn = seed if self.augment else None
        loader = DataLoader(
            _Samples(self.reader),
            batch_sampler=[[_Request(row, drawn) for row in part.tolist()] for part in rows],
            num_workers=self.workers,
            collate_fn=_collate,
            multiprocessing_context="spawn" if self.workers else None,
            worker_init_fn=_begin,
            timeout=TIMEOUT if self.workers else 0,
        )
        try:
            yield from loader
        except (ConnectionError, EOFError) as error:
            time.sleep(_SIGNAL)  # a worker died as it handed over a batch: torch raises its own error once told
            raise RuntimeError(f"DataLoader worker does not answer: {first_line(error)}") from error


def _begin(worker: int) -> None:
    """Initialise a worker process. Torch sends SIGTERM to workers that do not end by themselves, so it is kept."""
    leave_requests_to_parent(but=signal.SIGTERM)
    end_with(os.getppid())


def _collate(samples: Sequence[Sample]) -> Batch:
    inputs, targets = default_collate(list(samples))
    return Batch(tuple(inputs), tuple(targets))
