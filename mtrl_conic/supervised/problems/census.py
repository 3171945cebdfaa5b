"""UCI Census-Income (KDD): three binary questions about a person, read from the original files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, field_validator
from torch import Tensor
from torch.nn import functional

from mtrl_conic.errors import UserError
from mtrl_conic.supervised.data.rows import Rows, split
from mtrl_conic.supervised.data.tables import codes, find, read_csv, standardised
from mtrl_conic.supervised.metrics import AUCs
from mtrl_conic.supervised.network import Outputs, TaskNetwork
from mtrl_conic.supervised.networks.mlp import mlp
from mtrl_conic.supervised.problem import Meter, Metric, Options, Problem, Settings, stacked

_COLUMNS = 42
_EDUCATION, _MARITAL, _WEIGHT, _INCOME = 4, 7, 24, 41
_NUMERIC = (0, 5, 16, 17, 18, 30, 39)
"""Age, wage per hour, capital gains, capital losses, dividends, persons worked for employer, weeks worked."""
_CATEGORICAL = tuple(c for c in range(_COLUMNS) if c not in (*_NUMERIC, _EDUCATION, _MARITAL, _WEIGHT, _INCOME))
"""Industry, occupation, year and other codes are numbers without an order, so they count as categories."""
_INCOMES = ("- 50000.", "50000+.")
_DEGREES = (
    "Bachelors degree(BA AB BS)",
    "Masters degree(MA MS MEng MEd MSW MBA)",
    "Prof school degree (MD DDS DVM LLB JD)",
    "Doctorate degree(PhD EdD)",
)
_COLLEGE = (
    "Some college but no degree",
    "Associates degree-occup /vocational",
    "Associates degree-academic program",
    *_DEGREES,
)
_NO_COLLEGE = (
    *("Children", "Less than 1st grade", "1st 2nd 3rd or 4th grade", "5th or 6th grade", "7th and 8th grade"),
    *("9th grade", "10th grade", "11th grade", "12th grade no diploma", "High school graduate"),
)


class CensusOptions(Options):
    """Options of `census`."""

    college: Literal["attended", "degree"] = Field(
        "attended",
        description='definition of "education at least college": some college or more, or a bachelor\'s degree or more',
    )
    dropout: Literal["each", "last"] = Field(
        "each", description="hidden layers with dropout: every layer, or only the last"
    )
    leave_out: list[int] = Field(
        [],
        description=(
            "indices (from 0) of categorical columns to exclude from the features; 19, 22 and 23 (tax filer, "
            "household and its summary) contain values that reveal the marital status"
        ),
    )

    @field_validator("leave_out")
    @classmethod
    def _check_columns(cls, value: list[int]) -> list[int]:
        for column in value:
            if column not in _CATEGORICAL:
                raise ValueError(f"column {column} is not a categorical feature")
        return sorted(set(value))

    @property
    def categorical(self) -> tuple[int, ...]:
        """Indices of the categorical columns that are features."""
        return tuple(c for c in _CATEGORICAL if c not in self.leave_out)


class Census(Problem):
    """Three tasks on the same rows: income above 50,000, never married, and education at least college."""

    name = "census"
    options_model = CensusOptions
    settings = Settings(epochs=200, batch_size=1024, learning_rate=1e-4, selection="best_validation")
    source = (
        "UCI Census-Income (KDD), original files. Features are all columns except the instance weight, the three "
        "label columns (income, marital status, education) and the columns in leave_out; numeric columns are "
        "standardised on the training rows, categories are one-hot. The test file is split at random into equal parts "
        "for validation and test."
    )
    tasks = ("income", "marital", "education")
    metrics = tuple(Metric(f"{task} auc", task) for task in tasks)

    def __init__(
        self,
        numbers: Sequence[Tensor],
        categories: Sequence[Tensor],
        labels: Sequence[Tensor],
        sizes: Sequence[int],
        seed: int,
        dropout: Literal["each", "last"] = "each",
    ) -> None:
        self._sizes, self._dropout = sizes, dropout
        first, second = split(len(numbers[1]), [0.5], seed)
        self.training = Rows((numbers[0], categories[0]), (labels[0],))
        self.validation, self.test = (
            Rows((numbers[1][rows], categories[1][rows]), (labels[1][rows],)) for rows in (first, second)
        )

    @classmethod
    def load(cls, data: Path, options: Options, *, seed: int, workers: int) -> Census:
        """Read `census-income.data` and `census-income.test`, uncompressed or compressed, in the folder `data`."""
        assert isinstance(options, CensusOptions)
        frames = [_read(find(data, name)) for name in ("census-income.data", "census-income.test")]
        numbers = standardised(*(np.stack([_numeric(frame[c]) for c in _NUMERIC], 1) for frame in frames))
        known = [np.array(sorted(frames[0][column].cat.categories)) for column in options.categorical]
        categories = [
            np.stack([_coded(frame[c], values) for c, values in zip(options.categorical, known, strict=True)], 1)
            for frame in frames
        ]
        return cls(
            [torch.from_numpy(part) for part in numbers],
            [torch.from_numpy(part) for part in categories],
            [torch.from_numpy(_labels(frame, options)) for frame in frames],
            [len(values) + 1 for values in known],
            seed,
            options.dropout,
        )

    def network(self, tasks: Sequence[int]) -> TaskNetwork:
        """Create two shared layers of 192 ReLU units with dropout 0.3, and linear heads."""
        dropout = (0.3 if self._dropout == "each" else 0.0, 0.3)
        return mlp(len(_NUMERIC), self._sizes, (192, 192), len(tasks), dropout=dropout)

    def losses(self, outputs: Outputs, targets: Sequence[Tensor]) -> Tensor:
        """Return the binary cross-entropy of each task."""
        return binary_losses(outputs, targets)

    def meter(self) -> Meter:
        """AUC."""
        return AUCs(self.tasks)


def binary_losses(outputs: Outputs, targets: Sequence[Tensor]) -> Tensor:
    """Return the binary cross-entropies (K,) of logits (K, B) for a single target tensor (B, K)."""
    logits = stacked(outputs)
    return functional.binary_cross_entropy_with_logits(logits, targets[0].mT, reduction="none").mean(1)


def _read(file: Path) -> Any:
    """Read a data frame of 42 text columns; they are stored as categories, because there are few distinct values."""
    frame = read_csv(file, header=None, skipinitialspace=True, dtype="category", keep_default_na=False)
    if frame.shape[1] != _COLUMNS:
        raise UserError(f"{file} has {frame.shape[1]} columns, but the original file has {_COLUMNS}")
    _expect(file, "income", frame[_INCOME], _INCOMES)
    _expect(file, "education", frame[_EDUCATION], (*_COLLEGE, *_NO_COLLEGE))
    if "Never married" not in frame[_MARITAL].cat.categories:
        raise UserError(f"{file}: no row has 'Never married' in column {_MARITAL}, the marital status")
    for column in _NUMERIC:
        try:
            _numeric(frame[column])
        except ValueError as error:
            raise UserError(f"{file}, column {column}: {error}") from None
    return frame


def _expect(file: Path, what: str, column: Any, known: Sequence[str]) -> None:
    strange = sorted(set(column.cat.categories) - set(known))
    if strange:
        raise UserError(f"{file}: unknown {what} {strange[0]!r}; the original file has values such as {known[0]!r}")


def _numeric(column: Any) -> NDArray[np.float64]:
    values: NDArray[np.float64] = column.cat.categories.to_numpy(dtype=np.float64)
    return np.asarray(values[column.cat.codes.to_numpy()])


def _coded(column: Any, known: NDArray[Any]) -> NDArray[np.int64]:
    """Return the position of each row's value in the sorted `known` values."""
    return np.asarray(codes(column.cat.categories.to_numpy(dtype=str), known)[column.cat.codes.to_numpy()])


def _labels(frame: Any, options: CensusOptions) -> NDArray[np.float32]:
    """Return the labels (rows, 3), 0 or 1."""
    college = _COLLEGE if options.college == "attended" else _DEGREES
    columns = [frame[_INCOME] == _INCOMES[1], frame[_MARITAL] == "Never married", frame[_EDUCATION].isin(college)]
    return np.stack([column.to_numpy(dtype=np.float32) for column in columns], 1)
