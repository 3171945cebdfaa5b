"""What was known of a key before a moment: sums over earlier rows, and rates made of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def sums_before(keys: NDArray[Any], times: NDArray[np.int64], values: NDArray[Any]) -> NDArray[np.float64]:
    """For each row the sum of `values` over the rows with its key at an earlier time, its own moment left out.

    Args:
        keys: (N,).
        times: (N,), of any order.
        values: (N,) or (N, columns).

    Returns:
        Of the shape of `values`.
    """
    order = np.lexsort((times, keys))
    key, time = keys[order], times[order]
    table = values[order].astype(np.float64).reshape(len(keys), -1)
    before = np.concatenate([np.zeros_like(table[:1]), table.cumsum(0)])[: len(keys)]
    new_key = np.r_[True, key[1:] != key[:-1]][: len(keys)]
    new_moment = new_key | np.r_[True, time[1:] != time[:-1]][: len(keys)]
    made = np.empty_like(table)
    made[order] = before[_latest(new_moment)] - before[_latest(new_key)]
    return made.reshape(values.shape)


def _latest(marks: NDArray[np.bool_]) -> NDArray[np.int64]:
    """For each place the last marked one up to it; the first place is marked."""
    places: NDArray[np.int64] = np.maximum.accumulate(np.where(marks, np.arange(len(marks)), 0))
    return places


def rates(
    hits: NDArray[np.float64], trials: NDArray[np.float64], prior: Any, *, strength: float
) -> NDArray[np.float64]:
    """Shares of hits as if `strength` more trials had gone as in `prior`, so that few trials say little."""
    return np.asarray((hits + strength * prior) / (trials + strength))
