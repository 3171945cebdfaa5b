"""What runs a report is of: those of agents, or those on a supervised problem."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from mtrl_conic.errors import UserError, unknown
from mtrl_conic.runs.directory import read_config, read_result
from mtrl_conic.runs.records import EVALUATIONS, are_by_task, file_of, is_number, read_records
from mtrl_conic.runs.results import check_result, check_tasks
from mtrl_conic.runs.status import find_runs, read_progress


@dataclass(frozen=True)
class Found:
    """Run directories of one kind."""

    kind: str
    """One of `runs.configuration.KINDS`."""
    directories: list[Path]
    skipped: list[str]
    """What else there looked like a run, in words."""


def in_order(known: Collection[str], labels: Sequence[str]) -> list[str]:
    """The labels of methods, each once; those of all `known` ones where none is given.

    Raises:
        UserError: there is none of a label.
    """
    for label in labels:
        if label not in known:
            raise unknown("method", label, known)
    return list(dict.fromkeys(labels or known))


def find(folders: Sequence[Path]) -> Found:
    """The runs at and below `folders`.

    Raises:
        UserError: no runs, or runs of both kinds.
    """
    by_kind: dict[str, list[Path]] = {}
    skipped: list[str] = []
    for directory in find_runs(folders, skipped=skipped.append):
        kind = read_config(directory)["kind"]
        try:
            _check(directory, kind)
        except UserError as error:
            skipped.append(str(error))
        else:
            by_kind.setdefault(kind, []).append(directory)
    if not by_kind:
        raise UserError(skipped[0])
    if len(by_kind) > 1:
        one, other = (directories[0] for directories in by_kind.values())
        raise UserError(f"{one} and {other} are runs of an agent and of a supervised problem; report on one of them")
    ((kind, directories),) = by_kind.items()
    return Found(kind, directories, skipped)


def _check(directory: Path, kind: str) -> None:
    """That what a run left can be read, and fits together.

    Raises:
        UserError: it does not; the message names the file.
    """
    read_progress(directory)
    result, evaluations = read_result(directory), list(read_records(directory, EVALUATIONS))
    if result is not None:
        check_result(result, kind, directory / "result.json")
    file = file_of(directory, EVALUATIONS)
    if result is not None and not evaluations:
        raise UserError(f"{directory} has a result, yet there is no evaluation in {file.name}")
    for number, record in enumerate(evaluations, 1):
        where = f"{file}, line {number},"
        if not is_number(record.get("time")):
            raise UserError(f"{where} is damaged: its time is {str(record.get('time'))[:40]!r}")
        if kind == "reinforcement":
            check_tasks(record, result or evaluations[0], where)
        elif not are_by_task(record.get("test")) or set(record["test"]) != set(evaluations[0]["test"]):
            raise UserError(f"{where} is damaged: it is of other metrics")
