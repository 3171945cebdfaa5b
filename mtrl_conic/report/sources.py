"""What runs a report is of: those of agents, or those on a supervised problem."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mtrl_conic.errors import UserError
from mtrl_conic.runs.directory import read_config
from mtrl_conic.runs.status import find_runs

Kind = Literal["reinforcement", "supervised"]


@dataclass(frozen=True)
class Found:
    """Run directories of one kind."""

    kind: Kind
    directories: list[Path]
    foreign: list[Path]
    """Folders that hold a configuration of something else."""


def find(folders: Sequence[Path]) -> Found:
    """The runs at and below `folders`.

    Raises:
        UserError: no runs, or runs of both kinds.
    """
    by_kind: dict[Kind | None, list[Path]] = {}
    for directory in find_runs(folders):
        by_kind.setdefault(_kind(directory), []).append(directory)
    foreign = by_kind.pop(None, [])
    if not by_kind:
        raise UserError(f"no runs in {', '.join(map(str, folders))}: {foreign[0]} holds another program's config.yaml")
    if len(by_kind) > 1:
        one, other = (directories[0] for directories in by_kind.values())
        raise UserError(f"{one} and {other} are runs of an agent and of a supervised problem; report on one of them")
    ((kind, directories),) = by_kind.items()
    assert kind is not None
    return Found(kind, directories, foreign)


def _kind(directory: Path) -> Kind | None:
    try:
        config = read_config(directory)
    except UserError:
        return None
    return "reinforcement" if "task_set" in config else "supervised" if "problem" in config else None
