"""Train an agent on a task set. The same command again resumes a run that was stopped."""

from __future__ import annotations

import argparse
from pathlib import Path

from mtrl_conic.cli.flags import add_fields, given_fields
from mtrl_conic.cli.interruption import asked_to_stop
from mtrl_conic.errors import UserError
from mtrl_conic.runs.config import RunConfig, make_config, preset_names


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A preset, where to write, and every field of the configuration."""
    parser.add_argument("preset", help=f"{', '.join(preset_names())}, or a YAML file")
    parser.add_argument("--run-dir", type=Path, help="where the run is kept [runs/<preset>_<balancer>_<seed>]")
    parser.add_argument(
        "--seeds",
        type=_seeds,
        metavar="0,1,2",
        help="several in one process, their updates made together: for a GPU; each has its own <run dir>/seed_<n> "
        "[--run-dir runs/<preset>_<balancer>]",
    )
    parser.add_argument(
        "--record", nargs="+", default=[], metavar="SERVICE", help="besides TensorBoard, to wandb or trackio"
    )
    add_fields(parser, RunConfig)


def run(arguments: argparse.Namespace) -> int:
    """Train to the end, or until interrupted."""
    given = given_fields(arguments, RunConfig)
    config = make_config(arguments.preset, given)
    if arguments.seeds is not None and "seed" in given:
        raise UserError("give --seed or --seeds, not both")
    if arguments.record and len(arguments.seeds or []) > 1:
        raise UserError("--record follows one run of a process: train its seeds one by one")
    seeds = [config.seed] if arguments.seeds is None else arguments.seeds
    name = f"{Path(arguments.preset).stem}_{config.balancer}"
    directory = arguments.run_dir or Path("runs") / (name if arguments.seeds else f"{name}_{config.seed}")
    places = {seed: directory / f"seed_{seed}" if arguments.seeds else directory for seed in seeds}

    from mtrl_conic.cli import display
    from mtrl_conic.training.callbacks import Callback
    from mtrl_conic.training.recorders import make_recorders
    from mtrl_conic.training.together import train_together
    from mtrl_conic.training.trainer import Interrupted

    def label(seed: int) -> str:
        return f"seed {seed}" if len(seeds) > 1 else ""

    def callbacks(seed: int) -> list[Callback]:
        of_seed = config.model_copy(update={"seed": seed})
        return [display.Progress(of_seed, label=label(seed)), *make_recorders(arguments.record, places[seed])]

    with asked_to_stop() as interrupted:
        try:
            results = train_together(config, places, callbacks=callbacks, interrupted=interrupted)
        except Interrupted:
            display.say(f"Stopped. A checkpoint is in {directory}; the same command goes on from there.")
            return 1
    for seed, result in results.items():
        display.show_result(result, places[seed], label=label(seed))
    return 0


def _seeds(text: str) -> list[int]:
    seeds = [int(seed) for seed in text.split(",") if seed.strip().isdigit()]
    if len(seeds) != len(text.split(",")) or len(set(seeds)) != len(seeds):
        raise argparse.ArgumentTypeError(f"{text}: different numbers separated by commas, such as 0,1,2")
    return seeds
