"""Regression on the user's own table: several columns are predicted from the others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor

from mtrl_conic.errors import UserError, unknown
from mtrl_conic.reading import check_regular, open_regular
from mtrl_conic.supervised.data.optional import library
from mtrl_conic.supervised.data.rows import Rows, split
from mtrl_conic.supervised.data.tables import codes, deviations, read_csv, reading, standardised
from mtrl_conic.supervised.metrics import Errors
from mtrl_conic.supervised.network import Outputs, TaskNetwork
from mtrl_conic.supervised.networks.mlp import mlp
from mtrl_conic.supervised.problem import Meter, Metric, Options, Problem, Settings, stacked

_LEAST_ROWS = 10


class RegressionOptions(Options):
    """Options of `regression`."""

    targets: list[str] = Field([], description="columns to predict")
    leave_out: list[str] = Field([], description="columns that are neither targets nor features")
    hidden: list[int] = Field([128, 128], min_length=1, description="number of units of the shared layers")
    validation: float = Field(0.1, gt=0, lt=0.5, description="share of the rows that are used for validation")
    test: float = Field(0.2, gt=0, lt=0.5, description="share of the rows that are used for test")

    @model_validator(mode="after")
    def _check_targets(self) -> RegressionOptions:
        for name in self.targets:
            if self.targets.count(name) > 1 or name in self.leave_out:
                also = "twice" if self.targets.count(name) > 1 else "a target and left out"
                raise UserError(f"targets: {name!r} is {also}")
        return self


class Regression(Problem):
    """Squared error on standardised targets; the metrics are R2, and the mean absolute error in the user's units."""

    name = "regression"
    options_model = RegressionOptions
    settings = Settings(epochs=100, batch_size=128, learning_rate=1e-3, selection="best_validation")
    source = (
        "A table that is split at random with the seed. Numbers are standardised on the training rows; other columns "
        "are one-hot."
    )

    def __init__(
        self,
        numbers: NDArray[Any],
        categories: NDArray[Any],
        targets: NDArray[Any],
        options: RegressionOptions,
        seed: int,
    ) -> None:
        self.tasks = tuple(options.targets)
        self.metrics = tuple(
            metric
            for task in self.tasks
            for metric in (
                Metric(f"{task} r2", task),
                Metric(f"{task} mae", task, higher_is_better=False, selects=False),
            )
        )
        self._hidden = options.hidden
        test, validation, train = split(len(targets), [options.test, options.validation], seed)
        parts = [part.numpy() for part in (train, validation, test)]
        known = [np.unique(column[parts[0]]) for column in categories.T]
        self._numbers, self._sizes = numbers.shape[1], [len(values) + 1 for values in known]
        scaled = standardised(*(numbers[part] for part in parts))
        goals = standardised(*(targets[part] for part in parts))
        self._unit = deviations(targets[parts[0]])
        self.training, self.validation, self.test = (
            Rows(
                (torch.from_numpy(scaled[i]), torch.from_numpy(_coded(categories[part], known))),
                (torch.from_numpy(goals[i]),),
            )
            for i, part in enumerate(parts)
        )

    @classmethod
    def load(cls, data: Path, options: Options, *, seed: int, workers: int) -> Regression:
        """Read a CSV file (uncompressed or compressed), a Parquet file, or a NumPy file with named columns."""
        assert isinstance(options, RegressionOptions)
        frame = _read(data)
        if not options.targets:
            raise UserError(f"regression needs --targets, some of the columns of {data}: {', '.join(frame.columns)}")
        for name in (*options.targets, *options.leave_out):
            if name not in frame.columns:
                raise unknown(f"column of {data}", name, frame.columns)
        if len(frame) < _LEAST_ROWS:
            raise UserError(f"{data} has {len(frame)} rows, but at least {_LEAST_ROWS} are needed")
        for part in ("validation", "test"):
            if getattr(options, part) * len(frame) < 1:
                raise UserError(f"{part}={getattr(options, part)} of {len(frame)} rows is no row: use a larger share")
        features = [name for name in frame.columns if name not in (*options.targets, *options.leave_out)]
        numeric = [name for name in features if frame[name].dtype.kind in "iuf"]
        other = [name for name in features if name not in numeric]
        if not features:
            raise UserError(f"{data}: no columns are left to predict the targets from")
        return cls(
            _numbers(data, frame, numeric),
            np.stack([frame[name].astype(str).to_numpy(dtype=object) for name in other], 1)
            if other
            else np.zeros((len(frame), 0), dtype=object),
            _numbers(data, frame, options.targets),
            options,
            seed,
        )

    def network(self, tasks: Sequence[int]) -> TaskNetwork:
        """Create a feed-forward trunk and linear heads."""
        return mlp(self._numbers, self._sizes, self._hidden, len(tasks))

    def losses(self, outputs: Outputs, targets: Sequence[Tensor]) -> Tensor:
        """Return the mean squared error of each target, which has variance 1."""
        return (stacked(outputs) - targets[0].mT).square().mean(1)

    def meter(self) -> Meter:
        """Return a meter of R2 and mean absolute error."""
        return Errors(self.tasks, self._unit)


