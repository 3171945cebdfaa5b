"""What was measured, in words."""

from __future__ import annotations

from typing import Any

from mtrl_conic.evaluation.statistics import MIN_RUNS
from mtrl_conic.report.data import Comparison

_PROTOCOL = ("task_set", "steps", "minutes", "environment.", "training.training_episodes", "training.episodes")


def protocol(comparison: Comparison) -> list[str]:
    """Sentences about the tasks, the budget, the evaluation and the network, of the first method."""
    config = comparison.methods[0].config
    tasks = len(comparison.tasks)
    name = config["task_set"] if isinstance(config["task_set"], str) else "a list of its own"
    budget = f"{config['steps']:,} environment steps of every task, {config['steps'] * tasks:,} in all"
    if config["minutes"]:
        budget = f"{config['minutes']:g} minutes of training, or {budget}, whichever ends first"
    return [
        f"Tasks: {tasks} ({name}), rewards {config['environment.reward_version']}, episodes of "
        f"{config['environment.horizon']} steps, {_goals(config)}; "
        f"the task's one-hot code is {'part' if config['environment.one_hot'] else 'no part'} of the observation.",
        f"Budget: {budget}.",
        f"Success of a run: the policy without noise, after the last step of training, "
        f"{config['training.episodes_per_task']} episodes per task, each on a goal of its own; an episode counts when "
        "success is reported at any of its steps. Nothing is chosen over training.",
        f"Learning curves: every {config['training.evaluate_every']:,} steps, "
        f"episodes per task: {config['training.training_episodes_per_task']}; the last point is the final evaluation.",
        f"Learner: soft actor-critic, {config['agent.base']} base, {config['agent.network']} network of "
        f"{config['agent.depth']} layers of {config['agent.width']}, {config['agent.batch_size']} transitions per task "
        f"and update, {config['agent.updates_per_step']} updates per step after {config['agent.random_steps']} random "
        f"steps; the balancer combines the gradients of {_balanced(config)}.",
    ]


def warnings(comparison: Comparison) -> list[str]:
    """What a reader must know before comparing any two numbers."""
    said = []
    keys = [key for key in comparison.differing if key.startswith(_PROTOCOL)]
    if keys:
        said.append(f"The methods do not share one protocol: they differ in {', '.join(keys)}. See the settings.")
    few = [f"{method.label} ({len(method.finished)})" for method in comparison.methods if len(method.seeds) < MIN_RUNS]
    if few:
        said.append(f"Too few seeds for an interval (finished runs, of {MIN_RUNS} needed): {', '.join(few)}.")
    unfinished = sum(run.result is None for method in comparison.methods for run in method.runs)
    runs = sum(len(method.runs) for method in comparison.methods)
    if unfinished:
        said.append(f"Not finished, and so in no table of success: {unfinished} of {runs} runs.")
    return said


def _goals(config: dict[str, Any]) -> str:
    if config["environment.goal_stream"] == "independent":
        return "goals drawn for each task by itself at every reset"
    return "the same goal number for all tasks at every reset"


def _balanced(config: dict[str, Any]) -> str:
    return "critic and actor" if config["agent.balance"] == "both" else f"the {config['agent.balance']} alone"
