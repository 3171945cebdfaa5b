"""Taking the directories of many runs before the first of them starts."""

from __future__ import annotations

from collections.abc import Sequence

from mtrl_conic.runs.directory import PATIENCE, open_run
from mtrl_conic.runs.plan import Job


def claim(runs: Sequence[Job]) -> list[Job]:
    """Write every run's configuration into its directory; returns the runs that are not finished.

    Args:
        runs: each with a directory of its own.

    Raises:
        UserError: a directory holds another configuration or other files, or another process writes it.
            No other directory is made then.
    """
    there = {run.directory for run in runs if run.directory.exists()}
    in_the_way_first = sorted(runs, key=lambda run: run.directory not in there)
    unfinished = {run.directory for run in in_the_way_first if _claim(run)}
    return [run for run in runs if run.directory in unfinished]


def release(runs: Sequence[Job]) -> None:
    """Remove the directories of claimed runs that have not begun, so that a corrected command finds no other there."""
    for run in runs:
        directory = open_run(run.directory, run.config)
        try:
            directory.withdraw(claimed=True)
        finally:
            directory.close()
        for folder in list(run.directory.parents)[:2]:  # of its method, of the comparison
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


def _claim(run: Job) -> bool:
    directory = open_run(run.directory, run.config, patience=PATIENCE)
    try:
        return directory.result is None
    finally:
        directory.close()
