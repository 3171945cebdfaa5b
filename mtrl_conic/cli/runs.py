"""List runs and their states."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from mtrl_conic.cli.terminal import Terminal
from mtrl_conic.cli.words import duration
from mtrl_conic.errors import UserError, first_line, unknown
from mtrl_conic.reading import parse_yaml
from mtrl_conic.runs.configuration import Budget, read_budget
from mtrl_conic.runs.status import Progress, State, find_runs, read_error, read_progress, read_state
from mtrl_conic.runs.stored import read_config
from mtrl_conic.schema import flat_items

STATES: dict[State, str] = {"finished": "green", "running": "cyan", "failed": "red", "stale": "yellow", "waiting": ""}
_NOTHING = object()


EXAMPLES = {
    "all runs in the folder runs": "mtrl-conic runs",
    "the failed runs of a method": "mtrl-conic runs --where balancer=ls state=failed",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the folders, and the conditions."""
    parser.add_argument(
        "folders",
        nargs="*",
        type=Path,
        metavar="DIR",
        default=[Path("runs")],
        help="run directories, or folders that contain some [runs]",
    )
    parser.add_argument(
        "--where",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="list only runs with these values of a field, such as balancer=ls, or in this state, as in state=failed",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the table."""
    notes: list[str] = []
    directories = find_runs(arguments.folders, skipped=notes.append)
    above = arguments.folders[0] if len(arguments.folders) == 1 else Path()
    runs = [found for directory in directories if (found := _read(directory, above, notes)) is not None]
    conditions = [_condition(text, runs) for text in arguments.where]
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("run", overflow="fold")
    table.add_column("state")
    for column in ("step", "time", "evaluated"):
        table.add_column(column, justify="right")
    console = Terminal()
    chosen = [run for run in runs if all(run.fields.get(key, _NOTHING) == wanted for key, wanted in conditions)]
    for run in chosen:
        done = f"{run.progress.step} of {run.budget.amount}"
        state = Text(run.state, STATES[run.state])
        table.add_row(run.name, state, done, duration(run.progress.seconds), run.progress.outcome)
    console.print(table)
    for line in [*(f"{run.name}: {run.error}" for run in chosen if run.error), *(f"skipped: {note}" for note in notes)]:
        console.print(line, soft_wrap=True)
    console.print(f"{len(chosen)} of {len(runs)} runs")
    return 0


@dataclass(frozen=True)
class _Run:
    name: str
    fields: dict[str, Any]
    """The values of the configuration by field name, and the state of the run."""
    budget: Budget
    state: State
    progress: Progress
    error: str


def _read(directory: Path, above: Path, notes: list[str]) -> _Run | None:
    """Read the run in `directory`; if something in it cannot be read, add a note and return None."""
    try:
        config, state = read_config(directory), read_state(directory)
        fields = {key.rpartition(".")[2]: value for key, value in flat_items(config)} | {"state": state}
        error = read_error(directory) if state == "failed" else ""
        name = str(directory.relative_to(above))
        return _Run(name, fields, read_budget(config), state, read_progress(directory), error)
    except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
        notes.append(f"cannot read {directory}: {first_line(error)}")
        return None


def _condition(text: str, runs: Sequence[_Run]) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        raise UserError(f"{text!r} is not key=value, such as balancer=conicgrad")
    known = dict.fromkeys(name for run in runs for name in run.fields)
    if key not in known:
        raise unknown("field", key, known)
    if key == "state" and value not in STATES:
        raise unknown("state", value, STATES)
    return key, None if value == "none" else parse_yaml(value, text)
