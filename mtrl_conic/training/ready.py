"""Ready-made callbacks: stop a run early, keep the best agent, keep checkpoints, show progress."""

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
    """Return a number from a line of evaluations.

    Args:
        record: the line.
        metric: `mean_success`, `mean_return`, or a number of one task, such as `success/reach-v3`.

    Raises:
        UserError: the line has no number of this name.
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
    """Shows a progress bar on the terminal or in a notebook: steps, time left, last evaluation, current activity.

    Args:
        until: the step at which training ends.
    """

    def __init__(self, until: int) -> None:
        self.until = until

    def on_start(self, trainer: Trainer) -> None:
        """Show the bar."""
        self._bar: Bar = NotebookBar(self.until) if in_notebook() else TerminalBar(self.until)
        self._evaluated = ""
        self._bar.show(trainer.step, "")

    def on_step(self, trainer: Trainer) -> None:
        """Show the current step."""
        self._bar.show(trainer.step, self._evaluated)

    def on_doing(self, trainer: Trainer, words: str) -> None:
        """Show the activity."""
        self._bar.show(trainer.step, words or self._evaluated)

    def on_evaluation(self, trainer: Trainer, record: dict[str, Any]) -> None:
        """Show the mean success, or the mean return if no task defines success."""
        self._evaluated = outcome(record["mean_success"], without_success(record))
        self._bar.show(trainer.step, self._evaluated)

    def on_stop(self, trainer: Trainer) -> None:
        """Remove the bar."""
        self._bar.stop()


class StopAt(Callback):
    """Ends a run when an evaluation reaches a threshold.

    Args:
        threshold: smallest value of the metric that ends the run.
        metric: name of the number, see `value_of`.
    """

    def __init__(self, threshold: float, *, metric: str = "mean_success") -> None:
        self.threshold, self.metric = threshold, metric

    def on_evaluation(self, trainer: Trainer, record: dict[str, Any]) -> None:
        """Stop training if the threshold is reached."""
        value = value_of(record, self.metric)
        if value >= self.threshold:
            trainer.stop(f"{self.metric} {value:.4g} at step {record['step']} reached {self.threshold:g}")


class StopWithoutImprovement(Callback):
    """Ends a run after a number of consecutive evaluations without improvement.

    A resumed run starts to count again.

    Args:
        evaluations: number of consecutive evaluations.
        metric: name of the number, see `value_of`.
        least: an improvement must be larger than this to count.
    """

    def __init__(self, evaluations: int, *, metric: str = "mean_success", least: float = 0.0) -> None:
        if evaluations < 1:
            raise UserError(f"evaluations={evaluations}: at least 1")
        self.evaluations, self.metric, self.least = evaluations, metric, least
        self._best: float | None = None
        self._without = 0

    def on_evaluation(self, trainer: Trainer, record: dict[str, Any]) -> None:
        """Count evaluations without improvement, and stop training after enough of them."""
        value = value_of(record, self.metric)
        if self._best is None or value > self._best + self.least:
            self._best, self._without = value, 0
            return
        self._without += 1
        if self._without >= self.evaluations:
            trainer.stop(f"{self.metric} has not risen above {self._best:.4g} for {self._without} evaluations")


class KeepBest(Callback):
    """Keeps the agent of the best evaluation so far, in `checkpoints/best.pt` of the run.

    The same episodes select and score this agent, so its value is biased upwards; say so when you report it.

    Args:
        metric: name of the number, see `value_of`.
    """

    def __init__(self, *, metric: str = "mean_success") -> None:
        self.metric = metric
        self._best: float | None = None

    def on_start(self, trainer: Trainer) -> None:
        """Load the best value of a resumed run, unless it is later than the checkpoint from which the run resumes."""
        if trainer.run is None:
            raise UserError("KeepBest needs a run with a directory")
        kept = trainer.run.load_checkpoint(BEST)
        here = kept is not None and kept["step"] <= trainer.step and kept["chosen_by"] == self.metric
        self._best = kept["value"] if kept is not None and here else None

    def on_evaluation(self, trainer: Trainer, record: dict[str, Any]) -> None:
        """Save the agent if the evaluation is the best so far."""
        assert trainer.run is not None
        value = value_of(record, self.metric)
        if self._best is None or value > self._best:
            self._best = value
            chosen = {"step": record["step"], "chosen_by": self.metric, "value": value}
            trainer.run.save_checkpoint({**chosen, "agent": trainer.agent.state_dict()}, BEST)


class CheckpointEvery(Callback):
    """Keeps the agent at regular intervals, in `checkpoints/step_<n>.pt` of the run.

    Args:
        steps: number of steps per task between two checkpoints.
    """

    def __init__(self, steps: int) -> None:
        if steps < 1:
            raise UserError(f"steps={steps}: at least 1")
        self.steps = steps

    def on_start(self, trainer: Trainer) -> None:
        """Check that the run has a directory."""
        if trainer.run is None:
            raise UserError("CheckpointEvery needs a run with a directory")
        self._before = trainer.step

    def on_step(self, trainer: Trainer) -> None:
        """Save a checkpoint if a multiple of `steps` was passed."""
        assert trainer.run is not None
        if trainer.step // self.steps > self._before // self.steps:
            state = {"step": trainer.step, "agent": trainer.agent.state_dict()}
            trainer.run.save_checkpoint(state, f"step_{trainer.step}")
        self._before = trainer.step
