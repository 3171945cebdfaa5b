"""Features computed from earlier rows with the same key: running sums, and smoothed rates."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def sums_before(keys: NDArray[Any], times: NDArray[np.int64], values: NDArray[Any]) -> NDArray[np.float64]:
    """Sum `values`, for each row, over the rows with the same key and a strictly earlier time.

    Args:
        keys: keys (N,).
        times: times (N,), in any order.
        values: values (N,) or (N, columns).

    Returns:
        The sums, in the shape of `values`.
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
    """For each position, return the last marked position up to it. The first position must be marked."""
    places: NDArray[np.int64] = np.maximum.accumulate(np.where(marks, np.arange(len(marks)), 0))
    return places


def rates(
    hits: NDArray[np.float64], trials: NDArray[np.float64], prior: Any, *, strength: float
) -> NDArray[np.float64]:
    """Return the rates hits / trials, smoothed by `strength` additional trials at the rate `prior`.

    The smoothing keeps a rate close to the prior while there are few trials.
    """
    return np.asarray((hits + strength * prior) / (trials + strength))
