"""Tables from files: CSV in any compression, Parquet, NumPy."""

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
    """The file `name` in a folder, plain or compressed.

    Raises:
        UserError: not there.
    """
    for ending in COMPRESSIONS:
        if (folder / f"{name}{ending}").is_file():
            return folder / f"{name}{ending}"
    raise UserError(f"{folder} holds no file {name} (plain, .gz, .bz2 or .xz)")


def read_csv(file: Path, **options: Any) -> Any:
    """A pandas data frame.

    Raises:
        UserError: truncated, not a table, or not text, naming the file.
    """
    pandas = library("pandas")
    with reading(file), warnings.catch_warnings():
        warnings.simplefilter("error", pandas.errors.ParserWarning)  # a row of another length, say
        return pandas.read_csv(check_regular(file), **options)


@contextmanager
def reading(what: object) -> Iterator[None]:
    """Whatever a library finds wrong with a file, in one line: each format and compression fails in ways of its own.

    Args:
        what: is read, for the message.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"cannot read {what}: {first_line(error)}") from None


def codes(column: Sequence[str] | NDArray[Any], known: Sequence[str] | NDArray[Any]) -> NDArray[np.int64]:
    """Where each value stands in `known`, sorted; len(known) for values that do not."""
    values, places = np.asarray(column), np.asarray(known)
    found = np.searchsorted(places, values).clip(max=len(places) - 1)
    return np.where(places[found] == values, found, len(places)).astype(np.int64)


def standardised(train: NDArray[Any], *others: NDArray[Any]) -> list[NDArray[np.float32]]:
    """Columns less their mean over their standard deviation, both of `train` alone; constant columns become 0."""
    mean, deviation = train.mean(0), train.std(0)
    scale = np.where(deviation > 0, deviation, 1.0)
    return [((part - mean) / scale).astype(np.float32) for part in (train, *others)]
