"""The display of a running comparison: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from mtrl_conic.cli.words import duration, pace
from mtrl_conic.errors import UserError
from mtrl_conic.runs.plan import Job
from mtrl_conic.runs.pool import End
from mtrl_conic.runs.status import Progress, read_progress


class Board:
    """A `Watcher` that displays the comparison; as a context manager, it restores the terminal at the end.

    Args:
        console: console to write to.
        total: number of runs of the comparison.
        finished: number of runs that were already finished.
    """

    def __init__(self, console: Console, total: int, finished: int) -> None:
        self._console, self._total, self._finished, self._failed = console, total, finished, 0
        self._evaluated_at: dict[str, int | None] = {}
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None

    def __enter__(self) -> Board:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._live:
            self._live.stop()

    def started(self, run: Job) -> None:
        """Print that a run starts or resumes."""
        progress = _progress(run)
        self._evaluated_at[run.name] = progress.evaluated_at
        self._say(f"{run.name}: resumes at {_at(run, progress)}" if progress.step else f"{run.name}: starts")

    def ended(self, run: Job, end: End, words: str) -> None:
        """Print how a run ended."""
        progress = _progress(run)
        if end == "finished":
            self._finished += 1
            found = f", {progress.outcome}" if progress.outcome else ""
            self._say(f"{run.name}: finished in {duration(progress.seconds)}{found}")
        elif end in ("failed", "refused"):
            self._failed += 1
            self._say(f"{run.name}: failed at {_at(run, progress)}: {words}")
        elif end == "killed":
            self._say(f"{run.name}: {words}; it will resume from its checkpoint")
        else:
            self._say(f"{run.name}: stopped at {_at(run, progress)}")

    def tick(self, running: Sequence[Job]) -> None:
        """Update the table, or print a line for each new evaluation."""
        now = [(run, _progress(run)) for run in running]
        if self._live:
            self._live.update(self._table(now), refresh=True)
            return
        for run, progress in now:
            if progress.evaluated_at != self._evaluated_at[run.name]:
                self._evaluated_at[run.name] = progress.evaluated_at
                self._say(f"{run.name}: {', '.join(_cells(run, progress))}")

    def _say(self, line: str) -> None:
        self._console.print(line, soft_wrap=True)

    def _table(self, now: Sequence[tuple[Job, Progress]]) -> Group:
        table = Table(box=box.SIMPLE_HEAD)
        table.add_column("run", overflow="fold")
        for column in ("step", "speed", "time left", "evaluated"):
            table.add_column(column, justify="right")
        for run, progress in now:
            table.add_row(run.name, *_cells(run, progress))
        waiting = self._total - self._finished - self._failed - len(now)
        return Group(table, f"{self._finished} of {self._total} finished, {self._failed} failed, {waiting} waiting")


def _progress(run: Job) -> Progress:
    """Return the progress of a run, or an empty one if its records are damaged, which must not end the other runs."""
    try:
        return read_progress(run.directory)
    except UserError:
        return Progress()


def _at(run: Job, progress: Progress) -> str:
    return f"{run.config.budget.unit} {progress.step}"


def _cells(run: Job, progress: Progress) -> tuple[str, str, str, str]:
    budget = run.config.budget
    left = progress.seconds_left(budget)
    return (
        f"{_at(run, progress)} of {budget.amount}",
        progress.doing or pace(progress, budget.unit),
        "" if left is None else f"{duration(left)} left",
        progress.outcome,
    )
