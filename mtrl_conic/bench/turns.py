"""Times of alternatives that take turns, so that a change of the machine's pace meets all of them alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

Item = TypeVar("Item")


def measure(
    items: Mapping[Item, Callable[[], object]], rounds: int, clock: Callable[[], float], *, warm_up: int
) -> dict[Item, list[float]]:
    """Return the seconds that each item takes in each of `rounds` rounds, after `warm_up` rounds that do not count."""
    measured: dict[Item, list[float]] = {item: [] for item in items}
    for turn in range(warm_up + rounds):
        for item, work in items.items():
            start = clock()
            work()
            if turn >= warm_up:
                measured[item].append(clock() - start)
    return measured
