"""What has become of a run, read from its directory while or after it is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mtrl_conic.errors import UserError
from mtrl_conic.evaluation.words import metrics_in_words, outcome, without_success
from mtrl_conic.reading import open_regular, read_text
from mtrl_conic.runs.configuration import Budget
from mtrl_conic.runs.directory import DOING, read_config, read_result
from mtrl_conic.runs.lock import look
from mtrl_conic.runs.records import CHANGES, last_record, read_records

State = Literal["finished", "running", "failed", "stale", "waiting"]
"""finished: it has a result. running: a process writes it. failed: it ended with an error, see `error.txt`.
stale: stopped or killed, the same command goes on. waiting: planned, never started."""

ERROR_FILE = "error.txt"


@dataclass(frozen=True)
class Progress:
    """How far a run has come: steps of every task, seconds of training, and what the last evaluation found."""

    step: int = 0
    seconds: float = 0.0
    steps_per_second: float | None = None
    evaluated_at: int | None = None
    success: float | None = None
    """Mean over the tasks that define it."""
    returns: dict[str, float] = field(default_factory=dict)
    """By task, of the tasks on which success is not defined."""
    metrics: dict[str, float] = field(default_factory=dict)
    """On the test rows, of a supervised run."""
    doing: str = ""
    """What goes on beside the steps: `compiling`, `evaluating 12 of 50`; of a running one alone it is true."""

    @property
    def outcome(self) -> str:
        """What the last evaluation found, in one line; empty before the first."""
        return metrics_in_words(self.metrics) or outcome(self.success, self.returns)

    def seconds_left(self, budget: Budget) -> float | None:
        """Until the budget is spent, at the mean speed so far; None before the first line."""
        share = budget.share(self.step, self.seconds)
        return self.seconds * (1 - share) / share if share else None


def read_progress(directory: Path) -> Progress:
    """The progress of the run in `directory`, from the ends of its files."""
    metrics, evaluation = last_record(directory, "metrics"), last_record(directory, "evaluations")
    latest = max(metrics, evaluation, key=lambda record: record.get("step", 0))
    return Progress(
        step=latest.get("step", 0),
        seconds=latest.get("time", 0.0),
        steps_per_second=metrics.get("steps_per_second"),
        evaluated_at=evaluation.get("step"),
        success=evaluation.get("mean_success"),
        returns=without_success(evaluation),
        metrics=evaluation.get("test", {}),
        doing=_read_doing(directory),
    )


def _read_doing(directory: Path) -> str:
    file = directory / DOING
    return read_text(file).strip() if file.exists() else ""


def read_state(directory: Path) -> State:
    """What has become of the run in `directory`."""
    if read_result(directory) is not None:
        return "finished"
    if _is_locked(directory):
        return "running"
    if (directory / ERROR_FILE).exists():
        return "failed"
    started = (directory / "checkpoints" / "latest.pt").exists() or (directory / "metrics.jsonl").exists()
    return "stale" if started else "waiting"


def read_error(directory: Path) -> str:
    """The last line of what a failed run left, empty where there is nothing."""
    file = directory / ERROR_FILE
    return last_line(read_text(file)) if file.exists() else ""


def last_line(text: str) -> str:
    """Of an error: what it says, below where it came from; empty where there is nothing."""
    lines = text.strip().splitlines()
    return lines[-1] if lines else ""


def changes_in_words(directory: Path) -> list[str]:
    """What was changed, when that was asked for, while the run in `directory` went on."""
    return [
        f"{key} from {before} to {after} at step {record['step']}"
        for record in read_records(directory, CHANGES)
        for key, (before, after) in record["changes"].items()
    ]


def find_runs(folders: Iterable[Path], *, skipped: Callable[[str], None] = lambda words: None) -> list[Path]:
    """The run directories at or below each of `folders`, sorted: those whose configuration says that it is a run's.

    Args:
        folders: to look in.
        skipped: told of every other configuration there, in words, but for what lies within a run: loggers keep
            files of that name in folders of their own.

    Raises:
        UserError: a folder that does not exist, or that holds no run.
    """
    found: dict[Path, Path] = {}
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"there is no folder {folder}")
        runs, others = [], {}
        for file in sorted(folder.rglob("config.yaml")):
            try:
                read_config(file.parent)
                runs.append(file.parent)
            except UserError as error:
                others[file.parent] = str(error)
        if not runs:
            raise UserError(next(iter(others.values()), f"no runs in {folder}: no folder there holds a config.yaml"))
        for directory, words in others.items():
            if not set(directory.parents) & set(runs):
                skipped(words)
        found.update({directory.resolve(): directory for directory in runs})
    return list(found.values())


def _is_locked(directory: Path) -> bool:
    try:
        with open_regular(directory / ".lock") as file:
            look(file)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
