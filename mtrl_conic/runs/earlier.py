"""Conversion of configurations that earlier versions wrote."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_EXECUTION = {
    None: ("device", "threads", "overlap", "workers"),
    "environment": ("stepping", "stepping_threads", "vector"),
    "agent": ("compile", "record_updates"),
}
"""The former places of the fields of `execution`: at the top, or in a section."""


_SINCE: dict[tuple[str, str], dict[str, dict[str, Any]]] = {
    ("kind", "reinforcement"): {
        "": {"algorithm": "mtsac", "algorithm_options": {}},
        "agent": {
            "temperatures": "task",
            "batch": "balanced",
            "log_std": "clamp",
            "deviation_rate": 0.001,
            "critics": 2,
        },
    },
    ("problem", "census"): {"options": {"dropout": "each"}},
}
"""For runs with a certain value of a key: the fields that were added later, by section ("" for none), with the values
that give the earlier behaviour."""


def completed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the complete configuration of a run, including the fields that were added since it was written.

    Args:
        values: values as read from its file, which are not changed.
    """
    filled = in_their_places(values)
    for (key, value), sections in _SINCE.items():
        for section, fields in sections.items() if filled.get(key) == value else ():
            there = filled.get(section)
            if not section:
                filled = {**fields, **filled}
            elif isinstance(there, Mapping):
                filled[section] = {**fields, **there}
    return filled


def in_their_places(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a configuration with the fields of `execution` in their current places.

    Args:
        values: values as read from YAML, which are not changed.
    """
    moved = dict(values)
    execution: dict[str, Any] = {}
    for section, names in _EXECUTION.items():
        there = moved if section is None else moved.get(section)
        if not isinstance(there, Mapping):
            continue
        execution |= {name: there[name] for name in names if name in there}
        left = {name: value for name, value in there.items() if name not in names}
        moved = left if section is None else {**moved, str(section): left}
    there = moved.get("execution") or {}
    if execution and isinstance(there, Mapping):
        moved["execution"] = {**execution, **there}
    return moved
