"""Write a video of a run's agent on all tasks, acting without exploration, with successes marked."""

from __future__ import annotations

import argparse
from pathlib import Path

from mtrl_conic.cli.flags import add_imports, whole
from mtrl_conic.errors import UserError

EXAMPLES = {
    "the first goal of each task": "mtrl-conic video runs/a --out a.mp4",
    "three goals, at most 200 steps each": "mtrl-conic video runs/a --goals 0,1,2 --steps 200 --out a.gif",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the run, the episodes to show, and the format of the video."""
    parser.add_argument("run", type=Path, help="run directory")
    parser.add_argument(
        "--checkpoint",
        metavar="NAME",
        help="checkpoint: best (of a run with the callback KeepBest) or a saved file [the latest checkpoint]",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="file to write, .mp4 or .gif [RUN/video.mp4]")
    parser.add_argument(
        "--goals", default="0", metavar="0,1,2", help="numbers of the goals to show, one episode each [0]"
    )
    parser.add_argument("--steps", type=whole, help="largest number of steps of each episode [the whole episode]")
    parser.add_argument(
        "--every", type=whole, default=4, metavar="STEPS", help="number of steps between two frames [4]"
    )
    parser.add_argument(
        "--fps", type=whole, default=20, help="frames per second; 20 with --every 4 gives real time [20]"
    )
    parser.add_argument(
        "--size", type=whole, default=240, metavar="PIXELS", help="width and height of the picture of each task [240]"
    )
    add_imports(parser)


def run(arguments: argparse.Namespace) -> int:
    """Draw the episodes, and write the video."""
    for name, least in (("steps", 1), ("every", 1), ("fps", 1), ("size", 32)):
        value = getattr(arguments, name)
        if value is not None and value < least:
            raise UserError(f"--{name} {value}: must be at least {least}")
    out = arguments.out or arguments.run / "video.mp4"
    goals = _goals(arguments.goals)
    from mtrl_conic.cli.terminal import say
    from mtrl_conic.evaluation.pictures import rendered
    from mtrl_conic.evaluation.video import check_writable, frames, write
    from mtrl_conic.runs.checking import check_goals
    from mtrl_conic.runs.loading import read_run, take_up
    from mtrl_conic.runs.making import make_agent
    from mtrl_conic.runs.stored import checkpoint_of

    check_writable(out)
    checkpoint = checkpoint_of(arguments.run, arguments.checkpoint)
    config, saved = read_run(arguments.run, checkpoint=checkpoint)
    check_goals(config, max(goals) + 1)
    drawn = rendered(config.task_set, config.environment, seed=config.seed, size=arguments.size)
    with drawn as (envs, pictures):
        on_processor = config.model_copy(update={"execution": config.execution.model_copy(update={"device": "cpu"})})
        agent = make_agent(on_processor, envs)
        take_up(agent, saved, of=checkpoint or arguments.run)
        shown = frames(
            envs,
            pictures,
            agent.policy().act,
            goals=goals,
            title=f"{config.balancer}, seed {config.seed}, {saved['step']:,} steps per task",
            size=arguments.size,
            every=arguments.every,
            steps=arguments.steps,
        )
        count = write(shown, out, fps=arguments.fps)
    say(f"Written: {out}, {count} frames, {count / arguments.fps:.0f} s")
    return 0


def _goals(text: str) -> list[int]:
    try:
        goals = [int(part) for part in text.split(",")]
    except ValueError:
        goals = [-1]
    if min(goals) < 0:
        raise UserError(f"--goals {text}: must be numbers of 0 or more, such as 0,1,2")
    return goals
