"""Sentences that describe what was measured, and warnings about its limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mtrl_conic.agents.registry import MTSAC
from mtrl_conic.envs.metaworld.goals import GOALS_PER_TASK
from mtrl_conic.envs.names import is_metaworld
from mtrl_conic.evaluation.estimates import FEW_RUNS, MIN_RUNS
from mtrl_conic.report.reinforcement.scale import Scale
from mtrl_conic.report.reinforcement.source import Comparison, Run
from mtrl_conic.runs.config import RunConfig

USUAL_STEPS = int(RunConfig.model_fields["steps"].default)
"""The usual budget of published results on Meta-World, in environment steps per task."""
SHORT = 10
"""Runs shorter than the usual budget divided by this number are called short."""
_NAMED = 5
"""With more runs than this, a warning names the first ones only."""
_PROTOCOL = ("task_set", "steps", "minutes", "environment.", "training.training_episodes", "training.episodes")


def protocol(comparison: Comparison, scale: Scale | None = None) -> list[str]:
    """Return sentences about the tasks, the budget, the evaluation and the network of the first method.

    Args:
        comparison: the runs.
        scale: the scale of normalised returns, if there is one.
    """
    config = comparison.methods[0].config
    names = comparison.tasks
    budget = f"{config['steps']:,} environment steps per task, {config['steps'] * len(names):,} in total"
    if config["minutes"]:
        budget = f"{config['minutes']:g} minutes of training, or {budget}, whichever ends first"
    episodes, each = _episodes(config)
    return [
        f"Tasks: {len(names)} ({_set_name(config)}), {episodes}; "
        f"the task's one-hot code is {'part' if config['environment.one_hot'] else 'not part'} of the observation.",
        f"Budget: {budget}.",
        f"Final evaluation of a run: the deterministic policy after the last step of training, "
        f"{config['training.episodes_per_task']} episodes per task, each {each}. No checkpoint is selected.",
        *_measured(comparison, scale),
        f"Learning curves: an evaluation every {config['training.evaluate_every']:,} steps (episodes per task: "
        f"{config['training.training_episodes_per_task']}); the last point is the final evaluation.",
        f"Learner: {_learner(config)}.{_other_learners(comparison)}",
    ]


def _learner(config: dict[str, Any]) -> str:
    name = config.get("algorithm", MTSAC)
    if name != MTSAC:
        own = "algorithm_options."
        given = [f"{key.removeprefix(own)}={value}" for key, value in config.items() if key.startswith(own)]
        return ", ".join([f"the user's own agent {name}", *given])
    return (
        f"soft actor-critic, {config['agent.base']} base, {config['agent.network']} network of "
        f"{config['agent.depth']} layers of {config['agent.width']}, {config['agent.batch_size']} transitions per task "
        f"and update, {_updates(config)} per step after {config['agent.random_steps']} random "
        f"steps; the balancer combines the gradients of {_balanced(config)}"
    )


def warnings(comparison: Comparison) -> list[str]:
    """Return warnings that a reader needs before comparing numbers."""
    said = []
    keys = [key for key in comparison.differing if key.startswith(_PROTOCOL)]
    if keys:
        said.append(f"The methods do not share one protocol: they differ in {', '.join(keys)}. See the settings table.")
    said += _seeds(comparison) + _budget(comparison)
    for run in (run for method in comparison.methods for run in method.runs if run.changes):
        said.append(f"Settings were changed when {run.directory} was resumed: {'; '.join(run.changes)}.")
    unfinished = sum(run.result is None for method in comparison.methods for run in method.runs)
    runs = sum(len(method.runs) for method in comparison.methods)
    if unfinished:
        said.append(f"{unfinished} of {runs} runs are not finished, so the tables of results do not include them.")
    return said


def _seeds(comparison: Comparison) -> list[str]:
    counts = {method.label: len(method.seeds) for method in comparison.methods}
    none = [f"{label} ({count})" for label, count in counts.items() if count < MIN_RUNS]
    few = [f"{label} ({count})" for label, count in counts.items() if MIN_RUNS <= count < FEW_RUNS]
    said = []
    if none:
        said.append(
            f"Too few seeds for an interval (finished runs; {MIN_RUNS} are needed): {', '.join(none)}. "
            "These runs do not show which method is better."
        )
    if few:
        said.append(
            f"Few seeds (finished runs): {', '.join(few)}. Intervals from fewer than {FEW_RUNS} seeds are too narrow "
            "and do not support a ranking."
        )
    return said


def _budget(comparison: Comparison) -> list[str]:
    finished = [run for method in comparison.methods for run in method.finished]
    ends = [int(run.result["step"]) for run in finished if run.result]
    said = _stopped(finished)
    published = is_metaworld(comparison.methods[0].config["task_set"])
    if published and SHORT * max(ends) < USUAL_STEPS:
        said.append(
            f"Short runs: at most {max(ends):,} steps per task, whereas published results are taken after "
            f"{USUAL_STEPS:,}. They show the start of learning, not its end."
        )
    if any(method.config["minutes"] for method in comparison.methods) and min(ends) < max(ends):
        said.append(
            f"The time budget ended runs at different steps, {min(ends):,} to {max(ends):,}: final values compare "
            "equal minutes, the curves over steps compare equal steps."
        )
    return said


def _stopped(finished: Sequence[Run]) -> list[str]:
    """Name the runs that did not end at the number of steps of their configuration, although no minutes limit them."""
    ends = [(run, run.result) for run in finished if run.result and run.config["minutes"] is None]
    others = [
        f"{run.directory} ({result['step']:,} of {run.config['steps']:,}"
        + (f": {result['stopped']})" if result.get("stopped") else ")")
        for run, result in ends
        if result["step"] != run.config["steps"]
    ]
    if not others:
        return []
    more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
    return [
        f"Runs that did not end at their number of steps: {', '.join(others[:_NAMED])}{more}. Their final values are "
        "not those of the budget."
    ]


def _set_name(config: dict[str, Any]) -> str:
    return config["task_set"] if isinstance(config["task_set"], str) else "a list of tasks"


def _episodes(config: dict[str, Any]) -> tuple[str, str]:
    """Describe an episode, and how the episodes of an evaluation differ from each other."""
    if not is_metaworld(config["task_set"]):
        limit = config["environment.time_limit"]
        length = f"at most {limit} steps" if limit else "at most the time limit of each environment"
        return f"episodes of {length}, each after its own reset", "with its own reset seed"
    rewards, horizon = config["environment.reward_version"], config["environment.horizon"]
    return f"{rewards} rewards, episodes of {horizon} steps, {_goals(config)}", "with its own goal"


def _measured(comparison: Comparison, scale: Scale | None) -> list[str]:
    """Define success and return, as far as these runs are compared by them."""
    rated, tasks = comparison.with_success, comparison.tasks
    said = []
    if rated:
        of = (
            "" if rated == tasks else f" Success is defined for {len(rated)} of {len(tasks)} tasks: {', '.join(rated)}."
        )
        said.append(f"Success: an episode is successful if the environment reports success at any step.{of}")
    if len(rated) < len(tasks):
        none = f"Success is not defined for {', '.join(task for task in tasks if task not in rated)}. " if rated else ""
        whole = "" if rated else "No task defines success. "
        said.append(f"{none}{whole}Return: the undiscounted sum of an episode's rewards, on all tasks.")
    if scale is not None:
        said.append(
            "Normalised return: (return - random) / (reference - random), with these returns: "
            + "; ".join(f"{task}: random {scale.random[task]:g}, reference {scale.reference[task]:g}" for task in tasks)
            + "."
        )
    return said


def _goals(config: dict[str, Any]) -> str:
    count = config.get("environment.num_goals", GOALS_PER_TASK)  # runs of earlier versions lack the field
    if count == 1:
        return "one fixed goal per task"
    if config["environment.goal_stream"] == "independent":
        return f"goals drawn from {count} at every reset, independently for each task"
    return f"the same goal index out of {count} for all tasks at every reset"


def _other_learners(comparison: Comparison) -> str:
    keys = [key.removeprefix("agent.") for key in comparison.differing if key.startswith("agent.")]
    return f" This describes {comparison.methods[0].label}; the methods differ in {', '.join(keys)}." if keys else ""


def _updates(config: dict[str, Any]) -> str:
    number = config["agent.updates_per_step"]
    return f"{number} update{'' if number == 1 else 's'}"


def _balanced(config: dict[str, Any]) -> str:
    return "critic and actor" if config["agent.balance"] == "both" else f"the {config['agent.balance']} alone"
