"""Show the progress of a run live, with the success, weight and loss of every task."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from mtrl_conic.cli.terminal import Terminal
from mtrl_conic.cli.words import duration, pace
from mtrl_conic.errors import UserError
from mtrl_conic.evaluation.words import estimate, number, return_estimates, without_success
from mtrl_conic.runs.configuration import method_of, read_budget
from mtrl_conic.runs.records import are_by_task, last_record
from mtrl_conic.runs.status import State, read_error, read_progress, read_state
from mtrl_conic.runs.stored import read_config

_COLUMNS = (
    ("success", "evaluations", "success"),
    ("return", "evaluations", "returns"),
    ("training success", "metrics", "training/success"),
    ("training return", "metrics", "training/return"),
    ("critic weight", "metrics", "critic/weight"),
    ("actor weight", "metrics", "actor/weight"),
    ("critic loss", "metrics", "critic/loss"),
    ("temperature", "metrics", "temperature"),
    ("weight", "metrics", "weight"),
    ("loss", "metrics", "loss"),
)
"""Title of each column, the file of its values and their key there; the last two are those of supervised runs."""


EXAMPLES = {
    "a run that is being trained": "mtrl-conic watch runs/a",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the run, and the time between two updates."""
    parser.add_argument("run", type=Path, help="run directory; another process may be writing to it")
    parser.add_argument(
        "--every", type=float, default=1.0, metavar="SECONDS", help="seconds between two updates of the display [1]"
    )


def run(arguments: argparse.Namespace) -> int:
    """Show the run until no process writes to it any more, or once if the output is not a terminal."""
    if not arguments.every > 0:
        raise UserError(f"--every {arguments.every:g}: must be more than 0 seconds")
    config = read_config(arguments.run)
    console = Terminal()
    if console.is_terminal:
        with Live(console=console, auto_refresh=False, transient=True) as live:
            while (state := read_state(arguments.run)) == "running":
                live.update(_view(arguments.run, config, state), refresh=True)
                time.sleep(arguments.every)
    console.print(_view(arguments.run, config, read_state(arguments.run)))
    return 0


def _view(directory: Path, config: dict[str, Any], state: State) -> Group:
    progress = read_progress(directory)
    budget = read_budget(config)
    left = progress.seconds_left(budget) if state == "running" else None
    agent, problem = config.get("agent"), config.get("problem", "")
    learner = f"{agent.get('base')} base" if isinstance(agent, dict) else str(problem)
    parts = [
        f"{directory}: {state}",
        f"{learner}, {method_of(config)}, seed {config['seed']}",
        f"{budget.unit} {progress.step} of {budget.amount}",
        *([pace(progress, budget.unit)] if progress.step else []),
        *([progress.doing] if progress.doing and state == "running" else []),
        *([] if left is None else [f"{duration(left)} left"]),
        *([f"{progress.outcome} at {budget.unit} {progress.evaluated_at}"] if progress.outcome else []),
        *([read_error(directory)] if state == "failed" else []),
    ]
    return Group(", ".join(parts), _tasks(directory))


def _tasks(directory: Path) -> Table:
    records = {name: last_record(directory, name) for name in ("evaluations", "metrics")}
    found = {title: of[key] for title, name, key in _COLUMNS if are_by_task((of := records[name]).get(key))}
    cells = {title: {task: _digits(value) for task, value in column.items()} for title, column in found.items()}
    if not without_success(records["evaluations"]):  # success suffices, and columns are narrow
        cells = {title: column for title, column in cells.items() if not title.endswith("return")}
    if "return" in cells:
        cells["return"] = {task: estimate(of) for task, of in return_estimates(records["evaluations"]).items()}
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 0, 0, 1), pad_edge=False)
    table.add_column("task", no_wrap=True)
    for title in cells:
        table.add_column(Text(title.replace(" ", "\n")), justify="right", overflow="fold")
    for task in dict.fromkeys(task for column in cells.values() for task in column):
        table.add_row(task.removesuffix("-v3"), *(column.get(task, "") for column in cells.values()))
    return table


def _digits(value: float) -> str:
    """Format a number with three digits, or as a whole number from 1,000 on, to avoid powers of ten."""
    return f"{value:.3g}" if abs(value) < 1000 else number(value)
