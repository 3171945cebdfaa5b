"""The state and the progress of a run, read from its directory during or after training."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mtrl_conic.errors import UserError
from mtrl_conic.evaluation.words import metrics_in_words, outcome, without_success
from mtrl_conic.reading import open_regular, read_text
from mtrl_conic.runs.configuration import Budget
from mtrl_conic.runs.directory import DOING
from mtrl_conic.runs.lock import look
from mtrl_conic.runs.records import CHANGES, last_record, read_records
from mtrl_conic.runs.stored import read_config, read_result

State = Literal["finished", "running", "failed", "stale", "waiting"]
"""finished: it has a result. running: a process writes to it. failed: it ended with an error, see `error.txt`.
stale: stopped or killed, the same command resumes it. waiting: planned, but never started."""

ERROR_FILE = "error.txt"


@dataclass(frozen=True)
class Progress:
    """The progress of a run: steps per task, seconds of training, and the last evaluation."""

    step: int = 0
    seconds: float = 0.0
    steps_per_second: float | None = None
    evaluated_at: int | None = None
    success: float | None = None
    """Mean over the tasks that define it."""
    returns: dict[str, float] = field(default_factory=dict)
    """Returns by task, for the tasks without a success rule."""
    metrics: dict[str, float] = field(default_factory=dict)
    """The test metrics of a supervised run."""
    doing: str = ""
    """The current activity besides the steps: `compiling`, `evaluating 12 of 50`; only valid for a running run."""

    @property
    def outcome(self) -> str:
        """The result of the last evaluation in one line; empty before the first."""
        return metrics_in_words(self.metrics) or outcome(self.success, self.returns)

    def seconds_left(self, budget: Budget) -> float | None:
        """The seconds until the budget is used, at the mean speed so far; None before the first line."""
        share = budget.share(self.step, self.seconds)
        return self.seconds * (1 - share) / share if share else None


def read_progress(directory: Path) -> Progress:
    """Read the progress of the run in `directory` from the ends of its files."""
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
    """Read the state of the run in `directory`."""
    if read_result(directory) is not None:
        return "finished"
    if _is_locked(directory):
        return "running"
    if (directory / ERROR_FILE).exists():
        return "failed"
    started = (directory / "checkpoints" / "latest.pt").exists() or (directory / "metrics.jsonl").exists()
    return "stale" if started else "waiting"


def read_error(directory: Path) -> str:
    """Return the last line of a failed run's error; empty if there is none."""
    file = directory / ERROR_FILE
    return last_line(read_text(file)) if file.exists() else ""


def last_line(text: str) -> str:
    """Return the last line of an error, which contains its message; empty if there is none."""
    lines = text.strip().splitlines()
    return lines[-1] if lines else ""


def changes_in_words(directory: Path) -> list[str]:
    """Describe the settings that were changed when the run in `directory` was resumed."""
    return [
        f"{key} from {before} to {after} at step {record['step']}"
        for record in read_records(directory, CHANGES)
        for key, (before, after) in record["changes"].items()
    ]


def find_runs(folders: Iterable[Path], *, skipped: Callable[[str], None] = lambda words: None) -> list[Path]:
    """Return the run directories at or below each of `folders`, sorted by name and by the numbers in it.

    Args:
        folders: folders to search.
        skipped: function that is called with a description of every configuration file that is not that of a run,
            except those inside runs: loggers use files of the same name.

    Raises:
        UserError: a folder does not exist, or contains no run.
    """
    found: dict[Path, Path] = {}
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"there is no folder {folder}")
        runs, others = [], {}
        for directory in sorted(_with_configuration(folder), key=_by_numbers):
            try:
                read_config(directory)
                runs.append(directory)
            except UserError as error:
                others[directory] = str(error)
        if not runs:
            raise UserError(next(iter(others.values()), f"no runs in {folder}: no folder there contains a config.yaml"))
        for directory, words in others.items():
            if not set(directory.parents) & set(runs):
                skipped(words)
        found.update({directory.resolve(): directory for directory in runs})
    return list(found.values())


def _with_configuration(folder: Path) -> Iterator[Path]:
    """Find the folders that contain a configuration, also behind symbolic links, each once."""
    seen: set[Path] = set()
    for name, inner, files in os.walk(folder, followlinks=True):
        directory = Path(name)
        if directory.resolve() in seen:
            inner.clear()  # two links to one folder, or a link to a folder above it
            continue
        seen.add(directory.resolve())
        if "config.yaml" in files:
            yield directory


def _by_numbers(path: Path) -> list[str | float]:
    """Return a key that sorts `seed_10` after `seed_9`, and `alpha=-10` before `alpha=-2`."""
    parts = re.split(r"((?:(?<==)-)?\d+(?:\.\d+)?)", str(path))
    return [float(part) if place % 2 else part for place, part in enumerate(parts)]


def _is_locked(directory: Path) -> bool:
    try:
        with open_regular(directory / ".lock") as file:
            look(file)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
