"""Checks of a run's result, since a damaged file may still be valid JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mtrl_conic.errors import UserError
from mtrl_conic.runs.records import are_by_task, is_number

Record = Mapping[str, Any]
_METRIC = {"name", "task", "higher_is_better", "selects"}


def check_result(result: Record, kind: str, where: Path) -> None:
    """Check that a result contains everything that a run of its kind writes.

    Args:
        result: the result as read.
        kind: kind of the run, one of `runs.configuration.KINDS`.
        where: origin of the result, for the message.

    Raises:
        UserError: a value is missing or has another type; the message names it.
    """
    for name, fits in _FIELDS[kind].items():
        if name not in result:
            raise UserError(f"{where} is damaged: it has no {name}")
        if not fits(result[name]):
            raise UserError(f"{where} is damaged: its {name} is {str(result[name])[:40]!r}")
    if kind == "reinforcement":
        check_tasks(result, result, str(where))


def check_tasks(record: Record, first: Record, where: str) -> None:
    """Check that two evaluations have the same tasks, and define success on the same ones.

    Raises:
        UserError: they do not; the message names the record.
    """
    for name, of in (("returns", "returns"), ("success", "success"), ("success_at_end", "success")):
        if not are_by_task(record.get(name)):
            raise UserError(f"{where} is damaged: its {name} is {str(record.get(name))[:40]!r}")
        if set(record[name]) != set(first[of]):
            raise UserError(f"{where} is damaged: its {name} is of other tasks")
    if not set(record["success"]) <= set(record["returns"]):
        raise UserError(f"{where} is damaged: its success is of other tasks than its returns")


def _is_number_or_none(value: object) -> bool:
    return value is None or is_number(value)


def _is_mapping(value: object) -> bool:
    return isinstance(value, Mapping)


def _is_machine(value: object) -> bool:
    return isinstance(value, Mapping) and {"device", "threads", "cores"} <= value.keys()


def _are_metrics(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(_is_metric(each) for each in value)


def _is_metric(value: object) -> bool:
    return isinstance(value, Mapping) and {"name", "task"} <= value.keys() <= _METRIC


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


_FIELDS: Mapping[str, Mapping[str, Callable[[object], bool]]] = {
    "reinforcement": {
        "step": is_number,
        "seconds": is_number,
        "returns": are_by_task,
        "success": are_by_task,
        "success_at_end": are_by_task,
        "mean_success": _is_number_or_none,
        "mean_success_at_end": _is_number_or_none,
        "episodes_per_task": is_number,
        "seconds_by_part": are_by_task,
        "versions": _is_mapping,
        "machine": _is_machine,
    },
    "supervised": {
        "step": is_number,
        "seconds": is_number,
        "metrics": are_by_task,
        "measured": _are_metrics,
        "selected_epochs": _is_mapping,
        "facts": _are_texts,
        "seconds_per_epoch": is_number,
        "cpu_seconds_per_epoch": is_number,
        "peak_memory_bytes": is_number,
    },
}
