"""Evaluate the agent of a run, or a random or scripted policy on the tasks of a preset."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from mtrl_conic import files
from mtrl_conic.cli.flags import add_imports, whole
from mtrl_conic.errors import UserError
from mtrl_conic.runs.config import make_config, preset_names

EXAMPLES = {
    "all 50 goals of each task": "mtrl-conic evaluate runs/a --episodes-per-task 50",
    "a random policy": "mtrl-conic evaluate mt10 --policy random --json random.json",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the run, or the preset for policies that need no run, and how to evaluate."""
    presets = ", ".join(preset_names())
    parser.add_argument(
        "run", help=f"run directory; with --policy random or expert also a YAML file or one of {presets}"
    )
    parser.add_argument(
        "--policy", default="agent", help="policy: agent, random or expert (Meta-World's scripted policies) [agent]"
    )
    parser.add_argument(
        "--episodes-per-task",
        type=whole,
        default=50,
        metavar="N",
        help="evaluate on the first N goals of each task [50]",
    )
    parser.add_argument("--device", default="auto", help="device: auto, cpu, cuda or cuda:N [auto]")
    parser.add_argument(
        "--checkpoint",
        metavar="NAME",
        help="checkpoint: best (of a run with the callback KeepBest) or a saved file [the latest checkpoint]",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results to FILE")
    add_imports(parser)


def run(arguments: argparse.Namespace) -> int:
    """Evaluate and print the table."""
    if arguments.policy not in ("agent", "random", "expert"):
        raise UserError(f"unknown policy {arguments.policy!r}; known: agent, random, expert")
    from mtrl_conic.cli.display import show_evaluation
    from mtrl_conic.cli.terminal import say
    from mtrl_conic.evaluation.policies import expert_policy, random_policy
    from mtrl_conic.evaluation.success import Act, Evaluator
    from mtrl_conic.runs.loading import load_agent
    from mtrl_conic.runs.making import make_evaluation_envs
    from mtrl_conic.runs.stored import checkpoint_of
    from mtrl_conic.training.ready import BEST

    act: Act
    if arguments.policy == "agent":
        run = Path(arguments.run)
        checkpoint = checkpoint_of(run, arguments.checkpoint)
        config, agent, envs = load_agent(run, device=arguments.device, checkpoint=checkpoint)
        act = agent.policy().act
    else:
        of_run = Path(arguments.run) / "config.yaml"
        config = make_config(str(of_run) if of_run.exists() else arguments.run, {})
        envs = make_evaluation_envs(config)
        act = random_policy(envs) if arguments.policy == "random" else expert_policy(envs)
    try:
        record = Evaluator(envs, arguments.episodes_per_task).evaluate(act).record()
    finally:
        envs.close()
    which = "" if arguments.checkpoint is None else f", checkpoint {arguments.checkpoint}"
    show_evaluation(record, f"{arguments.run}: {arguments.policy}{which}")
    if arguments.checkpoint == BEST:
        say("best: selected and scored on the same goals, so it is higher than for the final agent")
    if arguments.json:
        # A report that uses the returns compares the environments with those of its runs.
        told = {**record, "environment": config.environment.model_dump(mode="json")}
        files.write(arguments.json, json.dumps(told, indent=2) + "\n")
    return 0
