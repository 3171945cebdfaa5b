"""Tables from files: CSV with any compression, Parquet and NumPy."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtrl_conic.errors import UserError, first_line
from mtrl_conic.reading import check_regular
from mtrl_conic.supervised.data.optional import library

COMPRESSIONS = ("", ".gz", ".bz2", ".xz", ".zip", ".zst")


def find(folder: Path, name: str) -> Path:
    """Find the file `name` in a folder, uncompressed or compressed.

    Raises:
        UserError: the folder does not contain the file.
    """
    for ending in COMPRESSIONS:
        if (folder / f"{name}{ending}").is_file():
            return folder / f"{name}{ending}"
    raise UserError(f"{folder} contains no file {name} (uncompressed, .gz, .bz2 or .xz)")


def read_csv(file: Path, **options: Any) -> Any:
    """Read a CSV file as a pandas data frame.

    Raises:
        UserError: the file is truncated, is not a table or is not text; the message names it.
    """
    pandas = library("pandas")
    with reading(file), warnings.catch_warnings():
        # Rows of different lengths only cause a warning by default.
        warnings.simplefilter("error", pandas.errors.ParserWarning)
        return pandas.read_csv(check_regular(file), **options)


@contextmanager
def reading(what: object) -> Iterator[None]:
    """Turn any error of a library that reads a file into a `UserError` of one line.

    Every file format and compression library raises exceptions of its own.

    Args:
        what: what is being read, for the message.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"cannot read {what}: {first_line(error)}") from None


def codes(column: Sequence[str] | NDArray[Any], known: Sequence[str] | NDArray[Any]) -> NDArray[np.int64]:
    """Return the position of each value in the sorted `known` values, and len(known) for unknown values."""
    values, places = np.asarray(column), np.asarray(known)
    found = np.searchsorted(places, values).clip(max=len(places) - 1)
    return np.where(places[found] == values, found, len(places)).astype(np.int64)


def standardised(train: NDArray[Any], *others: NDArray[Any]) -> list[NDArray[np.float32]]:
    """Standardise columns with the mean and standard deviation of `train`. Columns that are constant there become 0."""
    varies = train.min(0) < train.max(0)
    mean, scale = train.mean(0), deviations(train)
    return [np.where(varies, (part - mean) / scale, 0.0).astype(np.float32) for part in (train, *others)]


def deviations(train: NDArray[Any]) -> NDArray[np.float64]:
    """Return the standard deviations of columns; 1 for those that are constant, whose computed one may be rounding."""
    return np.asarray(np.where(train.min(0) < train.max(0), train.std(0), 1.0))
