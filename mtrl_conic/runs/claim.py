"""Claims of the directories of several runs before the first of them starts."""

from __future__ import annotations

from collections.abc import Sequence

from mtrl_conic.runs.directory import PATIENCE, open_run
from mtrl_conic.runs.plan import Job


def claim(runs: Sequence[Job]) -> list[Job]:
    """Write every run's configuration to its directory, and return the runs that are not finished.

    Args:
        runs: runs in separate directories.

    Raises:
        UserError: a directory contains another configuration or other files, or another process writes to it. No
            directory is created then.
    """
    there = {run.directory for run in runs if run.directory.exists()}
    in_the_way_first = sorted(runs, key=lambda run: run.directory not in there)
    unfinished = {run.directory for run in in_the_way_first if _claim(run)}
    return [run for run in runs if run.directory in unfinished]


def release(runs: Sequence[Job]) -> None:
    """Remove the directories of claimed runs that have not started, so that a corrected command can use them."""
    for run in runs:
        directory = open_run(run.directory, run.config)
        try:
            directory.withdraw(claimed=True)
        finally:
            directory.close()
        for folder in list(run.directory.parents)[:2]:  # the folders of its method and of the comparison
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


def _claim(run: Job) -> bool:
    directory = open_run(run.directory, run.config, patience=PATIENCE)
    try:
        if not directory.finished:
            directory.go_on()  # the process of the run reads its configuration from the directory
        return not directory.finished
    finally:
        directory.close()
