"""Compare balancers on a supervised problem. The same command again goes on where it stopped."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtrl_conic.cli.flags import add_fields, add_imports, given_fields
from mtrl_conic.cli.interruption import asked_to_stop
from mtrl_conic.errors import UserError

if TYPE_CHECKING:
    from mtrl_conic.supervised.comparison import PlannedRun
    from mtrl_conic.supervised.config import SupervisedConfig


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The problem, what to compare, where to write, and every field of the configuration."""
    from mtrl_conic.supervised.config import Training
    from mtrl_conic.supervised.problems import available

    parser.add_argument("problem", help=", ".join(available()))
    parser.add_argument("--data", required=True, help="folder or file of the data")
    parser.add_argument(
        "--balancers",
        default="ls",
        help="names, such as stl,ls,gradops:alpha=-2; all: every one with its defaults [ls]",
    )
    parser.add_argument("--seeds", default="0", help="such as 0,1,2 [0]")
    parser.add_argument("--out", type=Path, help="folder of the comparison [runs/<problem>]")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, each in a process of its own [1]")
    parser.add_argument("--targets", help="regression: the columns to predict, a,b,c")
    parser.add_argument("--dry-run", action="store_true", help="check and list the runs, and write nothing")
    add_fields(parser, Training)
    add_imports(parser)


def run(arguments: argparse.Namespace) -> int:
    """Check all, train what is not finished, write and print the tables."""
    from mtrl_conic.report.supervised import numbers
    from mtrl_conic.report.supervised.report import write
    from mtrl_conic.report.supervised.source import summarise
    from mtrl_conic.report.tables import in_terminal
    from mtrl_conic.runs.claim import claim, release
    from mtrl_conic.supervised.comparison import run_all
    from mtrl_conic.supervised.config import SITTING
    from mtrl_conic.supervised.training import Interrupted

    folder = arguments.out or Path("runs") / arguments.problem
    runs = _planned(arguments, folder)
    if arguments.dry_run:
        print("\n".join(str(planned.directory) for planned in runs))
        return 0
    unfinished = claim(runs, ignore=SITTING)
    _say(f"{len(runs)} runs in {folder}, {len(runs) - len(unfinished)} finished")
    with asked_to_stop() as interrupted:
        try:
            for planned, result in run_all(unfinished, jobs=arguments.jobs, listener=_tell, interrupted=interrupted):
                _say(f"{planned.name}: done, {_numbers(result['metrics'])}")
        except Interrupted:
            _say("Stopped. Every run goes on from its last finished epoch with the same command.")
            return 1
        except UserError:
            release(unfinished, ignore=SITTING)  # what only the data could tell
            raise
    summary = summarise([planned.directory for planned in runs])
    written = write(summary, folder)
    print(in_terminal(numbers.methods(summary)))
    _say(f"Written: {', '.join(file.name for file in written)} in {folder}")
    return 0


def _planned(arguments: argparse.Namespace, folder: Path) -> list[PlannedRun]:
    from mtrl_conic.supervised.comparison import plan
    from mtrl_conic.supervised.config import Training, parse_methods

    if arguments.jobs < 1:
        raise UserError(f"--jobs {arguments.jobs}: at least 1")
    values: dict[str, Any] = {"problem": arguments.problem, "data": arguments.data}
    values |= given_fields(arguments, Training)
    if arguments.targets:
        values["options"] = {**values.get("options", {}), "targets": arguments.targets.split(",")}
    return plan(values, parse_methods(arguments.balancers), _seeds(arguments.seeds), folder)


def _seeds(text: str) -> list[int]:
    try:
        seeds = [int(part) for part in text.split(",")]
    except ValueError:
        raise UserError(f"--seeds {text}: whole numbers separated by commas, such as 0,1,2") from None
    if len(set(seeds)) < len(seeds):
        raise UserError(f"--seeds {text}: a seed stands there twice")
    return seeds


def _tell(config: SupervisedConfig, record: dict[str, Any]) -> None:
    _say(f"{config.method}, seed {config.seed}, epoch {record['step']}: {_numbers(record['test'])}")


def _numbers(values: dict[str, float]) -> str:
    shown = [f"{name} {value:.4f}" for name, value in list(values.items())[:9]]
    return ", ".join(shown) + (f", ... ({len(values)} in all)" if len(values) > len(shown) else "")


def _say(line: str) -> None:
    print(line, flush=True)
