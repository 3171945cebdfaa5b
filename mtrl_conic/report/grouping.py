"""Runs that differ only in their seed, as the runs of one method."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from mtrl_conic.errors import UserError


class _Run(Protocol):
    @property
    def directory(self) -> Path: ...

    @property
    def seed(self) -> int: ...


R = TypeVar("R", bound=_Run)


def grouped(runs: Sequence[R], keys: Callable[[R], Mapping[str, Any]]) -> list[list[R]]:
    """Return the runs of each method, by seed, in the order in which the methods were found.

    Args:
        runs: the runs.
        keys: returns what the runs of a method have in common, with dotted keys.

    Raises:
        UserError: a seed of a method occurs twice.
    """
    by_keys: dict[str, list[R]] = {}
    for run in runs:
        by_keys.setdefault(json.dumps(keys(run), sort_keys=True), []).append(run)
    groups = [sorted(group, key=lambda run: run.seed) for group in by_keys.values()]
    for group in groups:
        seed, count = Counter(run.seed for run in group).most_common(1)[0]
        if count > 1:
            first, second, *_ = (run.directory for run in group if run.seed == seed)
            raise UserError(f"{first} and {second} are two copies of the same run; leave one out")
    return groups


def differing(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the keys in which configurations with dotted keys differ."""
    keys = list(dict.fromkeys(key for config in configs for key in config))
    return [key for key in keys if any(config.get(key) != configs[0].get(key) for config in configs)]


def fields_in_words(config: Mapping[str, Any], keys: Sequence[str]) -> list[str]:
    """Return the fields of a configuration as `name=value`; options that it does not have are left out."""
    return [f"{key.rpartition('.')[2]}={config[key]}" for key in keys if key in config]
