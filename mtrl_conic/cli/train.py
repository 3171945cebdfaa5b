"""Train an agent on a task set. The same command resumes the run; a larger budget continues it."""

from __future__ import annotations

import argparse
from pathlib import Path

from mtrl_conic.cli.flags import add_changes, add_fields, given_run, shown_preset
from mtrl_conic.cli.interruption import asked_to_stop
from mtrl_conic.cli.recording import add_recorders
from mtrl_conic.reading import as_yaml
from mtrl_conic.runs.config import RunConfig, make_config, preset_names
from mtrl_conic.runs.plan import folder_name

EXAMPLES = {
    "ten robot tasks on one core, for five minutes": "mtrl-conic train mt10_small --minutes 5",
    "a method with an option, and a directory for the run": "mtrl-conic train mt10 --balancer conicgrad:c=0.75 "
    "--seed 1 --run-dir runs/cone_1",
    "resume a run, or continue it with a larger budget": "mtrl-conic train mt10_small --steps 1e5",
    "print the configuration without training": "mtrl-conic train mt10 --base classic --dry-run",
}
COMMON = (
    *("--balancer", "--balancer-options", "--seed", "--task-set", "--steps", "--minutes", "--base", "--network"),
    *("--width", "--batch-size", "--learning-rate", "--evaluate-every", "--device", "--threads", "--record"),
    "--import",
)
HINTS = {
    **dict.fromkeys(("--seeds", "--balancers", "--jobs"), "`mtrl-conic compare` trains several methods and seeds"),
    **dict.fromkeys(("--resume", "--checkpoint"), "to resume a run, repeat its command with the same --run-dir"),
    "--out": "did you mean '--run-dir'?",
}
"""Hints for arguments of other commands and programs."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the preset, the directory, and every field of the configuration."""
    parser.add_argument("preset", help=f"{', '.join(preset_names())}, or a YAML file")
    parser.add_argument(
        "--run-dir", type=Path, metavar="DIR", help="directory of the run [runs/<preset>_<method>_<seed>]"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="check and print the complete configuration without writing anything"
    )
    add_changes(parser)
    add_recorders(parser)
    add_fields(parser, RunConfig)


def shown(arguments: argparse.Namespace) -> tuple[str, dict[str, str]]:
    """Return the name of the preset, and the help of each field with its values and those of the other flags."""
    return shown_preset(arguments.preset, given_run(arguments))


def run(arguments: argparse.Namespace) -> int:
    """Train until the budget is spent, or until interrupted."""
    config = make_config(arguments.preset, given_run(arguments))
    if arguments.dry_run:
        return _show(config, arguments.run_dir or Path())
    name = f"{Path(arguments.preset).stem}_{folder_name(config)}_{config.seed}"
    directory = arguments.run_dir or Path("runs") / name

    from mtrl_conic.cli import display
    from mtrl_conic.cli.terminal import say
    from mtrl_conic.errors import Interrupted
    from mtrl_conic.runs.run import train
    from mtrl_conic.training.recorders import Labels, make_recorders

    where = (arguments.record_project, arguments.record_entity, arguments.record_group)
    labels = Labels(*where, tags=tuple(arguments.record_tags))
    callbacks = [display.Progress(config), *make_recorders(arguments.record, directory, labels)]
    with asked_to_stop() as interrupted:
        try:
            result = train(
                config,
                directory,
                callbacks=callbacks,
                allow_changes=arguments.allow_changes,
                interrupted=interrupted,
            )
        except Interrupted:
            say(f"Stopped. A checkpoint is in {directory}; the same command resumes the run.")
            return 1
    display.show_result(result, directory, config.imports)
    return 0


def _show(config: RunConfig, directory: Path) -> int:
    from mtrl_conic.runs.checking import check, check_fits, probe

    check(config)
    check_fits(config, directory)
    probe([config])
    print(as_yaml(config.model_dump(mode="json")), end="")
    return 0
