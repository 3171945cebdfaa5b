"""Compare balancers on a supervised problem. The same command resumes the comparison."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtrl_conic import plugins
from mtrl_conic.cli import comparison
from mtrl_conic.cli.flags import add_changes, add_fields, described, given_fields
from mtrl_conic.cli.interruption import asked_to_stop
from mtrl_conic.cli.terminal import say
from mtrl_conic.errors import Interrupted, UserError
from mtrl_conic.evaluation.words import metrics_in_words
from mtrl_conic.reading import as_yaml

if TYPE_CHECKING:
    from mtrl_conic.runs.plan import Job
    from mtrl_conic.supervised.config import SupervisedConfig


EXAMPLES = {
    "three methods on census data": "mtrl-conic supervised census --data DIR --balancers ls,pcgrad --seeds 0,1,2",
    "three columns of your own table": "mtrl-conic supervised regression --data table.csv --targets a,b,c",
}
DEFAULT_PROBLEM = "census"
"""The problem whose values the help shows if no problem is given."""
COMMON = ("--data", "--epochs", "--batch-size", "--learning-rate", "--device", "--threads", "--import")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the problem, the folder, the options of a comparison, and every field of the configuration."""
    from mtrl_conic.supervised.config import SupervisedConfig
    from mtrl_conic.supervised.problems import available

    parser.add_argument("source", metavar="problem", help=f"{', '.join(available())}, or a YAML file")
    parser.add_argument(
        "--out", type=Path, help="folder of the comparison, with each run in <method>/seed_<n> [runs/<problem>]"
    )
    parser.add_argument(
        "--run-dir", type=Path, help="execute a single run, in this process, and write it to this directory"
    )
    parser.add_argument("--targets", help="regression: the columns to predict, separated by commas")
    add_changes(parser)
    comparison.add_arguments(parser)
    add_fields(parser, SupervisedConfig, leave_out=("problem",))
    parser.epilog = "A field can be given several values as a,b,c; each combination is a run."


def shown(arguments: argparse.Namespace) -> tuple[str, dict[str, str]]:
    """Return the name of the problem, and the help of each field with the published settings and the given values."""
    from mtrl_conic.schema import parse
    from mtrl_conic.supervised.config import SupervisedConfig

    values = _values(arguments)[0] if arguments.source else {"problem": DEFAULT_PROBLEM}
    config = parse(SupervisedConfig, {"data": "required", **values})
    chosen = {key: value for key, value in config.model_dump(mode="json").items() if value is not None}
    published = config.problem_class.settings.model_dump()
    return config.problem, described(SupervisedConfig, {**published, **chosen})


def run(arguments: argparse.Namespace) -> int:
    """Check all runs, train those that are not finished, and write and print the tables."""
    from mtrl_conic.runs.config import merge
    from mtrl_conic.runs.plan import plan
    from mtrl_conic.runs.stored import is_finished
    from mtrl_conic.supervised.config import SupervisedConfig
    from mtrl_conic.supervised.data.identity import identity
    from mtrl_conic.supervised.training import check, check_data

    values, given = _values(arguments)
    if arguments.run_dir is not None:
        config = SupervisedConfig.complete(merge(values, given))
        if arguments.dry_run:
            return _show(config)
        return _train(config, arguments.run_dir, arguments.allow_changes)
    if arguments.allow_changes:
        raise UserError("--allow-changes needs --run-dir, because settings are changed in one run at a time")
    comparison.check_arguments(arguments)
    folder = comparison.place(arguments, arguments.out or Path("runs") / Path(arguments.source).stem)
    runs = plan(SupervisedConfig, values, given, folder)
    configs = {run.directory: run.config for run in runs if isinstance(run.config, SupervisedConfig)}
    there = [directory for directory in configs if directory.exists()]
    data = identity(Path(configs[there[0]].data)) if there else ""  # all runs of a comparison have the same data
    for directory in there:
        check_data(directory, configs[directory], data)
    check(config for directory, config in configs.items() if not is_finished(directory, config))
    return comparison.carry_out(arguments, runs, folder, lambda: _conclude(runs, folder))


def _values(arguments: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the values of the problem or the YAML file, and those that were given as flags."""
    from mtrl_conic.runs.config import read_yaml
    from mtrl_conic.runs.configuration import check_kind
    from mtrl_conic.supervised.config import SupervisedConfig
    from mtrl_conic.supervised.problems import get

    if Path(arguments.source).suffix in (".yaml", ".yml"):
        values = read_yaml(Path(arguments.source))
        check_kind(values, "supervised", where=arguments.source)
        plugins.require(values.get("imports", []), of=arguments.source)
    else:
        get(arguments.source)  # reports an unknown problem before other errors
        values = {"problem": arguments.source}
    given = given_fields(arguments, SupervisedConfig, many=arguments.run_dir is None)
    if arguments.targets:
        given["options"] = {
            **given.get("options", {}),
            "targets": [name.strip() for name in arguments.targets.split(",")],
        }
    return values, given


def _show(config: SupervisedConfig) -> int:
    from mtrl_conic.supervised.training import check

    check([config])
    print(as_yaml(config.model_dump(mode="json")), end="")
    return 0


def _train(config: SupervisedConfig, directory: Path, allow_changes: bool) -> int:
    from mtrl_conic.runs.results import check_result
    from mtrl_conic.supervised.training import train

    def tell(config: SupervisedConfig, record: dict[str, Any]) -> None:
        say(f"{config.method}, seed {config.seed}, epoch {record['step']}: {metrics_in_words(record['test'])}")

    with asked_to_stop() as interrupted:
        try:
            result = train(config, directory, listener=tell, allow_changes=allow_changes, interrupted=interrupted)
        except Interrupted:
            say(f"Stopped. The same command resumes the run in {directory} after the last finished epoch.")
            return 1
    check_result(result, "supervised", directory / "result.json")
    say(f"{config.method}, seed {config.seed}: {metrics_in_words(result['metrics'])}")
    return 0


def _conclude(runs: Sequence[Job], folder: Path) -> None:
    from mtrl_conic.report.supervised import numbers
    from mtrl_conic.report.supervised.report import write
    from mtrl_conic.report.supervised.source import summarise
    from mtrl_conic.report.tables import in_terminal

    summary = summarise([run.directory for run in runs])
    written = write(summary, folder)
    for line in in_terminal(numbers.methods(summary)).splitlines():
        say(line)
    say(f"Written: {', '.join(file.name for file in written)} in {folder}")
