"""What runs a report is of: those of agents, or those on a supervised problem."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from mtrl_conic.errors import UserError, unknown
from mtrl_conic.runs.directory import read_config, read_result
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
        try:
            read_result(directory), read_progress(directory)
        except UserError as error:
            skipped.append(str(error))
        else:
            by_kind.setdefault(read_config(directory)["kind"], []).append(directory)
    if not by_kind:
        raise UserError(skipped[0])
    if len(by_kind) > 1:
        one, other = (directories[0] for directories in by_kind.values())
        raise UserError(f"{one} and {other} are runs of an agent and of a supervised problem; report on one of them")
    ((kind, directories),) = by_kind.items()
    return Found(kind, directories, skipped)
