"""Train several runs, one for each combination of the fields given as lists. The same command resumes them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from mtrl_conic.cli import comparison
from mtrl_conic.cli.flags import add_fields, given_run, shown_preset
from mtrl_conic.cli.recording import add_recorders, again
from mtrl_conic.cli.terminal import say
from mtrl_conic.runs.config import RunConfig, preset_names, read_preset, require_modules

if TYPE_CHECKING:
    from mtrl_conic.runs.plan import Job


EXAMPLES = {
    "three methods, three seeds, ten minutes each": "mtrl-conic compare mt10_small --minutes 10 "
    "--balancers ls,pcgrad,conicgrad --seeds 0,1,2 --out runs/cmp",
    "two values of an option": "mtrl-conic compare mt10_small --balancers conicgrad:c=0.3,conicgrad:c=0.9 "
    "--seeds 0,1,2 --out runs/cone",
    "list the runs without training": "mtrl-conic compare mt10 --balancers all --seeds 0,1,2 --out runs/all --dry-run",
}
COMMON = (
    *("--task-set", "--steps", "--minutes", "--base", "--network", "--width", "--batch-size", "--learning-rate"),
    *("--evaluate-every", "--device", "--threads", "--record", "--import"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the preset, the folder, the options of a comparison, and every field of the configuration."""
    parser.add_argument("preset", help=f"{', '.join(preset_names())}, or a YAML file")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        required=True,
        help="folder of the comparison, with each run in <method>/seed_<n>",
    )
    comparison.add_arguments(parser)
    add_recorders(parser)
    add_fields(parser, RunConfig)
    parser.epilog = "A field can be given several values as a,b,c; each combination is a run."


def shown(arguments: argparse.Namespace) -> tuple[str, dict[str, str]]:
    """Return the name of the preset, and the help of each field with its values."""
    return shown_preset(arguments.preset, {})


def run(arguments: argparse.Namespace) -> int:
    """Check all runs, train those that are not finished, and print the next command."""
    comparison.check_arguments(arguments)
    folder = comparison.place(arguments, arguments.out)
    runs = _planned(arguments, folder)

    def conclude() -> None:
        say(f"Done. Next: mtrl-conic report {arguments.out} --out report.html")

    return comparison.carry_out(arguments, runs, folder, conclude)


def _planned(arguments: argparse.Namespace, folder: Path) -> list[Job]:
    from mtrl_conic.runs.checking import check, check_fits, probe
    from mtrl_conic.runs.configuration import check_kind
    from mtrl_conic.runs.plan import plan
    from mtrl_conic.runs.stored import is_finished
    from mtrl_conic.training.recorders import make_recorders

    values, given = read_preset(arguments.preset), given_run(arguments, many=True)
    check_kind(values, "reinforcement", where=arguments.preset)
    require_modules({**values, **given}, of=arguments.preset)
    runs = plan(RunConfig, values, given, folder, arguments=again(arguments))
    configs = [planned.config for planned in runs if isinstance(planned.config, RunConfig)]
    for config in configs:
        check(config)
    for planned in runs:
        if isinstance(planned.config, RunConfig) and not is_finished(planned.directory, planned.config):
            check_fits(planned.config, planned.directory)
    make_recorders(arguments.record, folder)  # reports a service that is not installed before any run starts
    probe(configs)
    return runs
