"""Callbacks that are ready to use: end a run early, keep its best agent, keep checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mtrl_conic.errors import UserError, unknown
from mtrl_conic.evaluation.words import outcome, without_success
from mtrl_conic.training.bars import Bar, NotebookBar, TerminalBar, in_notebook
from mtrl_conic.training.callbacks import Callback

if TYPE_CHECKING:
    from mtrl_conic.training.trainer import Trainer

BEST = "best"
"""The checkpoint that `KeepBest` writes."""


def value_of(record: dict[str, Any], metric: str) -> float:
    """A number in a line of evaluations.

    Args:
        record: the line.
        metric: `mean_success`, `mean_return`, or one of a task, such as `success/reach-v3`.

    Raises:
        UserError: there is none of this name.
    """
    name, _, task = metric.partition("/")
    values = {key: value for key, value in record.items() if isinstance(value, int | float)}
    tasks = record.get(name)
    if task and isinstance(tasks, dict):
        values = {f"{name}/{each}": value for each, value in tasks.items()}
    if metric not in values:
        raise unknown("metric", metric, values)
    return float(values[metric])


class Progress(Callback):
    """A bar on the terminal or in a notebook: steps, time left, the last evaluation, and what goes on beside them.

    Args:
        until: the step at which training ends.
    """

    def __init__(self, until: int) -> None:
        self.until = until

    def on_start(self, trainer: Trainer) -> None:
        """Show it."""
        self._bar: Bar = NotebookBar(self.until) if in_notebook() else TerminalBar(self.until)
        self._evaluated = ""
        self._bar.show(trainer.step, "")

    def on_step(self, trainer: Trainer) -> None:
        """Move it."""
        self._bar.show(trainer.step, self._evaluated)

    def on_doing(self, trainer: Trainer, words: str) -> None:
        """Say it."""
        self._bar.show(trainer.step, words or self._evaluated)

    def on_evaluation(self, trainer: Trainer, record: dict[str, Any]) -> None:
        """Say what it found."""
        self._evaluated = outcome(record["mean_success"], without_success(record))
        self._bar.show(trainer.step, self._evaluated)

    def on_stop(self, trainer: Trainer) -> None:
        """Leave the terminal as it was."""
        self._bar.stop()


class StopAt(Callback):
    """Ends a run once an evaluation reaches a threshold.

    Args:
        threshold: the least value that is enough.
        metric: see `value_of`.
    """

    def __init__(self, threshold: float, *, metric: str = "mean_success") -> None:
        self.threshold, self.metric = threshold, metric

    def on_evaluation(self, trainer: Trainer, record: dict[str, Any]) -> None:
        """Stop where it is reached."""
        value = value_of(record, self.metric)
        if value >= self.threshold:
            trainer.stop(f"{self.metric} {value:.4g} at step {record['step']} reached {self.threshold:g}")


class StopWithoutImprovement(Callback):
    """Ends a run after so many evaluations in a row that were no better than the best before them.

    A run that is taken up again counts from there on.

    Args:
        evaluations: in a row.
        metric: see `value_of`.
        least: an improvement by no more than this is none.
    """

    def __init__(self, evaluations: int, *, metric: str = "mean_success", least: float = 0.0) -> None:
        if evaluations < 1:
            raise UserError(f"evaluations={evaluations}: at least 1")
        self.evaluations, self.metric, self.least = evaluations, metric, least
        self._best: float | None = None
        self._without = 0

    def on_evaluation(self, trainer: Trainer, record: dict[str, Any]) -> None:
        """Count, and stop."""
        value = value_of(record, self.metric)
        if self._best is None or value > self._best + self.least:
            self._best, self._without = value, 0
            return
        self._without += 1
        if self._without >= self.evaluations:
            trainer.stop(f"{self.metric} has not risen above {self._best:.4g} for {self._without} evaluations")


class KeepBest(Callback):
    """Keeps the agent of the best evaluation so far, in `checkpoints/best.pt` of the run.

    It is chosen by the very episodes that tell its value: say so where it is reported.

    Args:
        metric: see `value_of`.
    """

    def __init__(self, *, metric: str = "mean_success") -> None:
        self.metric = metric
        self._best: float | None = None

    def on_start(self, trainer: Trainer) -> None:
        """Take up what an earlier sitting kept, unless it came after the checkpoint that the run goes on from."""
        if trainer.run is None:
            raise UserError("KeepBest needs a run with a directory")
        kept = trainer.run.load_checkpoint(BEST)
        here = kept is not None and kept["step"] <= trainer.step and kept["chosen_by"] == self.metric
        self._best = kept["value"] if kept is not None and here else None

    def on_evaluation(self, trainer: Trainer, record: dict[str, Any]) -> None:
        """Keep it where it is better."""
        assert trainer.run is not None
        value = value_of(record, self.metric)
        if self._best is None or value > self._best:
            self._best = value
            chosen = {"step": record["step"], "chosen_by": self.metric, "value": value}
            trainer.run.save_checkpoint({**chosen, "agent": trainer.agent.state_dict()}, BEST)


class CheckpointEvery(Callback):
    """Keeps the agent every so many steps, in `checkpoints/step_<n>.pt` of the run.

    Args:
        steps: of every task, between two of them.
    """

    def __init__(self, steps: int) -> None:
        if steps < 1:
            raise UserError(f"steps={steps}: at least 1")
        self.steps = steps

    def on_start(self, trainer: Trainer) -> None:
        """Only a run with a directory can keep them."""
        if trainer.run is None:
            raise UserError("CheckpointEvery needs a run with a directory")
        self._before = trainer.step

    def on_step(self, trainer: Trainer) -> None:
        """Keep one where a multiple of `steps` was passed."""
        assert trainer.run is not None
        if trainer.step // self.steps > self._before // self.steps:
            state = {"step": trainer.step, "agent": trainer.agent.state_dict()}
            trainer.run.save_checkpoint(state, f"step_{trainer.step}")
        self._before = trainer.step
