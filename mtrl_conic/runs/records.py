"""The lines of a run's records: a JSON object each, of the step that it was written at."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mtrl_conic.errors import UserError
from mtrl_conic.reading import open_regular, parse_json

EVALUATIONS, METRICS, CHANGES = "evaluations", "metrics", "changes"
LINE_BYTES = 1 << 22
"""Of the longest line that is taken for a record."""
_TAIL = 1 << 16
_NUMBERS = ("time", "steps_per_second")
_BY_TASK = ("success", "returns", "return_std", "test")
_OF_AN_AGENT = ("success", "returns", "mean_success", "episodes_per_task")
"""What an evaluation's record has, but for those of supervised runs, which have `test`."""


def file_of(directory: Path, name: str) -> Path:
    """Where the run in `directory` keeps the records called `name`."""
    return directory / f"{name}.jsonl"


def read_records(directory: Path, name: str) -> Iterator[dict[str, Any]]:
    """The records called `name`, one at a time; none where there is no such file. Half a line at the end is no record.

    Raises:
        UserError: the file cannot be read, or a line is no record; the message names it.
    """
    for number, line in enumerate(whole_lines(file_of(directory, name)), 1):
        yield parse_record(line, name, f"{file_of(directory, name)}, line {number},")


def whole_lines(file: Path) -> Iterator[bytes]:
    """Lines that were written to their end: a kill may leave half a line, only as the last one."""
    try:
        handle = open_regular(file)
    except FileNotFoundError:
        return
    with handle:
        while (line := handle.readline(LINE_BYTES)).endswith(b"\n"):
            yield line
        if len(line) == LINE_BYTES:
            raise UserError(f"cannot read {file}: a line has more than {LINE_BYTES:,} bytes")


def last_record(directory: Path, name: str) -> dict[str, Any]:
    """The last record called `name`, {} where there is none. Reads the file's end only."""
    file = file_of(directory, name)
    try:
        handle = open_regular(file)
    except FileNotFoundError:
        return {}
    with handle:
        end, size = b"", handle.seek(0, os.SEEK_END)
        while size and end.count(b"\n") < 2:
            start = max(0, size - _TAIL)
            handle.seek(start)
            end, size = handle.read(size - start) + end, start
            if len(end) > LINE_BYTES:
                raise UserError(f"cannot read {file}: a line has more than {LINE_BYTES:,} bytes")
    whole, newline, _ = end.rpartition(b"\n")
    return parse_record(whole.rpartition(b"\n")[2], name, f"{file}, last line,") if newline else {}


def sampled_records(directory: Path, name: str, *, whole: int, sample: int) -> Iterator[dict[str, Any]]:
    """The records called `name`; of a file of more than `whole` bytes, `sample` of them evenly spread over it."""
    file = file_of(directory, name)
    try:
        handle = open_regular(file)
    except FileNotFoundError:
        return
    with handle:
        size = handle.seek(0, os.SEEK_END)
        if size <= whole:
            yield from read_records(directory, name)
            return
        handle.seek(0)
        for at in range(0, size, -(-size // sample)):
            if at < handle.tell():
                continue  # the line before was longer than a step
            handle.seek(at)
            if at:
                handle.readline(LINE_BYTES)  # its beginning lies before
            line = handle.readline(LINE_BYTES)
            if line.endswith(b"\n"):
                yield parse_record(line, name, f"{file}, the line at byte {at},")


def parse_record(line: bytes, name: str, where: str) -> dict[str, Any]:
    """The record in a line.

    Args:
        line: of JSON.
        name: of the records.
        where: the line stands, for the message.

    Raises:
        UserError: it is none.
    """
    record = parse_json(line, where)
    wrong = _wrong(record, name)
    if wrong:
        raise UserError(f"{where} is no record: {wrong}")
    return dict(record)


def _wrong(record: Any, name: str) -> str:
    """What is wrong with a record, empty where nothing is."""
    if not isinstance(record, dict):
        return "it has no keys"
    if name == CHANGES and not _are_changes(record.get("changes")):
        return "it has no changes"
    if name not in (EVALUATIONS, METRICS, CHANGES):
        return ""
    step = record.get("step")
    if not isinstance(step, int) or step < 0:
        return f"its step is {str(step)[:40]!r}"
    for key in _NUMBERS:
        if key in record and not is_number(record[key]):
            return f"its {key} is no number"
    for key in record:
        if key in _BY_TASK and not are_by_task(record[key]):
            return f"its {key} is not a number per task"
    if name == EVALUATIONS and "test" not in record:
        missing = [key for key in _OF_AN_AGENT if key not in record]
        if missing:
            return f"it has no {missing[0]}"
        if not (record["mean_success"] is None or is_number(record["mean_success"])):
            return "its mean_success is no number"
    return ""


def is_number(value: object) -> bool:
    """Whether `value` is one; it may be infinite or none at all."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def are_by_task(values: object) -> bool:
    """Whether `values` are a number per task, or per metric."""
    return isinstance(values, dict) and all(map(is_number, values.values()))


def _are_changes(values: object) -> bool:
    return isinstance(values, dict) and all(isinstance(value, list) and len(value) == 2 for value in values.values())
