"""Train an agent on a task set. The same command again resumes a run that was stopped."""

from __future__ import annotations

import argparse
from pathlib import Path

from mtrl_conic.cli.flags import add_fields, given_run
from mtrl_conic.cli.interruption import asked_to_stop
from mtrl_conic.runs.config import RunConfig, make_config, preset_names


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A preset, where to write, and every field of the configuration."""
    parser.add_argument("preset", help=f"{', '.join(preset_names())}, or a YAML file")
    parser.add_argument("--run-dir", type=Path, help="where the run is kept [runs/<preset>_<balancer>_<seed>]")
    parser.add_argument(
        "--record", nargs="+", default=[], metavar="SERVICE", help="besides TensorBoard, to wandb or trackio"
    )
    add_fields(parser, RunConfig)


def run(arguments: argparse.Namespace) -> int:
    """Train to the end, or until interrupted."""
    config = make_config(arguments.preset, given_run(arguments))
    name = f"{Path(arguments.preset).stem}_{config.balancer}_{config.seed}"
    directory = arguments.run_dir or Path("runs") / name

    from mtrl_conic.cli import display
    from mtrl_conic.runs.run import train
    from mtrl_conic.training.recorders import make_recorders
    from mtrl_conic.training.trainer import Interrupted

    callbacks = [display.Progress(config), *make_recorders(arguments.record, directory)]
    with asked_to_stop() as interrupted:
        try:
            result = train(config, directory, callbacks=callbacks, interrupted=interrupted)
        except Interrupted:
            display.say(f"Stopped. A checkpoint is in {directory}; the same command goes on from there.")
            return 1
    display.show_result(result, directory)
    return 0
