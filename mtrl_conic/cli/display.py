"""The output of a single run in the terminal, during training and at the end."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.table import Table

from mtrl_conic.agents.registry import MTSAC
from mtrl_conic.cli.terminal import TERMINAL, say
from mtrl_conic.cli.words import duration
from mtrl_conic.evaluation.curves import BEST
from mtrl_conic.evaluation.estimates import MIN_RUNS
from mtrl_conic.evaluation.words import estimate, number, return_estimates, without_success
from mtrl_conic.runs.config import RunConfig
from mtrl_conic.runs.results import check_result
from mtrl_conic.training.callbacks import Callback
from mtrl_conic.training.trainer import Trainer

_NAMED = 12
"""Largest number of tasks whose rates are listed one by one; of more tasks, the number of solved ones is given."""


class Progress(Callback):
    """Shows a progress bar with the time left, or a line per log if there is no terminal, and every evaluation.

    Args:
        config: configuration of the run; its budget is in steps or minutes, whichever ends first.
    """

    def __init__(self, config: RunConfig) -> None:
        self._config = config
        self._bar: Bar | None = None
        self._task = TaskID(0)
        self._latest = ""

    def on_start(self, trainer: Trainer) -> None:
        """Print what is trained, and show the bar."""
        tasks, config = len(trainer.envs.task_names), self._config
        learner = f"{config.agent.base} base" if config.algorithm == MTSAC else config.algorithm
        where = f"{learner}, {config.method}, seed {config.seed}, {trainer.agent.device}"
        if trainer.step:
            say(f"Resuming {tasks} tasks at step {trainer.step} of {config.steps}: {where}")
        else:
            budget = f"{config.minutes:g} minutes" if config.minutes else f"{config.steps} steps per task"
            say(f"Training {tasks} tasks for {budget}: {where}")
        if TERMINAL.is_terminal:
            columns = (BarColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
            self._bar = Bar(*columns, console=TERMINAL)
            self._task = self._bar.add_task("", total=1.0)
            self._bar.start()

    def on_step(self, trainer: Trainer) -> None:
        """Move the bar."""
        if self._bar is not None and trainer.step % 10 == 0:
            self._bar.update(self._task, completed=self._share(trainer), description=self._status(trainer))

    def on_doing(self, trainer: Trainer, words: str) -> None:
        """Show `words`, or the status if there are none, beside the bar."""
        if self._bar is not None:
            self._bar.update(self._task, description=words or self._status(trainer), refresh=True)

    def on_metrics(self, trainer: Trainer, record: dict[str, Any]) -> None:
        """Take the speed and the training success for the status; print it if there is no bar."""
        self._latest = f"{record['steps_per_second']:.1f} steps/s"
        seen = record.get("training/success")
        if seen:
            self._latest += f", training success {sum(seen.values()) / len(seen):.2f}"
        if self._bar is None:
            say(self._status(trainer))

    def on_evaluation(self, trainer: Trainer, record: dict[str, Any]) -> None:
        """Print a line with the rate or the return of every task."""
        success = f"success {record['mean_success']:.3f} = {_rates(record['success'])}" if record["success"] else ""
        others = [f"{task} {number(value)}" for task, value in without_success(record).items()]
        returns = f"return {'  '.join(others)}" if others else ""
        say(f"step {trainer.step}: {'; '.join(part for part in (success, returns) if part)}")

    def on_stop(self, trainer: Trainer) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _share(self, trainer: Trainer) -> float:
        return self._config.budget.share(trainer.step, trainer.seconds)

    def _status(self, trainer: Trainer) -> str:
        share = self._share(trainer)
        left = trainer.seconds * (1 - share) / share if share else 0.0
        parts = [f"step {trainer.step}", f"{duration(left)} left", self._latest]
        return ", ".join(part for part in parts if part)


def _rates(success: dict[str, float]) -> str:
    """Format the rate of each task; for many tasks, the number of solved ones."""
    if len(success) > _NAMED:
        solved, never = (sum(rate >= 0.8 for rate in success.values()), sum(rate == 0 for rate in success.values()))
        return f"{solved} of {len(success)} tasks at 0.8 or more, {never} at 0"
    return "  ".join(f"{task.removesuffix('-v3')} {rate:.2f}" for task, rate in success.items())


def show_evaluation(record: dict[str, Any], title: str) -> None:
    """Print the table of an evaluation, with a row per task."""
    episodes, rated = record["episodes_per_task"], bool(record["success"])
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", show_footer=rated)
    table.add_column("task", footer="mean")
    if rated:
        table.add_column("success", justify="right", footer=_rate(record["mean_success"]))
        table.add_column("at last step", justify="right", footer=_rate(record["mean_success_at_end"]))
    table.add_column("return", justify="right")
    for task, of in return_estimates(record).items():
        rates = [f"{record[kind][task]:.2f}" if task in record[kind] else "" for kind in ("success", "success_at_end")]
        table.add_row(task, *(rates if rated else []), estimate(of))
    TERMINAL.print(table)
    if rated:
        say(f"success: share of {episodes} episodes per task with success at any step")
    say(f"return: mean over the {episodes} episodes per task, with a 95 % interval where there are at least {MIN_RUNS}")
    none = without_success(record)
    if none:
        say(f"no success is defined for {', '.join(none)}; see their returns")


def _rate(mean: float | None) -> str:
    return "" if mean is None else f"{mean:.3f}"


def show_result(result: dict[str, Any], directory: Path, imports: Sequence[str] = ()) -> None:
    """Print the result of a run, and commands to continue with.

    Args:
        result: result of the run.
        directory: directory of the run.
        imports: modules that the run needs.
    """
    check_result(result, "reinforcement", directory / "result.json")
    steps, spent = result["step"], duration(result["seconds"])
    measure = "success" if result["success"] else "return"
    show_evaluation(result, f"Final {measure} after {steps} steps per task, {spent}")
    if result.get("stopped"):
        say(f"stopped before its budget was spent: {result['stopped']}")
    if result.get("best_over_training"):
        _show_best(result["best_over_training"])
    seconds = result["seconds_by_part"]
    total = sum(seconds.values()) or 1.0
    parts = sorted(seconds.items(), key=lambda part: -part[1])
    say("time: " + ", ".join(f"{part} {100 * spent / total:.0f} %" for part, spent in parts))
    say(f"run: {directory}")
    say("next:")
    where, also = shlex.quote(str(directory)), "".join(f" --import {shlex.quote(module)}" for module in imports)
    for command in (
        f"mtrl-conic evaluate {where} --episodes-per-task {result['episodes_per_task']}{also}",
        f"mtrl-conic video {where}{also}",
        f"mtrl-conic report {where} --out report.html",
        f"tensorboard --logdir {where}",
    ):
        say(f"  {command}")


def _show_best(record: dict[str, Any]) -> None:
    by = record.get("chosen_by", "mean_success")
    say(
        f"{BEST}: {by.replace('_', ' ')} {number(record[by])}, at step {record['step']}, of {record['evaluations']} "
        f"evaluations on {record['episodes_per_task']} episodes per task; the same episodes select and score it, so "
        "it is higher than for the final agent; compare it only with numbers of the same label"
    )
