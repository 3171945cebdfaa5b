"""The records of a run: a JSON object per line, with the step at which it was written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mtrl_conic.errors import UserError
from mtrl_conic.reading import open_regular, parse_json

EVALUATIONS, METRICS, CHANGES = "evaluations", "metrics", "changes"
LINE_BYTES = 1 << 22
"""The length of the longest accepted line."""
_TAIL = 1 << 16
_NUMBERS = ("time", "steps_per_second")
_BY_TASK = ("success", "returns", "return_std", "test")
_OF_AN_AGENT = ("success", "returns", "mean_success", "episodes_per_task")
"""The keys of the record of an evaluation; records of supervised runs have `test` instead."""


def file_of(directory: Path, name: str) -> Path:
    """Return the file of the records called `name` of the run in `directory`."""
    return directory / f"{name}.jsonl"


def read_records(directory: Path, name: str) -> Iterator[dict[str, Any]]:
    """Yield the records called `name`; none if the file does not exist. An incomplete last line is ignored.

    Raises:
        UserError: the file cannot be read, or a line is not a record; the message names it.
    """
    for number, line in enumerate(whole_lines(file_of(directory, name)), 1):
        yield parse_record(line, name, f"{file_of(directory, name)}, line {number},")


def whole_lines(file: Path) -> Iterator[bytes]:
    """Yield complete lines; a kill may leave an incomplete last line."""
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
    """Return the last record called `name`, {} if there is none, reading only the end of the file."""
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
    """Return the records called `name`; from a file of more than `whole` bytes, `sample` evenly spaced records."""
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
                continue  # the previous line was longer than the distance between samples
            handle.seek(at)
            if at:
                handle.readline(LINE_BYTES)  # the rest of a line that begins before this position
            line = handle.readline(LINE_BYTES)
            if line.endswith(b"\n"):
                yield parse_record(line, name, f"{file}, the line at byte {at},")


def parse_record(line: bytes, name: str, where: str) -> dict[str, Any]:
    """Return the record in a line.

    Args:
        line: a line of JSON.
        name: name of the records.
        where: place of the line, for the message.

    Raises:
        UserError: the line is not a record.
    """
    record = parse_json(line, where)
    wrong = _wrong(record, name)
    if wrong:
        raise UserError(f"{where} is not a record: {wrong}")
    return dict(record)


def _wrong(record: Any, name: str) -> str:
    """Return what is wrong with a record; empty if it is valid."""
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
            return f"its {key} is not a number"
    for key in record:
        if key in _BY_TASK and not are_by_task(record[key]):
            return f"its {key} is not a number per task"
    if name == EVALUATIONS and "test" not in record:
        missing = [key for key in _OF_AN_AGENT if key not in record]
        if missing:
            return f"it has no {missing[0]}"
        if not (record["mean_success"] is None or is_number(record["mean_success"])):
            return "its mean_success is not a number"
    return ""


def is_number(value: object) -> bool:
    """Return whether `value` is a number; it may be infinite or NaN."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def are_by_task(values: object) -> bool:
    """Return whether `values` contain a number per task or per metric."""
    return isinstance(values, dict) and all(map(is_number, values.values()))


def _are_changes(values: object) -> bool:
    return isinstance(values, dict) and all(isinstance(value, list) and len(value) == 2 for value in values.values())