def _read(file: Path) -> Any:
    """Read a pandas data frame whose column names are strings."""
    if file.is_dir():
        raise UserError(f"{file} is a folder; regression reads a single .csv, .parquet, .npy or .npz file")
    if file.suffix in (".npy", ".npz"):
        frame = _read_numpy(file)
    elif file.suffix in (".parquet", ".pq"):
        library("pyarrow")
        with reading(file):
            frame = library("pandas").read_parquet(check_regular(file))
    else:
        frame = read_csv(file)
    frame.columns = [str(name) for name in frame.columns]
    return frame


def _read_numpy(file: Path) -> Any:
    """Read a structured array, or an archive of columns.

    The archive may contain columns (N,) and blocks (N, n); the columns of a block become `name.0`, `name.1`, ...
    """
    pandas, packed = library("pandas"), file.suffix == ".npz"
    with reading(file), open_regular(file) as opened:
        loaded = np.load(opened, allow_pickle=False)
        columns = {name: loaded[name] for name in (loaded.files if packed else loaded.dtype.names or ())}
    if not columns:
        raise UserError(f"{file} has no named columns: save a structured array, or np.savez(file, name=column, ...)")
    flat: dict[str, NDArray[Any]] = {}
    for name, array in columns.items():
        if array.ndim not in (1, 2):
            raise UserError(f"{file}: {name!r} has shape {array.shape}; columns must be (N,) or (N, n)")
        flat |= {name: array} if array.ndim == 1 else {f"{name}.{i}": part for i, part in enumerate(array.T)}
    lengths = {len(column) for column in flat.values()}
    if len(lengths) > 1:
        raise UserError(f"{file}: the columns have different lengths {sorted(lengths)}")
    return pandas.DataFrame(flat)


def _numbers(file: Path, frame: Any, names: Sequence[str]) -> NDArray[np.float64]:
    for name in names:
        if frame[name].dtype.kind not in "iufb":
            raise UserError(f"{file}: column {name!r} does not contain numbers")
        if not np.isfinite(frame[name].to_numpy(dtype=np.float64)).all():
            raise UserError(f"{file}: column {name!r} has missing or infinite values; fill them or leave it out")
    return np.asarray(frame[list(names)].to_numpy(dtype=np.float64)).reshape(len(frame), len(names))


def _coded(categories: NDArray[Any], known: Sequence[NDArray[Any]]) -> NDArray[np.int64]:
    columns = [codes(column, values) for column, values in zip(categories.T, known, strict=True)]
    return np.stack(columns, 1) if columns else np.zeros((len(categories), 0), dtype=np.int64)
