"""Search for the runs of a report: reinforcement learning runs or supervised runs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from mtrl_conic.balancers import label, parse_methods
from mtrl_conic.errors import UserError, unknown
from mtrl_conic.runs.records import EVALUATIONS, are_by_task, file_of, is_number, read_records
from mtrl_conic.runs.results import check_result, check_tasks
from mtrl_conic.runs.status import find_runs, read_progress
from mtrl_conic.runs.stored import read_config, read_result


@dataclass(frozen=True)
class Found:
    """Run directories of one kind."""

    kind: str
    """One of `runs.configuration.KINDS`."""
    directories: list[Path]
    skipped: list[str]
    """Directories that looked like runs but were skipped, with the reason."""


def in_order(known: Collection[str], labels: Sequence[str]) -> list[str]:
    """Return the given labels without duplicates, or all `known` labels if none is given.

    Raises:
        UserError: a label is unknown.
    """
    return list(dict.fromkeys([known_label("method", label, known) for label in labels] or known))


def known_label(kind: str, given: str, known: Collection[str]) -> str:
    """Return the label of a method, whose options may be written in another way: `gradops:alpha=0` for 0.0.

    Raises:
        UserError: the label is unknown.
    """
    if given in known:
        return given
    try:
        (method,) = parse_methods(given)
    except ValueError:  # it is not the notation of one method
        method = (given, {})
    if label(*method) not in known:
        raise unknown(kind, given, known)
    return label(*method)


def find(folders: Sequence[Path]) -> Found:
    """Find the runs at and below `folders`.

    Raises:
        UserError: there are no runs, or runs of both kinds.
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
        raise UserError(f"{one} is a run of an agent, {other} of a supervised problem; report on one kind at a time")
    ((kind, directories),) = by_kind.items()
    return Found(kind, directories, skipped)


def _check(directory: Path, kind: str) -> None:
    """Check that the files of a run can be read and are consistent.

    Raises:
        UserError: a file is damaged; the message names it.
    """
    read_progress(directory)
    result, evaluations = read_result(directory), list(read_records(directory, EVALUATIONS))
    if result is not None:
        check_result(result, kind, directory / "result.json")
    file = file_of(directory, EVALUATIONS)
    if result is not None and not evaluations:
        raise UserError(f"{directory} has a result, but {file.name} contains no evaluation")
    for number, record in enumerate(evaluations, 1):
        where = f"{file}, line {number},"
        if not is_number(record.get("time")):
            raise UserError(f"{where} is damaged: its time is {str(record.get('time'))[:40]!r}")
        if kind == "reinforcement":
            check_tasks(record, result or evaluations[0], where)
        elif not are_by_task(record.get("test")) or set(record["test"]) != set(evaluations[0]["test"]):
            raise UserError(f"{where} is damaged: its metrics are not those of the other lines")
