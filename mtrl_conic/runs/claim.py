"""Taking the directories of many runs before the first of them starts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from pydantic import BaseModel

from mtrl_conic.runs.config import SITTING
from mtrl_conic.runs.directory import RunDirectory


class Planned(Protocol):
    """A run that is to be made."""

    @property
    def directory(self) -> Path:
        """Where it is kept."""

    @property
    def config(self) -> BaseModel:
        """All of it."""


R = TypeVar("R", bound=Planned)


def claim(runs: Sequence[R], *, ignore: tuple[str, ...] = SITTING) -> list[R]:
    """Write every run's configuration into its directory; returns the runs that are not finished.

    Args:
        runs: each with a directory of its own.
        ignore: fields that may differ from those of the run that is there.

    Raises:
        UserError: a directory holds another configuration or other files, or another process writes it.
            No other directory is made then.
    """
    there = {run.directory for run in runs if run.directory.exists()}
    in_the_way_first = sorted(runs, key=lambda run: run.directory not in there)
    unfinished = {run.directory for run in in_the_way_first if _claim(run, ignore)}
    return [run for run in runs if run.directory in unfinished]


def release(runs: Sequence[Planned], *, ignore: tuple[str, ...] = SITTING) -> None:
    """Remove the directories of claimed runs that have not begun, so that a corrected command finds no other there."""
    for run in runs:
        directory = RunDirectory(run.directory, run.config.model_dump(mode="json"), ignore=ignore)
        try:
            directory.withdraw(claimed=True)
        finally:
            directory.close()
        for folder in list(run.directory.parents)[:2]:  # of its method, of the comparison
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


def _claim(run: Planned, ignore: tuple[str, ...]) -> bool:
    directory = RunDirectory(run.directory, run.config.model_dump(mode="json"), ignore=ignore)
    try:
        return directory.result is None
    finally:
        directory.close()
