"""List runs and what has become of them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import yaml
from rich import box
from rich.console import Console
from rich.table import Table

from mtrl_conic.cli.words import duration
from mtrl_conic.errors import UserError, unknown
from mtrl_conic.evaluation.words import returns_in_words
from mtrl_conic.runs.config import RunConfig
from mtrl_conic.runs.directory import read_config
from mtrl_conic.runs.status import State, budget, find_runs, read_error, read_progress, read_state
from mtrl_conic.schema import leaves

STATES: dict[State, str] = {"finished": "green", "running": "cyan", "failed": "red", "stale": "yellow", "waiting": ""}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where they are, and which ones."""
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="runs, or folders that hold some")
    parser.add_argument(
        "--where", nargs="+", default=[], metavar="KEY=VALUE", help="only those: a field, such as balancer=ls, or state"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the table."""
    conditions = [_condition(text) for text in arguments.where]
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("run", overflow="fold")
    table.add_column("state")
    for column in ("step", "time", "success", "return"):
        table.add_column(column, justify="right")
    console, count, errors, directories = Console(highlight=False), 0, [], find_runs(arguments.folders)
    above = arguments.folders[0] if len(arguments.folders) == 1 else Path()
    for directory in directories:
        config, state = read_config(directory), read_state(directory)
        if all(_value(config, state, path) == wanted for path, wanted in conditions):
            count += 1
            name = str(directory.relative_to(above))
            table.add_row(name, *_cells(directory, config, state))
            if state == "failed":
                errors.append(f"{name}: {read_error(directory)}")
    console.print(table)
    for error in errors:
        console.print(error, soft_wrap=True, markup=False)
    console.print(f"{count} of {len(directories)} runs")
    return 0


def _cells(directory: Path, config: dict[str, Any], state: State) -> list[str]:
    progress = read_progress(directory)
    return [
        f"[{STATES[state]}]{state}[/]" if STATES[state] else state,
        f"{progress.step} of {budget(config)}",
        duration(progress.seconds),
        "" if progress.success is None else f"{progress.success:.3f}",
        returns_in_words(progress.returns),
    ]


def _condition(text: str) -> tuple[tuple[str, ...], Any]:
    key, equals, value = text.partition("=")
    if not equals:
        raise UserError(f"{text!r} is not key=value, such as balancer=conicgrad")
    paths = {path[-1]: path for path, _ in leaves(RunConfig)} | {"state": ("state",)}
    if key not in paths:
        raise unknown("field", key, paths)
    if key == "state" and value not in STATES:
        raise unknown("state", value, STATES)
    return paths[key], None if value == "none" else yaml.safe_load(value)


def _value(config: dict[str, Any], state: State, path: tuple[str, ...]) -> Any:
    value: Any = {**config, "state": state}
    for part in path:
        value = value.get(part) if isinstance(value, dict) else None
    return value
