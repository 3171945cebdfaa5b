"""Train an agent on a task set. The same command again resumes; with a larger budget it goes on."""

from __future__ import annotations

import argparse
from pathlib import Path

import yaml

from mtrl_conic.cli.flags import add_fields, given_run
from mtrl_conic.cli.interruption import asked_to_stop
from mtrl_conic.cli.recording import add_recorders
from mtrl_conic.runs.config import RunConfig, make_config, preset_names
from mtrl_conic.runs.plan import folder_name


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A preset, where to write, and every field of the configuration."""
    parser.add_argument("preset", help=f"{', '.join(preset_names())}, or a YAML file")
    parser.add_argument("--run-dir", type=Path, help="where the run is kept [runs/<preset>_<method>_<seed>]")
    parser.add_argument("--dry-run", action="store_true", help="check, print the complete configuration, write nothing")
    add_recorders(parser)
    add_fields(parser, RunConfig)


def run(arguments: argparse.Namespace) -> int:
    """Train to the end, or until interrupted."""
    config = make_config(arguments.preset, given_run(arguments))
    if arguments.dry_run:
        return _show(config)
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
            result = train(config, directory, callbacks=callbacks, interrupted=interrupted)
        except Interrupted:
            say(f"Stopped. A checkpoint is in {directory}; the same command goes on from there.")
            return 1
    display.show_result(result, directory)
    return 0


def _show(config: RunConfig) -> int:
    from mtrl_conic.runs.run import check, probe

    check(config)
    probe([config])
    print(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False), end="")
    return 0
